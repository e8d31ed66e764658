"""Cut pictures and their faces to the sizes that the network is trained at, seen anew each time, and batch them."""

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edgeface.detectors.anchor_free import PATCH
from edgeface.types import Image
from train.augment import blur, grey, jpeg, light, noise
from train.detector.losses import Truth
from train.detector.pictures import UNKNOWN, Labelled, Pictures
from train.landmarks import MIRRORED

ZOOMS = (0.4, 2.0)
SAME = (0.8, 1.25)
"""How much smaller or larger pictures are made; and where a face's quality stays what it was."""

VISIBLE = 0.5
"""Share of a face that must lie within a picture; of others, nothing is learnt."""


class Size(NamedTuple):
    """A picture's size."""

    width: int
    height: int


SIZES = (Size(320, 256), Size(320, 256), Size(320, 256), Size(640, 480))
"""Of the pictures of one batch after another."""

Batch = tuple[NDArray[np.uint8], Truth]


def batches(pictures: Pictures, budget: int, first: int, seed: int) -> Iterator[Batch]:
    """Endless batches from number ``first`` on, the same for the same seed; each has about ``budget`` pictures of 320 x 256."""
    number = first
    while True:
        random = np.random.default_rng((seed, number))
        size = SIZES[number % len(SIZES)]
        yield batch([pictures[row] for row in random.integers(0, len(pictures), count(size, budget))], size, random)
        number += 1


def count(size: Size, budget: int) -> int:
    """Pictures of this size that have as many pixels as a ``budget`` of the smallest."""
    return max(1, round(budget * SIZES[0].width * SIZES[0].height / (size.width * size.height)))


def batch(pictures: list[Labelled], size: Size, random: np.random.Generator | None) -> Batch:
    """A batch of these pictures: seen at random, or without luck as they are, from their upper left corner on."""
    seen = [view(picture, size, random) if random else _crop(picture, size, 1.0, (0.0, 0.0)) for picture in pictures]
    boxes = np.concatenate([picture.boxes for picture in seen])
    truth = Truth(
        np.repeat(np.arange(len(seen), dtype=np.int32), [len(picture.boxes) for picture in seen]),
        np.concatenate([boxes[:, :2] + boxes[:, 2:] / 2, boxes[:, 2:]], axis=1),
        np.concatenate([picture.landmarks for picture in seen]).reshape(-1, 10),
        np.concatenate([picture.qualities for picture in seen]),
    )
    return pieces(np.stack([picture.image for picture in seen])), truth


