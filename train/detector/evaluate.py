"""Measure detectors side by side: recall, false alarms, landmarks, tilt left after alignment, and recognition after it."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeface.detectors.anchor_free import AnchorFree
from edgeface.detectors.landmarks import LandmarkRefiner
from edgeface.detectors.yunet import YuNet
from edgeface.interfaces import Detector
from edgeface.types import Box, Face, Image
from edgeface.vision.alignment import align, eye_distance, similarity_transform
from edgeface.vision.embedding import Embedder
from edgeface.vision.images import load_image
from train.detector.pictures import Labelled, Pictures
from train.detector.prepare import DEVELOPMENT
from train.evaluation.verification import compare, tar_at_far
from train.prepare import find_photos, is_validation

ALARMS = 0.1
"""False alarms a picture at which recall is measured."""

GROUPS = {"16_and_up": (16.0, 1e9), "8_to_16": (8.0, 16.0)}
"""Faces by the pixels between their eyes."""

SAME = 0.5
"""Intersection over union from which a box is a face's."""

UNSURE = 0.1
"""Lowest score that is looked at."""

TILT = 15.0
FARS = (1e-2, 1e-3)


class Hits(NamedTuple):
    """What a detector made of labelled pictures.

    ``scores`` (n,) are of all true faces, -1 where one was not found; ``errors`` (n,) of their landmarks, in eye distances, and
    ``eyes`` (n,) the pixels between their eyes. ``alarms`` are the scores of what is no face.
    """

    scores: NDArray[np.float64]
    errors: NDArray[np.float64]
    eyes: NDArray[np.float64]
    alarms: NDArray[np.float64]


def evaluate(model: Path | None, prepared: Path, people: Path, photos: int = 400) -> dict[str, dict[str, float]]:
    """Figures of YuNet, with refined landmarks and without, and of the detector in a folder, if one is given.

    ``people`` has photos of people in folders; those that no network was trained on are aligned and recognized.

    Raises:
        DataError: a folder does not hold what it should.
        ModelError: there is no detector in the folder.
    """
    yunet = YuNet(min_score=UNSURE)
    detectors: dict[str, Detector] = {"yunet": yunet, "yunet_refined": LandmarkRefiner(yunet)}
    if model:
        detectors["ours"] = AnchorFree(model, min_score=UNSURE)
    development = Pictures(prepared / DEVELOPMENT)
    portraits = [(load_image(path), person) for path, person in _held_out(people, photos)]
    return {name: figures(each, development, portraits) for name, each in detectors.items()}


def figures(detector: Detector, development: Pictures, portraits: Sequence[tuple[Image, str]]) -> dict[str, float]:
    """The figures of one detector."""
    faces = [picture for picture in development if len(picture.boxes)]
    scenes = [picture for picture in development if not len(picture.boxes)]
    hits = look_for(detector, faces)
    least = threshold(hits.alarms, len(faces))
    found = {"min_score": least}
    for name, (low, high) in GROUPS.items():
        group = (hits.eyes >= low) & (hits.eyes < high)
        hit = group & (hits.scores >= least)
        found |= {
            f"faces_{name}": float(group.sum()),
            f"recall_{name}": float(hit.sum() / max(1, group.sum())),
            f"landmark_error_{name}": float(np.mean(hits.errors[hit])) if hit.any() else float("nan"),
        }
    alarms = look_for(detector, scenes).alarms
    found["scenes_with_alarms_per_hundred"] = 100 * float(np.sum(alarms >= least)) / max(1, len(scenes))
    return found | _alignment(detector, portraits) | _quality(detector, faces)


