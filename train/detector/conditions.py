"""Count the faces that detectors find under difficult conditions, each made of the same photos."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeface.interfaces import Detector
from edgeface.types import Image
from edgeface.vision.alignment import similarity_transform
from train import augment
from train.detector.compose import turned_box
from train.detector.hits import eyes_apart, look_for, threshold
from train.detector.pictures import UNKNOWN, Labelled, labelled

CLEAR = 16.0
"""Pixels between the eyes from which a face counts, in the photo."""

SAME = 0.3
"""Intersection over union from which a box is a face's: boxes of different detectors are of different shapes."""

CROWD = 8
TILT = 30.0
TURNED = 0.5
"""How far the nose of a profile is from the middle of the eyes, along the line between them and in their distance."""


class Condition(NamedTuple):
    """What becomes of a photo, the fewest pixels between the eyes of a face that counts then, and which others do not."""

    make: Callable[[Labelled, np.random.Generator], Sequence[Labelled]]
    clear: float = CLEAR
    counts: Callable[[NDArray[np.float32]], bool] = lambda _: True


def under_conditions(detectors: Mapping[str, Detector], photos: Sequence[Labelled]) -> dict[str, dict[str, dict[str, float]]]:
    """The figures of each detector under each condition.

    A detector's threshold is that of ``threshold`` on the photos as they are.
    """
    least = {name: threshold(look_for(each, photos, SAME).alarms, len(photos)) for name, each in detectors.items()}
    table: dict[str, dict[str, dict[str, float]]] = {}
    for condition, (make, clear, counts) in CONDITIONS.items():
        random = np.random.default_rng(0)
        pictures = [picture for photo in photos for picture in make(photo, random)]
        for name, detector in detectors.items():
            hits = look_for(detector, pictures, SAME)
            counted = (hits.eyes >= clear) & np.array([counts(points) for points in hits.landmarks], bool)
            table.setdefault(condition, {})[name] = {
                "faces": float(counted.sum()),
                "recall": float((counted & (hits.scores >= least[name])).sum() / max(1, counted.sum())),
                "false_alarms_a_picture": float((hits.alarms >= least[name]).sum() / max(1, len(pictures))),
            }
    return table


def _seen(degrade: Callable[[Image, np.random.Generator], Image]) -> Callable[[Labelled, np.random.Generator], list[Labelled]]:
    """Make a condition that changes pixels alone."""
    return lambda photo, random: [photo._replace(image=degrade(photo.image, random))]


def _dark(image: Image, random: np.random.Generator) -> Image:
    return augment.noise(augment.light(image, np.array([0.12]), 1.0), 3.0, random)


def _small(photo: Labelled, random: np.random.Generator) -> list[Labelled]:
    half = np.asarray(cv2.resize(photo.image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)
    return [Labelled(half, photo.boxes / 2, photo.landmarks / 2, photo.qualities)]


def _rotated(photo: Labelled, random: np.random.Generator) -> list[Labelled]:
    degrees = float(random.choice([-TILT, TILT]))
    middle = np.array(photo.image.shape[1::-1]) / 2
    turn = augment.rotation(degrees)
    image = cv2.warpAffine(photo.image, np.c_[turn, middle - turn @ middle], photo.image.shape[1::-1])
    boxes = [turned_box(box, 1.0, degrees, (box[:2] + box[2:] / 2 - middle) @ turn.T + middle) for box in photo.boxes]
    landmarks = (photo.landmarks - middle) @ turn.T + middle
    inside = (np.abs(landmarks.mean(axis=1) - middle) < middle).all(axis=1)
    turned = labelled(np.asarray(image, np.uint8), boxes, list(landmarks), photo.qualities.tolist())
    return [Labelled(turned.image, turned.boxes[inside], turned.landmarks[inside], turned.qualities[inside])]


def _masked(photo: Labelled, random: np.random.Generator) -> list[Labelled]:
    image = photo.image.copy()
    for points in photo.landmarks:
        to_chip = similarity_transform(points)
        outline = (augment.MASK - to_chip[:, 2]) @ np.linalg.inv(to_chip[:, :2]).T
        cv2.fillPoly(image, [np.rint(outline).astype(np.int32)], random.integers(150, 256, 3).tolist(), cv2.LINE_AA)
    return [photo._replace(image=image)]


def _halved(photo: Labelled, random: np.random.Generator) -> list[Labelled]:
    """A picture for each clear face, that ends in its middle; all other faces are grey."""
    pictures = []
    for box, points in zip(photo.boxes, photo.landmarks, strict=True):
        if eyes_apart(points) < CLEAR:
            continue
        image = np.ascontiguousarray(photo.image).copy()
        for other in photo.boxes:
            image[_within(other)] = 128
        image[_within(box)] = photo.image[_within(box)]
        middle, start = int(box[0] + box[2] / 2), 0
        if 2 * middle < image.shape[1]:
            image, start = image[:, middle:], middle
        else:
            image = image[:, :middle]
        moved = box - np.array([start, 0, 0, 0], np.float32)
        pictures.append(labelled(np.ascontiguousarray(image), [moved], [points - (start, 0)], [UNKNOWN]))
    return pictures


def _within(box: NDArray[np.float32]) -> tuple[slice, slice]:
    left, top, right, bottom = np.maximum([*box[:2], *(box[:2] + box[2:])], 0).astype(int)
    return slice(top, bottom), slice(left, right)


def _is_profile(points: NDArray[np.float32]) -> bool:
    between = points[1] - points[0]
    along = (points[2] - points[0]) @ between / max(float(between @ between), 1e-6)
    return bool(abs(along - 0.5) > TURNED)


CONDITIONS = {
    "plain": Condition(lambda photo, _: [photo]),
    "small": Condition(_small, CLEAR / 2),
    "dark": Condition(_seen(_dark)),
    "blurred": Condition(_seen(lambda image, _: augment.blur(image, 2.5))),
    "rotated": Condition(_rotated),
    "masked": Condition(_masked),
    "half_out_of_the_frame": Condition(_halved),
    "profile": Condition(lambda photo, _: [photo], counts=_is_profile),
    "crowded": Condition(lambda photo, _: [photo] if len(photo.boxes) >= CROWD else [], CLEAR / 2),
    "black_and_white": Condition(_seen(lambda image, _: augment.grey(image))),
}
