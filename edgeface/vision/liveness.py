"""Scores from the views of a track whether a head moves there, or a photo of one.

Two views of a flat thing differ by a homography, however it is moved or tilted. Two views of a head do not: nose, cheeks and
ears lie at different depths. Points of the face are followed from view to view, and the motion that a homography explains is
subtracted. The score compares how much of the rest a head's relief explains, and how much a bent sheet.

A film of a head on a screen moves as the head did, and passes.
"""

from collections import deque
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeface.types import Image, Landmarks
from edgeface.vision.alignment import CHIP_SIZE, align

Array = NDArray[np.float64]

WINDOW = 11
"""Pairs of views that are judged together: the newest."""
ENOUGH = 4
"""Pairs that suffice for a first judgement."""
ALIVE = 0.5
"""The score from which on a face counts as live."""
MIDDLE, UNIT = np.array([56.0, 68.0]), 35.0
"""Middle of the face in a chip, and the distance between the eyes, in pixels: origin and unit of all coordinates below."""
POINTS, FEWEST = 60, 20
BENDS = np.pi / 6 * np.arange(6)
"""Axes of the cylinders that a sheet may be bent to, in radians."""
SLOPES, OFFSET = np.array([1.71, 1.97]), 2.81
"""Coefficients of the logistic regression on ``features``: `python -m train liveness celeba-train --fit`."""
TURNED = 0.025
"""Mean stretch of the face between views from which on a flat face would have been turned; a shaking hand that holds a photo
upright stretches it half as much."""
ROWS, COLUMNS = np.mgrid[0:CHIP_SIZE, 0:CHIP_SIZE]
FACE = np.where(((COLUMNS - 56) / 36) ** 2 + ((ROWS - 70) / 44) ** 2 < 1, 255, 0).astype(np.uint8)
"""The mask in a chip within which points are sought: the face's outline."""


@dataclass(slots=True, eq=False)
class Liveness:
    """The liveness of one track.

    ``score`` is the highest score so far, 0 to 1; a sheet of paper should stay below ``ALIVE``. It is ``None`` after too few
    views, or while the face has not turned.
    """

    score: float | None = None
    _anchor: Image | None = None
    _points: NDArray[np.float32] | None = None
    _pairs: deque[Array] = field(default_factory=lambda: deque(maxlen=WINDOW))

    def see(self, image: Image, landmarks: Landmarks) -> None:
        """Take in one more view: an RGB frame and the landmarks of the face in it."""
        chip = cv2.cvtColor(align(image, landmarks), cv2.COLOR_RGB2GRAY)
        self.add(np.asarray(cv2.GaussianBlur(chip, (0, 0), 1.2), np.uint8))

    def add(self, chip: Image) -> None:
        """Take in one more view as a chip, in grey and a little smoothed."""
        pair = None if self._anchor is None or self._points is None else _compare(self._anchor, self._points, chip)
        if pair is None:
            self._anchor = chip
            self._points = cv2.goodFeaturesToTrack(chip, POINTS, 0.01, 4, mask=FACE)  # type: ignore[assignment]
            return
        self._pairs.append(pair)
        if (means := self.means) is not None and (score := judge(means)) is not None:
            self.score = max(score, self.score or 0.0)

    @property
    def means(self) -> Array | None:
        """The means of ``explain`` over the newest pairs of views; ``None`` if there are too few pairs."""
        return np.asarray(np.mean(self._pairs, axis=0)) if len(self._pairs) >= ENOUGH else None


def judge(means: Array) -> float | None:
    """Return the score for means of ``explain``; ``None`` if they speak neither for a live face nor against one."""
    score = float(1 / (1 + np.exp(-np.clip(features(means) @ SLOPES + OFFSET, -30, 30))))
    return None if score < ALIVE and means[-1] < TURNED else score


def features(means: Array) -> Array:
    """Return the logarithms of a head's power, and of its ratio to the best bent sheet's; 0.01 is added as noise."""
    head, bent = means[0] + 0.01, means[1:-1].max() + 0.01
    return np.log([head, head / bent])