def look_for(detector: Detector, pictures: Sequence[Labelled]) -> Hits:
    """Let a detector look for the faces of pictures; the surest box that is near a face finds it."""
    scores, errors, eyes, alarms = [], [], [], []
    for picture in pictures:
        faces = sorted(detector.detect(picture.image), key=lambda face: -face.score)
        boxes = np.array([_box(face) for face in faces], np.float32).reshape(-1, 4)
        free = np.ones(len(faces), bool)
        near = _overlaps(picture.boxes, boxes)
        for row in np.argsort(-np.prod(picture.boxes[:, 2:], axis=1)):
            truth = picture.landmarks[row]
            size = eye_distance(Face(Box(0, 0, 0, 0), truth, 1.0))
            mine = np.flatnonzero(free & (near[row] >= SAME))
            best = faces[mine[0]] if len(mine) else None
            free[mine[:1]] = False
            scores.append(best.score if best else -1.0)
            errors.append(np.linalg.norm(best.landmarks - truth, axis=1).mean() / size if best else np.nan)
            eyes.append(size)
        free &= near.max(axis=0, initial=0.0) < SAME
        alarms += [face.score for face, is_free in zip(faces, free, strict=True) if is_free]
    return Hits(*(np.array(each, np.float64) for each in (scores, errors, eyes, alarms)))


def threshold(alarms: NDArray[np.float64], pictures: int) -> float:
    """The lowest score at which at most ``ALARMS`` a picture are false, of those that were looked at."""
    allowed = int(ALARMS * pictures)
    ranked = np.sort(alarms)[::-1]
    return float(np.nextafter(ranked[allowed], np.inf)) if len(ranked) > allowed else UNSURE


def _alignment(detector: Detector, portraits: Sequence[tuple[Image, str]]) -> dict[str, float]:
    """What is left of a tilt after alignment, and how well people are told apart."""
    embedder = Embedder()
    left, vectors, people = [], [], []
    for image, person in portraits:
        straight = _largest(detector, image)
        if straight:
            middle = straight.box.left + straight.box.width / 2, straight.box.top + straight.box.height / 2
            for degrees in (-TILT, TILT):
                matrix = cv2.getRotationMatrix2D(middle, -degrees, 1.0)
                tilted = cv2.warpAffine(image, matrix, image.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
                turned = _largest(detector, np.asarray(tilted, np.uint8))
                left.append(abs(_angle(turned) - _angle(straight) - degrees) if turned else TILT)
        vectors.append(
            embedder.embed(align(image, straight.landmarks)).vector if straight else np.zeros(embedder.card.identity)
        )
        people.append(person)
    stacked = np.array(vectors, np.float32)
    matched, unmatched = compare(stacked, stacked, np.array(people))
    return {
        f"degrees_left_of_{TILT:g}": float(np.mean(left)) if left else TILT,
        **{f"tar_at_{far:g}": tar_at_far(matched, unmatched, far) for far in FARS if len(matched)},
    }


def _quality(detector: Detector, faces: Sequence[Labelled]) -> dict[str, float]:
    """How the quality that a detector tells goes with the norm of the embedding, as a correlation, if it tells any."""
    if not isinstance(detector, AnchorFree):
        return {}
    told, true = [], []
    for picture in faces:
        rows = detector.search(picture.image)
        near = _overlaps(picture.boxes, rows[:, :4])
        for row in np.flatnonzero((picture.qualities >= 0) & (near.max(axis=1, initial=0.0) >= SAME)):
            told.append(rows[np.argmax(near[row]), 15])
            true.append(picture.qualities[row])
    return {"quality_correlation": float(np.corrcoef(told, true)[0, 1]) if len(told) > 2 else float("nan")}


def _held_out(people: Path, photos: int) -> list[tuple[Path, str]]:
    found = [(path, person) for path, person in find_photos([people]) if is_validation(person)]
    return found[:photos]


def _largest(detector: Detector, image: Image) -> Face | None:
    """The largest of the faces that are sure enough to be one."""
    return next((face for face in detector.detect(image) if face.score >= 0.3), None)


def _angle(face: Face) -> float:
    """By how many degrees a face is turned in its picture, clockwise."""
    transform = similarity_transform(face.landmarks)
    return float(-np.degrees(np.arctan2(transform[1, 0], transform[0, 0])))


def _box(face: Face) -> tuple[float, float, float, float]:
    return face.box.left, face.box.top, face.box.width, face.box.height


def _overlaps(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union of each box with each, (n, m)."""
    a, b = one[:, None], other[None, :]
    start = np.maximum(a[..., :2], b[..., :2])
    end = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    shared = np.prod(np.maximum(end - start, 0), axis=-1)
    union = np.prod(a[..., 2:], axis=-1) + np.prod(b[..., 2:], axis=-1) - shared
    return np.asarray(shared / np.maximum(union, 1e-9), np.float32)
