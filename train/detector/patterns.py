"""Draw textures and patterns, pictures without faces of which there are as many as one likes."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeface.types import Image
from train.augment import blur, noise, rotation

SIZE = (480, 360)
"""Width and height, in pixels."""

PERIODS = (6.0, 160.0)
"""Pixels after which a pattern repeats, at least and at most."""

Grid = NDArray[np.float64]
"""A number for each pixel."""


def pattern(random: np.random.Generator) -> Image:
    """Draw one of ``KINDS`` in two colours, turned, bent and unevenly lit."""
    columns, rows = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]))
    period = np.exp(random.uniform(*np.log(PERIODS)))
    turn = rotation(random.choice([0.0, random.uniform(-45, 45)])) / period
    x, y = (turn[row, 0] * columns + turn[row, 1] * rows for row in range(2))
    bend = random.choice([0.0, random.uniform(0, 1.5)])
    x, y = x + bend * _cloud(random), y + bend * _cloud(random)
    share = KINDS[random.integers(len(KINDS))](x, y, random)[..., None]
    one, other = random.uniform(0, 255, (2, 1)) + random.normal(0, 40, (2, 3))
    shade = 1 + random.uniform(0, 0.6) * (_cloud(random)[..., None] - 0.5)
    image = np.clip((one + share * (other - one)) * shade, 0, 255).astype(np.uint8)
    return noise(blur(image, random.uniform(0.5, 1.5)), random.uniform(0, 8), random)


def _stripes(x: Grid, y: Grid, random: np.random.Generator) -> Grid:
    return _wave(x)


def _rings(x: Grid, y: Grid, random: np.random.Generator) -> Grid:
    middle = random.integers(0, SIZE[1]), random.integers(0, SIZE[0])
    return _wave(np.hypot(x - x[middle], y - y[middle]))


def _checks(x: Grid, y: Grid, random: np.random.Generator) -> Grid:
    return np.asarray((np.floor(x) + np.floor(y)) % 2)


def _dots(x: Grid, y: Grid, random: np.random.Generator) -> Grid:
    away = np.hypot(x % 1 - 0.5, (y % 1 - 0.5) * random.uniform(0.7, 1.4))
    return (away < random.uniform(0.15, 0.45)).astype(np.float64)


def _bricks(x: Grid, y: Grid, random: np.random.Generator) -> Grid:
    joint = random.uniform(0.05, 0.2)
    along = (x / 2 + np.floor(y) % 2 / 2) % 1
    return ((along > joint / 2) & (y % 1 > joint)).astype(np.float64)


def _windows(x: Grid, y: Grid, random: np.random.Generator) -> Grid:
    """Two panes and a sill below them in each period: dark and light lie as in a face."""
    across, down = x % 1, y % 1
    bar, top, foot = random.uniform(0.02, 0.1), random.uniform(0.1, 0.3), random.uniform(0.4, 0.6)
    panes = (np.abs(across - 0.5) > bar) & (np.abs(across - 0.5) < 0.35) & (down > top) & (down < foot)
    sill = (np.abs(across - 0.5) < random.uniform(0.1, 0.35)) & (np.abs(down - 0.75) < random.uniform(0.02, 0.1))
    return np.asarray(panes | sill, np.float64)


def _clouds(x: Grid, y: Grid, random: np.random.Generator) -> Grid:
    return _cloud(random)


KINDS: tuple[Callable[[Grid, Grid, np.random.Generator], Grid], ...] = (
    _stripes,
    _rings,
    _checks,
    _dots,
    _bricks,
    _windows,
    _clouds,
)
"""Each gives the share of the second colour, 0 to 1, of coordinates in periods."""


def _wave(x: Grid) -> Grid:
    return np.asarray(0.5 + 0.5 * np.sin(2 * np.pi * x))


def _cloud(random: np.random.Generator) -> Grid:
    """Random numbers 0 to 1 that change slowly, and in finer steps a little."""
    total = np.zeros(SIZE[::-1])
    for octave in range(5):
        coarse = random.random((3 * 2**octave, 4 * 2**octave))
        total += cv2.resize(coarse, SIZE, interpolation=cv2.INTER_CUBIC) / 2**octave
    return np.asarray((total - total.min()) / (total.max() - total.min()))
