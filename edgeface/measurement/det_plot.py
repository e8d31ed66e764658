"""Draws a DET plot, FNIR over FPIR on log scales, with libraries that the device has."""

from collections.abc import Mapping, Sequence
from math import log10

import cv2
import numpy as np

from edgeface.types import Image
from edgeface.vision.lettering import text_width, write_text

WIDTH, HEIGHT = 720, 540
LEFT, RIGHT, TOP, BOTTOM = 90, 30, 62, 70
LOWEST = {"x": 1e-5, "y": 1e-2}
INK, RULE, PAPER = (40, 40, 44), (214, 214, 218), (255, 255, 255)
COLOURS = ((31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189))  # matplotlib's, of all other plots


def draw_det(curves: Mapping[str, Sequence[tuple[float, float]]]) -> Image:
    """Draw curves of (FPIR, FNIR) points by their labels, as a 720 x 540 picture.

    The axes go from 0.001 % and 1 % to 100 %; lower values, such as 0, are drawn on the edge.
    """
    picture = np.full((HEIGHT, WIDTH, 3), PAPER, np.uint8)
    _axes(picture)
    for number, (label, points) in enumerate(curves.items()):
        colour = COLOURS[number % len(COLOURS)]
        line = np.array([_place(x, y) for x, y in sorted(points, key=lambda point: (point[0], -point[1]))], np.int32).reshape(
            -1, 1, 2
        )
        cv2.polylines(picture, [line], False, colour, 2, cv2.LINE_AA)
        for ((x, y),) in line:
            cv2.circle(picture, (int(x), int(y)), 4, colour, cv2.FILLED, cv2.LINE_AA)
        at = HEIGHT - BOTTOM - 16 - 22 * (len(curves) - 1 - number)
        cv2.line(picture, (LEFT + 14, at - 5), (LEFT + 40, at - 5), colour, 2, cv2.LINE_AA)
        _text(picture, label, (LEFT + 48, at))
    return picture


def _axes(picture: Image) -> None:
    for exponent in range(-5, 1):
        x, _ = _place(10.0**exponent, 1.0)
        cv2.line(picture, (x, TOP), (x, HEIGHT - BOTTOM), RULE, 1)
        _text(picture, f"{100 * 10.0**exponent:g} %", (x, HEIGHT - BOTTOM + 22), 0.5)
    for share in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0):
        _, y = _place(1.0, share)
        cv2.line(picture, (LEFT, y), (WIDTH - RIGHT, y), RULE, 1)
        _text(picture, f"{100 * share:g} %", (LEFT - 8, y + 5), 1)
    cv2.rectangle(picture, (LEFT, TOP), (WIDTH - RIGHT, HEIGHT - BOTTOM), INK, 1)
    middle = (LEFT + WIDTH - RIGHT) // 2
    _text(picture, "FPIR: strangers' visits in which somebody was announced", (middle, HEIGHT - 18), 0.5)
    _text(picture, "FNIR: visits of enrolled people in which they were not announced", (LEFT, TOP - 12))
    write_text(picture, "Strangers announced and people missed, as the target varies", (LEFT, 22), 11, INK)


def _place(x: float, y: float) -> tuple[int, int]:
    """Return the pixel of a point; both axes are logarithmic and end at 1."""
    across = 1 - log10(max(x, LOWEST["x"])) / log10(LOWEST["x"])
    up = 1 - log10(max(y, LOWEST["y"])) / log10(LOWEST["y"])
    return round(LEFT + across * (WIDTH - LEFT - RIGHT)), round(HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM))


def _text(picture: Image, text: str, place: tuple[int, int], left: float = 0.0) -> None:
    """Write a text of which this share lies to the left of a place."""
    write_text(picture, text, (place[0] - round(left * text_width(text, 9)), place[1]), 9, INK)