def explain(points: Array, motion: Array) -> Array:
    """Explain the motion of points between two chips, (n, 2) each in pixels, beyond a homography.

    Return the mean power, in squared pixels, of a head's relief, then of each cylinder of ``BENDS``; last, the stretch of the
    homography, the ratio of its singular values less 1. A small homography moves x and y by (1, x, y) times any 2 x 3 matrix
    and by (x, y) times a linear form; a relief adds its height times any vector (Longuet-Higgins and Prazdny, "The
    interpretation of a moving retinal image", 1980). Points that fit badly count less (Huber's weights).
    """
    count = len(points)
    x, y = ((points - MIDDLE) / UNIT).T
    plane = np.zeros((2 * count, 8))
    for column, value in enumerate((np.ones(count), x, y)):
        plane[:count, 2 * column] = plane[count:, 2 * column + 1] = value
    plane[:, 6], plane[:, 7] = np.concatenate([x * x, x * y]), np.concatenate([x * y, y * y])
    surfaces = [relief(x, y), *((x * np.cos(bend) + y * np.sin(bend)) ** 2 for bend in BENDS)]
    others = np.zeros((2 * count, 2 * len(surfaces) + 1))
    for column, value in enumerate(surfaces):
        others[:count, 2 * column] = others[count:, 2 * column + 1] = value
    others[:, -1] = motion.T.ravel()
    weights: Array = np.ones(count)
    for _ in range(3):
        each = np.tile(weights, 2)[:, None]
        base, beyond = plane * each, others * each
        beyond -= base @ np.linalg.solve(base.T @ base, base.T @ beyond)
        gram: Array = np.asarray(beyond.T @ beyond, np.float64)
        left = beyond[:, -1] - beyond[:, :2] @ _solve(gram, 1)[0]
        off = np.hypot(left[:count], left[count:]) / weights
        total = weights.sum()
        weights = np.minimum(1.0, np.sqrt(1.5 * max(float(np.median(off)), 0.05) / np.maximum(off, 1e-6)))
    powers = (gram[:-1, -1].reshape(-1, 2) * _solve(gram, len(surfaces))).sum(axis=1) / total
    fit = np.linalg.solve(plane.T @ plane, plane.T @ others[:, -1])
    longest, shortest = np.linalg.svd(fit[2:6].reshape(2, 2) / UNIT + np.eye(2), compute_uv=False)
    return np.array([*powers, longest / max(shortest, 1e-3) - 1])


def relief(x: Array, y: Array) -> Array:
    """Return the height of an average head towards the camera; unit and origin as for all coordinates here."""
    skull = 1.2 * np.sqrt(np.maximum(0.08, 1 - (x / 1.3) ** 2 - (y / 2) ** 2))
    nose = 0.32 * np.exp(-((x / 0.18) ** 2) / 2 - ((y - 0.12) / np.where(y > 0.12, 0.13, 0.32)) ** 2 / 2)
    sockets = sum(0.1 * np.exp(-((x - side) ** 2 + (y + 0.46) ** 2) / 0.08) for side in (-0.5, 0.5))
    return np.asarray(skull + nose - sockets)


def _solve(gram: Array, surfaces: int) -> Array:
    """Return the vectors by which the first surfaces explain the motion best, (surfaces, 2)."""
    at = 2 * np.arange(surfaces)[:, None] + np.arange(2)
    blocks = gram[at[:, :, None], at[:, None, :]] + 1e-3 * np.eye(2)
    return np.linalg.solve(blocks, gram[at, -1][..., None])[..., 0]


def _compare(anchor: Image, points: NDArray[np.float32], chip: Image) -> Array | None:
    """Return ``explain`` for two grey chips; ``None`` if too few points are found again."""
    there, found, _ = _follow(anchor, chip, points)
    back, found_back, _ = _follow(chip, anchor, there)
    sure = (found[:, 0] > 0) & (found_back[:, 0] > 0) & (np.abs(back - points).max(axis=(1, 2)) < 0.5)
    if np.count_nonzero(sure) < FEWEST:
        return None
    start = points[sure, 0].astype(np.float64)
    return explain(start, there[sure, 0] - start)


def _follow(before: Image, after: Image, points: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.uint8], object]:
    """Follow points by Lucas and Kanade's method in Bouguet's pyramids, as OpenCV has it."""
    return cv2.calcOpticalFlowPyrLK(before, after, points, None, winSize=(15, 15), maxLevel=2, criteria=(3, 10, 0.03))  # type: ignore[call-overload, no-any-return]
