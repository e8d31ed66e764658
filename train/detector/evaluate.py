"""Measure detectors side by side: recall, false alarms, landmarks, tilt left after alignment, and recognition after it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgeface.detectors.anchor_free import AnchorFree
from edgeface.detectors.landmarks import LandmarkRefiner
from edgeface.detectors.yunet import YuNet
from edgeface.interfaces import Detector
from edgeface.types import Face, Image
from edgeface.vision.alignment import align, similarity_transform
from edgeface.vision.embedding import Embedder
from edgeface.vision.images import load_image
from train.detector.conditions import under_conditions
from train.detector.hits import SAME, UNSURE, look_for, overlaps, threshold
from train.detector.pictures import Labelled, Pictures
from train.detector.prepare import DEVELOPMENT
from train.detector.rivals import find_rivals
from train.evaluation.verification import compare, tar_at_far
from train.prepare import find_photos, is_validation

GROUPS = {"16_and_up": (16.0, 1e9), "8_to_16": (8.0, 16.0)}
"""Faces by the pixels between their eyes."""

TILT = 15.0
FARS = (1e-2, 1e-3)


def evaluate(model: Path | None, prepared: Path, people: Path, photos: int = 400) -> dict[str, dict[str, Any]]:
    """Figures of YuNet, with refined landmarks and without, and of the detector in a folder, if one is given.

    The faces that these and the installed rivals find under each of ``CONDITIONS`` stand under "conditions".

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
    found: dict[str, dict[str, Any]] = {name: figures(each, development, portraits) for name, each in detectors.items()}
    del detectors["yunet_refined"]  # its boxes are YuNet's
    faces = [picture for picture in development if len(picture.boxes)]
    return found | {"conditions": under_conditions(detectors | find_rivals(UNSURE), faces)}


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
        near = overlaps(picture.boxes, rows[:, :4])
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
