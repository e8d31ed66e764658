"""Assign faces to cells, and compute the parts of the detector's loss.

The assignment is that of Ge et al., "YOLOX", 2021 (SimOTA); the box's loss that of Zhang et al., "Focal and Efficient IOU
Loss for Accurate Bounding Box Regression", 2021 (EIoU).
"""

from typing import NamedTuple

import tensorflow as tf

from edgeface.detectors.anchor_free import LOG_SIZES, LOGIT, STRIDES

REACH = 1.5
"""Cells within so many strides of a face's middle may be assigned to it, too."""

CANDIDATES = 10
"""Cells that a face has at most."""

LEVELS = ((0.0, 48.0), (24.0, 128.0), (64.0, 1e9))
"""From what size to what size, in pixels, each stride sees faces: an offset of many strides would cost its int8 precision."""

SMALLEST = 8.0
"""Faces of fewer pixels are neither learnt nor held for background."""

FOCUS = 2.0
"""Power of a cell's own score by which its background counts."""

NEAR = 0.05
"""Error of a landmark, in sizes of the face, beside which the loss is linear."""

FAR = 1e9


class Cells(NamedTuple):
    """The cells of all grids: their middles in pixels, (cells, 2), their strides, and the sizes of face that each may have."""

    middles: tf.Tensor
    strides: tf.Tensor
    smallest: tf.Tensor
    largest: tf.Tensor


class Truth(NamedTuple):
    """The faces of a batch: in which of its pictures each is, (faces,), and where.

    Boxes (faces, 4) are middle and size; landmarks are (faces, 10). A quality below zero is unknown.
    """

    pictures: tf.Tensor
    boxes: tf.Tensor
    landmarks: tf.Tensor
    qualities: tf.Tensor


class Found(NamedTuple):
    """What a network gives for the cells of a batch, in the units of ``Truth``; scores are logits."""

    scores: tf.Tensor
    qualities: tf.Tensor
    boxes: tf.Tensor
    landmarks: tf.Tensor


