"""Count the errors of the liveness check on rendered heads and photos, as in ISO/IEC 30107-3, or fit the check anew."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from edgeface import detectors
from edgeface.errors import DataError
from edgeface.interfaces import Detector
from edgeface.measurement.evaluate import Rate, people, wilson
from edgeface.vision.images import image_files, load_image
from edgeface.vision.liveness import ALIVE, Liveness, features
from train.evaluation.presentation_attacks import HIGH, KINDS, WIDE, Scene

FITTED = ("moved", "tilted", "bent", "flexed")
"""The attacks that ``fit`` learns from."""


@dataclass(frozen=True, slots=True)
class Row:
    """What became of the visits of one kind: ``passed`` had a score of at least ``ALIVE`` in the end, ``doubtful`` had none."""

    kind: str
    passed: Rate
    doubtful: int


def measure(folder: Path, count: int, frames: int) -> list[Row]:
    """Play one visit of each kind for each of ``count`` people, evenly chosen among those of ``folder`` with two photos.

    Raises:
        DataError: there are no two such people.
        ImageError: a photo cannot be read.
    """
    ends: dict[str, list[float | None]] = {kind: [] for kind in KINDS}
    for kind, seen in _visits(folder, count, frames, tuple(KINDS)):
        ends[kind].append(seen[-1].score)
    return [
        Row(kind, wilson(sum(score is not None and score >= ALIVE for score in scores), len(scores)), scores.count(None))
        for kind, scores in ends.items()
    ]


def fit(folder: Path, count: int, frames: int) -> tuple[NDArray[np.float64], float]:
    """Slopes and offset of a ridge logistic regression on ``features``, live against ``FITTED``, at a BPCER of 5 %."""
    rows, best = [], []
    for kind, seen in _visits(folder, count, frames, ("live", *FITTED)):
        values = [features(means) for moment in seen if (means := moment.means) is not None]
        if values:
            rows.append((kind == "live", values[-1]))
            best += [values] if kind == "live" else []
    live = np.array([label for label, _ in rows])
    if len(set(live)) < 2:
        raise DataError(f"{folder}: too few faces that move to fit the check to")
    inputs = np.column_stack([np.array([value for _, value in rows]), np.ones(len(rows))])
    balance = np.where(live, 0.5 / live.mean(), 0.5 / (1 - live.mean()))
    ridge, weights = np.diag([0.01, 0.01, 0.0]) * len(rows), np.zeros(3)
    for _ in range(50):  # Newton's method
        odds = 1 / (1 + np.exp(-inputs @ weights))
        slope = inputs.T @ (balance * (odds - live)) + ridge @ weights
        weights -= np.linalg.solve((inputs * (balance * odds * (1 - odds))[:, None]).T @ inputs + ridge, slope)
    return weights[:2], -float(np.quantile([max(value @ weights[:2] for value in values) for values in best], 0.05))


@dataclass(frozen=True, slots=True)
class Moment:
    """The state of the check after a frame."""

    score: float | None
    means: NDArray[np.float64] | None


def _visits(folder: Path, count: int, frames: int, kinds: tuple[str, ...]) -> Iterator[tuple[str, list[Moment]]]:
    detector = detectors.create()
    able = [person for person in people(folder) if len(image_files(person)) > 1]
    if len(able) < 2:
        raise DataError(f"{folder}: there are no two people with two photos")
    chosen = able[:: max(1, len(able) // count)][:count]
    for number, person in enumerate(tqdm(chosen, unit="person", disable=None)):
        pictures = [load_image(path) for path in image_files(person)[:2]]
        faces = [detector.detect(picture) for picture in pictures]
        if not all(faces):
            continue
        wall = load_image(image_files(chosen[number - 1])[-1])
        behind = np.asarray(cv2.GaussianBlur(cv2.resize(wall, (WIDE, HIGH)), (0, 0), 6), np.uint8)
        scene = Scene(pictures, [found[0].landmarks for found in faces], behind, frames)
        for kind in kinds:
            yield kind, _watch(scene, kind, np.random.default_rng(zlib.crc32(f"{person.name}/{kind}".encode())), detector)


def _watch(scene: Scene, kind: str, random: np.random.Generator, detector: Detector) -> list[Moment]:
    check, seen = Liveness(), [Moment(None, None)]
    for frame in scene.play(kind, random):
        for face in detector.detect(frame)[:1]:
            check.see(frame, face.landmarks)
        seen.append(Moment(check.score, check.means))
    return seen
