"""Draws a DET plot, FNIR over FPIR on log scales, with libraries that the device has."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

import cv2
import numpy as np

from edgeface.types import Image
from edgeface.vision.lettering import text_width, write_text

WIDTH, HEIGHT = 720, 540
LEFT, RIGHT, TOP, BOTTOM = 90, 30, 62, 70
TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
LEAST_EXPONENT = -5
BETWEEN_LABELS = 18
INK, RULE, PAPER = (40, 40, 44), (214, 214, 218), (255, 255, 255)
COLOURS = ((31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189))  # matplotlib's, of all other plots


@dataclass(frozen=True, slots=True)
class _Axes:
    """The lowest FPIR and FNIR that are drawn; lower values, such as 0, lie on the edge. Both axes end at 1."""

    x: float
    y: float

    def place(self, x: float, y: float) -> tuple[int, int]:
        across, up = (1 - log10(max(value, lowest)) / log10(lowest) for value, lowest in ((x, self.x), (y, self.y)))
        return round(LEFT + across * (WIDTH - LEFT - RIGHT)), round(HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM))


def draw_det(curves: Mapping[str, Sequence[tuple[float, float]]]) -> Image:
    """Draw curves of (FPIR, FNIR) points, each with its label at its right end, as a 720 x 540 picture.

    The axes begin at the power of ten, and at the tick, below the lowest values, at 0.001 % and 1 % at the least.
    """
    points = [point for curve in curves.values() for point in curve]
    exponent = floor(log10(_lowest((x for x, _ in points), 10.0**LEAST_EXPONENT)))
    lowest = _lowest((y for _, y in points), TICKS[0])
    axes = _Axes(10.0 ** min(exponent, -1), max(tick for tick in TICKS[:-1] if tick <= max(lowest, TICKS[0])))
    picture = np.full((HEIGHT, WIDTH, 3), PAPER, np.uint8)
    _draw_axes(picture, axes)
    ends = []
    for number, (label, curve) in enumerate(curves.items()):
        colour = COLOURS[number % len(COLOURS)]
        line = np.array([axes.place(x, y) for x, y in sorted(curve, key=lambda point: (point[0], -point[1]))], np.int32)
        cv2.polylines(picture, [line.reshape(-1, 1, 2)], False, colour, 2, cv2.LINE_AA)
        for x, y in line:
            cv2.circle(picture, (int(x), int(y)), 4, colour, cv2.FILLED, cv2.LINE_AA)
        if len(line):
            ends.append((int(line[-1][1]), int(line[-1][0]), label, colour))
    _label(picture, ends)
    return picture


def _lowest(values: Iterable[float], least: float) -> float:
    """Return the lowest value over 0, and ``least`` if there is none, or it is lower."""
    return max(min((value for value in values if value > 0), default=least), least)


def _draw_axes(picture: Image, axes: _Axes) -> None:
    for exponent in range(ceil(log10(axes.x) - 0.5), 1):
        x, _ = axes.place(10.0**exponent, 1.0)
        cv2.line(picture, (x, TOP), (x, HEIGHT - BOTTOM), RULE, 1)
        _text(picture, f"{100 * 10.0**exponent:g} %", (x, HEIGHT - BOTTOM + 22), 0.5)
    for share in (tick for tick in TICKS if tick >= axes.y):
        _, y = axes.place(1.0, share)
        cv2.line(picture, (LEFT, y), (WIDTH - RIGHT, y), RULE, 1)
        _text(picture, f"{100 * share:g} %", (LEFT - 8, y + 5), 1)
    cv2.rectangle(picture, (LEFT, TOP), (WIDTH - RIGHT, HEIGHT - BOTTOM), INK, 1)
    middle = (LEFT + WIDTH - RIGHT) // 2
    _text(picture, "FPIR: strangers' visits in which somebody was announced", (middle, HEIGHT - 18), 0.5)
    _text(picture, "FNIR: visits of enrolled people in which they were not announced", (LEFT, TOP - 12))
    write_text(picture, "Strangers announced and people missed, as the target varies", (LEFT, 22), 11, INK)


def _label(picture: Image, ends: list[tuple[int, int, str, tuple[int, int, int]]]) -> None:
    """Write labels at the right ends (y, x) of their curves, from the top down, none over another."""
    free = TOP
    for y, x, label, colour in sorted(ends):
        base = max(y + 5, free + BETWEEN_LABELS)
        width = text_width(label, 9)
        at = x + 12 if x + 12 + width <= WIDTH - RIGHT else x - 12 - width
        write_text(picture, label, (at, base), 9, colour)
        free = base


def _text(picture: Image, text: str, place: tuple[int, int], left: float = 0.0) -> None:
    """Write a text of which this share lies to the left of a place."""
    write_text(picture, text, (place[0] - round(left * text_width(text, 9)), place[1]), 9, INK)
