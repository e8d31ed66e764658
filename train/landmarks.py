"""Train landmarks.tflite, the small int8 network that corrects a detector's landmarks on the aligned chip.

Its teacher is YuNet itself: the median of its landmarks in several views of the enlarged face, each turned, scaled and moved a
little. The network learns from chips that are aligned by landmarks off by a known similarity, and degraded as by cheap cameras.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import local
from typing import Any

import cv2
import keras
import numpy as np
import tensorflow as tf
from keras import layers
from numpy.typing import NDArray
from tqdm import tqdm

from edgeface.detectors.landmarks import LandmarkRefiner
from edgeface.detectors.yunet import YuNet
from edgeface.errors import DataError, EdgefaceError
from edgeface.platform.files import write_whole
from edgeface.types import Image, Landmarks
from edgeface.vision.alignment import CHIP_SIZE, TEMPLATE, similarity_transform
from edgeface.vision.images import load_image
from train.augment import degrade, rotation
from train.export.export import convert, multiply_adds
from train.model import fold, get_weights, rectified, set_weights
from train.prepare import find_photos, is_validation

WIDTHS = (12, 24, 48, 64)
BATCH = 128
LOOK, FACE = 256, 1.4
"""Size of a look in pixels, and by how much the face is larger in it than in a chip of that size: landmarks of YuNet that
follow a tilt need a face of 200 pixels."""

LOOKS = 5
MARGIN = 36
"""Pixels kept around the chip, so that a displaced one is whole."""

MIRRORED = [1, 0, 2, 4, 3]
"""Where each landmark of a mirrored face comes from."""


@dataclass(frozen=True, eq=False)
class Portraits:
    """Faces cut out with ``MARGIN`` around the chip, (n, 184, 184, 3), and their landmarks in the chip's pixels, (n, 5, 2)."""

    crops: NDArray[np.uint8]
    landmarks: NDArray[np.float32]
    held_out: NDArray[np.bool_]