def cells_of(height: tf.Tensor, width: tf.Tensor) -> Cells:
    """The cells for pictures of this size."""
    middles, limits = [], []
    for stride, (smallest, largest) in zip(STRIDES, LEVELS, strict=True):
        across, down = (tf.cast(stride * tf.range(side // stride), tf.float32) + stride / 2 for side in (width, height))
        middles.append(tf.reshape(tf.stack(tf.meshgrid(across, down), axis=-1), [-1, 2]))
        limits.append(tf.tile([[float(stride), smallest, largest]], [tf.shape(middles[-1])[0], 1]))
    strides, low, high = tf.unstack(tf.concat(limits, axis=0), axis=1)
    return Cells(tf.concat(middles, axis=0), strides, low, high)


def found_in(grids: list[tf.Tensor], cells: Cells) -> Found:
    """Turn the network's outputs into what they say of pictures."""
    numbers = tf.shape(grids[0])[0]
    rows = tf.concat([tf.cast(tf.reshape(grid, [numbers, -1, grid.shape[-1]]), tf.float32) for grid in grids], axis=1)
    stride = cells.strides[:, None]
    middles = cells.middles + rows[..., 2:4] * stride
    sizes = tf.exp(tf.clip_by_value(rows[..., 4:6], *LOG_SIZES)) * stride
    landmarks = tf.tile(cells.middles, [1, 5]) + rows[..., 6:] * stride
    return Found(LOGIT * rows[..., 0], rows[..., 1], tf.concat([middles, sizes], axis=-1), landmarks)


def overlap(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """Intersection over union of boxes given as middle and size; shapes broadcast."""
    low = tf.maximum(one[..., :2] - one[..., 2:] / 2, other[..., :2] - other[..., 2:] / 2)
    high = tf.minimum(one[..., :2] + one[..., 2:] / 2, other[..., :2] + other[..., 2:] / 2)
    shared = tf.reduce_prod(tf.maximum(high - low, 0.0), axis=-1)
    union = tf.reduce_prod(one[..., 2:], axis=-1) + tf.reduce_prod(other[..., 2:], axis=-1) - shared
    return shared / tf.maximum(union, 1e-6)


def assign(found: Found, truth: Truth, cells: Cells) -> tuple[tf.Tensor, tf.Tensor]:
    """Each cell's face, (n, cells), -1 where it has none, and whether it counts where it has none.

    A face gets the cells that tell it best already, as many as their boxes overlap with its own.
    """
    boxes = truth.boxes[:, None]
    size = tf.sqrt(tf.reduce_prod(truth.boxes[:, 2:], axis=-1))[:, None]
    away = tf.abs(cells.middles - boxes[..., :2])
    inside = tf.reduce_all(away < boxes[..., 2:] / 2, axis=-1)
    near = tf.reduce_all(away < REACH * cells.strides[:, None], axis=-1)
    may = (inside | near) & (size >= cells.smallest) & (size < cells.largest) & (size >= SMALLEST)
    shared = overlap(tf.gather(found.boxes, truth.pictures), boxes)
    cost = tf.gather(tf.nn.softplus(-found.scores), truth.pictures) - 3.0 * tf.math.log(shared + 1e-6)
    cost = tf.where(may, cost + tf.where(inside & near, 0.0, 1e4), FAR)
    best, _ = tf.math.top_k(tf.where(may, shared, 0.0), CANDIDATES)
    count = tf.clip_by_value(tf.cast(tf.reduce_sum(best, axis=-1), tf.int32), 1, CANDIDATES)
    cheapest, _ = tf.math.top_k(-cost, CANDIDATES)
    limit = -tf.gather(cheapest, count - 1, batch_dims=1)
    cost = tf.where(may & (cost <= limit[:, None]), cost, FAR)
    pictures = tf.shape(found.scores)[0]
    least = tf.gather(tf.math.unsorted_segment_min(cost, truth.pictures, pictures), truth.pictures)
    rows = tf.range(tf.shape(cost)[0])[:, None]
    chosen = tf.where((cost < FAR) & (cost <= least), rows, -1)
    face = tf.maximum(tf.math.unsorted_segment_max(chosen, truth.pictures, pictures), -1)
    tiny = tf.cast(inside & (size < SMALLEST), tf.int32)
    return face, tf.math.unsorted_segment_max(tiny, truth.pictures, pictures) < 1


def parts(grids: list[tf.Tensor], truth: Truth, cells: Cells) -> dict[str, tf.Tensor]:
    """The parts of the loss, each for a cell with a face: score, box, landmarks, quality."""
    found = found_in(grids, cells)
    face, counts = assign(Found(*map(tf.stop_gradient, found)), truth, cells)
    mine = tf.cast(face >= 0, tf.float32)
    others = tf.cast((face < 0) & counts, tf.float32)
    number = tf.maximum(tf.reduce_sum(mine), 1.0)
    chance = tf.stop_gradient(tf.sigmoid(found.scores))
    score = mine * tf.nn.softplus(-found.scores) + others * chance**FOCUS * tf.nn.softplus(found.scores)
    places = tf.where(face >= 0)
    told = Found(*(tf.gather_nd(each, places) for each in found))
    _, boxes, landmarks, qualities = (tf.gather(each, tf.gather_nd(face, places)) for each in truth)
    size = tf.sqrt(tf.reduce_prod(boxes[:, 2:], axis=-1, keepdims=True))
    error = tf.abs(told.landmarks - landmarks) / size / NEAR
    wrong = tf.where(error < 1.0, 0.5 * tf.square(error), error - 0.5)
    known = tf.cast(qualities >= 0, tf.float32)
    return {
        "score": tf.reduce_sum(score) / number,
        "box": tf.reduce_sum(_eiou(told.boxes, boxes)) / number,
        "landmarks": tf.reduce_sum(tf.reduce_mean(wrong, axis=-1)) / number,
        "quality": tf.reduce_sum(known * tf.abs(told.qualities - qualities)) / tf.maximum(tf.reduce_sum(known), 1.0),
    }


def _eiou(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """One less the overlap, and the distances of middles, widths and heights, in sizes of the box around both."""
    low = tf.minimum(one[..., :2] - one[..., 2:] / 2, other[..., :2] - other[..., 2:] / 2)
    high = tf.maximum(one[..., :2] + one[..., 2:] / 2, other[..., :2] + other[..., 2:] / 2)
    around = tf.maximum(tf.square(high - low), 1e-6)
    apart = tf.reduce_sum(tf.square(one[..., :2] - other[..., :2]), axis=-1) / tf.reduce_sum(around, axis=-1)
    unlike = tf.reduce_sum(tf.square(one[..., 2:] - other[..., 2:]) / around, axis=-1)
    return 1.0 - overlap(one, other) + apart + unlike
