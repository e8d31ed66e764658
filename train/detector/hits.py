"""Match the faces that a detector finds with those that pictures show."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeface.interfaces import Detector
from edgeface.types import Box, Face
from edgeface.vision.alignment import eye_distance
from train.detector.pictures import Labelled

ALARMS = 0.1
"""False alarms a picture at which recall is measured."""

SAME = 0.5
"""Intersection over union from which a box is a face's."""

UNSURE = 0.1
"""Lowest score that is looked at."""


class Hits(NamedTuple):
    """What a detector made of labelled pictures.

    ``scores`` (n,) are of all true faces, -1 where one was not found; ``errors`` (n,) of their landmarks, in eye distances.
    ``eyes`` (n,) are the pixels between their eyes, ``landmarks`` (n, 5, 2) the true ones. ``alarms`` are the scores of what is
    no face.
    """

    scores: NDArray[np.float64]
    errors: NDArray[np.float64]
    eyes: NDArray[np.float64]
    landmarks: NDArray[np.float64]
    alarms: NDArray[np.float64]


def look_for(detector: Detector, pictures: Sequence[Labelled], same: float = SAME) -> Hits:
    """Let a detector look for the faces of pictures; the surest box that overlaps a face by ``same`` finds it.

    What lies beyond a picture's edge counts for neither box.
    """
    scores, errors, eyes, landmarks, alarms = [], [], [], [], []
    for picture in pictures:
        faces = sorted(detector.detect(picture.image), key=lambda face: -face.score)
        boxes = np.array([_box(face) for face in faces], np.float32).reshape(-1, 4)
        free = np.ones(len(faces), bool)
        near = overlaps(*(_cut(each, picture.image.shape) for each in (picture.boxes, boxes)))
        for row in np.argsort(-np.prod(picture.boxes[:, 2:], axis=1)):
            truth = picture.landmarks[row]
            size = eyes_apart(truth)
            mine = np.flatnonzero(free & (near[row] >= same))
            best = faces[mine[0]] if len(mine) else None
            free[mine[:1]] = False
            scores.append(best.score if best else -1.0)
            errors.append(np.linalg.norm(best.landmarks - truth, axis=1).mean() / size if best else np.nan)
            eyes.append(size)
            landmarks.append(truth)
        free &= near.max(axis=0, initial=0.0) < same
        alarms += [face.score for face, is_free in zip(faces, free, strict=True) if is_free]
    scores_of, errors_of, eyes_of, alarms_of = (np.array(each, np.float64) for each in (scores, errors, eyes, alarms))
    return Hits(scores_of, errors_of, eyes_of, np.array(landmarks, np.float64).reshape(-1, 5, 2), alarms_of)


def eyes_apart(points: NDArray[np.float32]) -> float:
    """The pixels between the eyes of a face with these landmarks."""
    return eye_distance(Face(Box(0, 0, 0, 0), points, 1.0))


def threshold(alarms: NDArray[np.float64], pictures: int) -> float:
    """The lowest score at which at most ``ALARMS`` a picture are false, of those that were looked at."""
    allowed = int(ALARMS * pictures)
    ranked = np.sort(alarms)[::-1]
    return float(np.nextafter(ranked[allowed], np.inf)) if len(ranked) > allowed else UNSURE


def _box(face: Face) -> tuple[float, float, float, float]:
    return face.box.left, face.box.top, face.box.width, face.box.height


def _cut(boxes: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return what of the boxes lies within a picture."""
    start, end = (np.clip(each, 0, shape[1::-1]) for each in (boxes[:, :2], boxes[:, :2] + boxes[:, 2:]))
    return np.asarray(np.concatenate([start, end - start], axis=1), np.float32)


def overlaps(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union of each box with each, (n, m)."""
    a, b = one[:, None], other[None, :]
    start = np.maximum(a[..., :2], b[..., :2])
    end = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    shared = np.prod(np.maximum(end - start, 0), axis=-1)
    union = np.prod(a[..., 2:], axis=-1) + np.prod(b[..., 2:], axis=-1) - shared
    return np.asarray(shared / np.maximum(union, 1e-9), np.float32)