def landmarks(folders: Sequence[Path], out: Path, photos: int, faces: int) -> dict[str, float]:
    """Learn from so many photos of these folders, write the network to ``out``, and return its errors on held-out people.

    Raises:
        DataError: too few faces are found, or nobody is held out.
    """
    portraits = collect(folders, photos)
    own, others = ~portraits.held_out, portraits.held_out
    if not own.any() or not others.any():
        raise DataError(
            f"{own.sum()} faces to train on and {others.sum()} of people held out: both are needed, a folder a person"
        )
    network = build()
    steps = faces // BATCH
    rate = keras.optimizers.schedules.CosineDecay(1e-5, steps, alpha=0.01, warmup_target=3e-3, warmup_steps=steps // 30)
    network.compile(keras.optimizers.AdamW(rate, weight_decay=0.01), loss=keras.losses.Huber(2.0))
    signature = (tf.TensorSpec((BATCH, CHIP_SIZE, CHIP_SIZE, 3), tf.uint8), tf.TensorSpec((BATCH, 10), tf.float32))
    data = tf.data.Dataset.from_generator(lambda: batches(portraits, own), output_signature=signature).prefetch(8)
    network.fit(data, steps_per_epoch=steps, epochs=1, verbose=2)
    folded = build(folded=True)
    set_weights(folded, fold(get_weights(network)))
    sample, _ = next(batches(portraits, own, 600))
    write_whole(out, convert(folded, (chip[None].astype(np.float32) for chip in sample), tf.uint8))
    return {"multiply_adds": multiply_adds(folded), "bytes": out.stat().st_size, **errors(portraits, others, out)}


def build(*, folded: bool = False) -> keras.Model:
    """Chips, (n, 112, 112, 3) of 0..255 -> how far each landmark lies from its place in the template, (n, 10), in pixels."""
    inputs = keras.Input((CHIP_SIZE, CHIP_SIZE, 3), batch_size=1 if folded else None, name="chip")
    x = inputs if folded else layers.Rescaling(1 / 255)(inputs)
    for stage, width in enumerate(WIDTHS):
        x = rectified(x, width, 2, f"stage{stage}", folded=folded)
    x = rectified(x, WIDTHS[-1], 1, "last", folded=folded)
    x = layers.Conv2D(10, 7, name="landmarks")(x)
    return keras.Model(inputs, layers.Reshape((10,), name="displacements")(x), name="landmarks")


def collect(folders: Sequence[Path], photos: int) -> Portraits:
    """Label so many photos, chosen at random; those without a face are left out.

    Raises:
        DataError: a folder is missing, or there is no face in any photo.
    """
    found = list(find_photos(folders))
    chosen = [found[i] for i in np.random.default_rng(0).permutation(len(found))[:photos]]
    own = local()

    def work(number: int) -> tuple[Image, Landmarks] | None:
        if not hasattr(own, "detector"):
            own.detector = YuNet()
        try:
            return portrait(load_image(chosen[number][0]), own.detector, np.random.default_rng(number))
        except EdgefaceError:
            return None

    cv2.setNumThreads(1)
    with ThreadPoolExecutor() as pool:
        results = list(tqdm(pool.map(work, range(len(chosen))), total=len(chosen), unit="photo", disable=None))
    kept = [(result, person) for result, (_, person) in zip(results, chosen, strict=True) if result]
    if not kept:
        raise DataError(f"no face in {', '.join(map(str, folders))}")
    return Portraits(
        np.stack([crop for (crop, _), _ in kept]),
        np.stack([points for (_, points), _ in kept]),
        np.array([is_validation(person) for _, person in kept]),
    )


def portrait(image: Image, detector: YuNet, random: np.random.Generator) -> tuple[Image, Landmarks] | None:
    """Cut out the largest face; nothing where the detector, looking closer, does not find it again."""
    faces = detector.detect(image)
    settled = settle(image, faces[0].landmarks, detector, random) if faces else None
    if settled is None:
        return None
    to_chip = similarity_transform(settled)
    points = (settled @ to_chip[:, :2].T + to_chip[:, 2]).astype(np.float32)
    size = CHIP_SIZE + 2 * MARGIN
    to_chip[:, 2] += MARGIN
    crop = cv2.warpAffine(image, to_chip, (size, size))
    return np.asarray(crop, np.uint8), points


def settle(image: Image, rough: Landmarks, detector: YuNet, random: np.random.Generator) -> Landmarks | None:
    """The landmarks of a face as the detector, looking closer several times, finds them; nothing where it does not."""
    for looks in (1, LOOKS):
        luck = [(0.0, 1.0)] if looks == 1 else [(random.uniform(-12, 12), random.uniform(0.85, 1.1)) for _ in range(looks)]
        again = [found for turn, zoom in luck if (found := look(image, rough, detector, turn, zoom)) is not None]
        if not again:
            return None
        rough = np.median(again, axis=0).astype(np.float32)
    return rough


def look(image: Image, rough: Landmarks, detector: YuNet, turn: float, zoom: float) -> Landmarks | None:
    """The landmarks of a known face, seen alone and enlarged, turned by so many degrees and zoomed in by so much."""
    matrix = zoom * FACE * LOOK / CHIP_SIZE * rotation(turn) @ similarity_transform(rough)[:, :2]
    shift = LOOK / 2 - matrix @ rough.mean(axis=0)
    enlarged = cv2.warpAffine(image, np.c_[matrix, shift], (LOOK, LOOK))
    faces = detector.detect(np.asarray(enlarged, np.uint8))
    if not faces:
        return None
    middle = min((face.landmarks for face in faces), key=lambda points: float(np.square(points.mean(axis=0) - LOOK / 2).sum()))
    return np.asarray((middle - shift) @ np.linalg.inv(matrix).T, np.float32)


def batches(portraits: Portraits, rows: NDArray[np.bool_], size: int = BATCH) -> Iterator[tuple[Any, Any]]:
    """Endless batches of displaced, degraded chips, and where their landmarks lie off the template, (n, 10)."""
    numbers = np.flatnonzero(rows)
    random = np.random.default_rng(1)
    while True:
        pairs = [displaced(portraits, row, random) for row in random.choice(numbers, size)]
        yield np.stack([degrade(chip, random) for chip, _ in pairs]), np.stack([points.ravel() for _, points in pairs])


def displaced(portraits: Portraits, row: int, random: np.random.Generator) -> tuple[Image, Landmarks]:
    """A chip as wrong landmarks would align it, half the time mirrored, and where its own lie off the template, (5, 2)."""
    degrees = random.uniform(-40, 40) if random.random() < 0.3 else random.normal(0, 8)
    matrix = np.exp(random.normal(0, 0.1)) * rotation(degrees)
    middle = TEMPLATE.mean(axis=0)
    shift = middle + random.normal(0, 4, 2) - matrix @ middle
    chip = cv2.warpAffine(portraits.crops[row], np.c_[matrix, shift - matrix @ [MARGIN, MARGIN]], (CHIP_SIZE, CHIP_SIZE))
    points = portraits.landmarks[row] @ matrix.T + shift
    if random.random() < 0.5:
        chip, points = chip[:, ::-1], (points * (-1, 1) + (CHIP_SIZE - 1, 0))[MIRRORED]
    return np.ascontiguousarray(chip, np.uint8), (points - TEMPLATE).astype(np.float32)


def errors(portraits: Portraits, rows: NDArray[np.bool_], network: Path) -> dict[str, float]:
    """What is left of a tilt by 15 degrees, and the mean error of a landmark in chip's pixels, before and after the network."""
    refined = LandmarkRefiner(YuNet(), network)
    turned = rotation(15.0)
    wrong = np.linalg.inv(turned)
    middle = TEMPLATE.mean(axis=0) + MARGIN
    left, before, after = [], [], []
    for crop, points in zip(portraits.crops[rows], portraits.landmarks[rows] + MARGIN, strict=True):
        rough = ((points - middle) @ wrong.T + middle).astype(np.float32)
        found = refined.refine(crop, rough)
        transform = similarity_transform(found)[:, :2] @ np.linalg.inv(similarity_transform(points)[:, :2])
        left.append(abs(np.degrees(np.arctan2(transform[1, 0], transform[0, 0]))))
        before.append(np.linalg.norm(rough - points, axis=1).mean())
        after.append(np.linalg.norm(found - points, axis=1).mean())
    return {
        "faces": len(left),
        "degrees_left_of_15": float(np.mean(left)),
        "pixels_before": float(np.mean(before)),
        "pixels_after": float(np.mean(after)),
    }