def pieces(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pictures, (n, h, w, 3), as the network takes them, (n, h, w / 4, 12)."""
    number, height, width, _ = images.shape
    return images.reshape(number, height, width // PATCH, 3 * PATCH)


def dataset(pictures: Pictures, budget: int, first: int, seed: int) -> tf.data.Dataset:
    """``batches``, made ahead of their use."""
    signature = (
        tf.TensorSpec((None, None, None, 3 * PATCH), tf.uint8),
        Truth(
            tf.TensorSpec((None,), tf.int32),
            tf.TensorSpec((None, 4), tf.float32),
            tf.TensorSpec((None, 10), tf.float32),
            tf.TensorSpec((None,), tf.float32),
        ),
    )
    return tf.data.Dataset.from_generator(lambda: batches(pictures, budget, first, seed), output_signature=signature).prefetch(
        4
    )


def view(picture: Labelled, size: Size, random: np.random.Generator) -> Labelled:
    """What a camera of this size sees of a picture: a part of it, at some scale, half the time mirrored, in some light."""
    height, width = picture.image.shape[:2]
    fit = min(size.width / width, size.height / height)
    zoom = float(np.exp(random.uniform(np.log(ZOOMS[0]), np.log(ZOOMS[1]))))
    zoom = max(zoom, 0.7 * fit)
    spare = np.array([width * zoom - size.width, height * zoom - size.height])
    start = random.uniform(np.minimum(spare, 0), np.maximum(spare, 0))
    part = _crop(picture, size, zoom, (float(start[0]), float(start[1])))
    if random.random() < 0.5:
        part = _mirrored(part)
    return part._replace(image=_degraded(part.image, random))


def _crop(picture: Labelled, size: Size, zoom: float, start: tuple[float, float]) -> Labelled:
    """The part of a zoomed picture that begins at ``start``, black where the picture ends."""
    scale = np.array([[zoom, 0, -start[0]], [0, zoom, -start[1]]])
    if zoom < 0.7:  # bilinear sampling alone would alias
        low = np.maximum(np.floor(np.array(start) / zoom).astype(int), 0)
        high = np.ceil((np.array(start) + size) / zoom).astype(int)
        part = picture.image[low[1] : high[1], low[0] : high[0]]
        shrunk = (max(1, round(part.shape[1] * zoom)), max(1, round(part.shape[0] * zoom)))
        source = cv2.resize(part, shrunk, interpolation=cv2.INTER_AREA)
        matrix = np.array([[1, 0, low[0] * zoom - start[0]], [0, 1, low[1] * zoom - start[1]]])
    else:
        source, matrix = picture.image, scale
    image = np.asarray(cv2.warpAffine(source, matrix, tuple(size), flags=cv2.INTER_LINEAR), np.uint8)
    moved = np.concatenate([picture.boxes[:, :2] * zoom - start, picture.boxes[:, 2:] * zoom], axis=1)
    landmarks = picture.landmarks * zoom - np.array(start, np.float32)
    qualities = picture.qualities if SAME[0] <= zoom <= SAME[1] else np.full_like(picture.qualities, UNKNOWN)
    return _within(Labelled(image, moved.astype(np.float32), landmarks.astype(np.float32), qualities), size)


def _within(picture: Labelled, size: Size) -> Labelled:
    """The picture with the faces that show well enough; the rest of any other is made grey: it is neither face nor none."""
    start = np.maximum(picture.boxes[:, :2], 0)
    end = np.minimum(picture.boxes[:, :2] + picture.boxes[:, 2:], np.array(size, np.float32))
    shown = np.prod(np.maximum(end - start, 0), axis=1)
    area = np.prod(picture.boxes[:, 2:], axis=1)
    keep = shown >= VISIBLE * area
    cut = ~keep & (shown > 0)
    image = picture.image
    if cut.any():
        image = image.copy()
        for (left, top), (right, bottom) in zip(start[cut].astype(int), end[cut].astype(int), strict=True):
            image[top : bottom + 1, left : right + 1] = 128
    return Labelled(image, picture.boxes[keep], picture.landmarks[keep], picture.qualities[keep])


def _mirrored(picture: Labelled) -> Labelled:
    width = picture.image.shape[1]
    boxes = picture.boxes.copy()
    boxes[:, 0] = width - boxes[:, 0] - boxes[:, 2]
    landmarks = (picture.landmarks * (-1, 1) + (width - 1, 0))[:, MIRRORED].astype(np.float32)
    return Labelled(np.ascontiguousarray(picture.image[:, ::-1]), boxes, landmarks, picture.qualities)


def _degraded(image: Image, random: np.random.Generator) -> Image:
    """A picture as a cheap camera takes it: each effect strikes its own share."""
    if random.random() < 0.5:
        gain = np.exp(random.normal(0, 0.25) + random.normal(0, 0.06, 3))
        image = light(image, gain, float(np.exp(random.normal(0, 0.2))))
    if random.random() < 0.08:
        image = light(image, np.array([random.uniform(0.15, 0.6)]), 1.0)
    if random.random() < 0.15:
        image = grey(image)
    if random.random() < 0.12:
        image = blur(image, random.uniform(0.4, 1.6))
    if random.random() < 0.12:
        image = noise(image, random.uniform(2, 14), random)
    return jpeg(image, int(random.integers(30, 90))) if random.random() < 0.2 else image
