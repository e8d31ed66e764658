"""Writes text on pictures in the letters of font.png, which deploy/font.py has made."""

import unicodedata
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from edgeface.types import Image

FILE = Path(__file__).parent / "font.png"


class _Font(msgspec.Struct, frozen=True):
    """Which characters stand in the picture, how wide each is, and where a capital begins and ends in the line's height."""

    characters: str
    advances: list[int]
    pad: int
    capital: tuple[int, int]


def text_width(text: str, capital: float) -> int:
    """Return the width in pixels of a text whose capitals are ``capital`` pixels high."""
    return _mask(text, capital).shape[1]


def write_text(image: Image, text: str, place: tuple[int, int], capital: float, colour: tuple[int, int, int]) -> None:
    """Write a line whose capitals are ``capital`` pixels high and stand on ``place``, the left end of the base line."""
    mask = _mask(text, capital)
    left, top = place[0], place[1] - round(_letters()[0].capital[1] * _scale(capital))
    first_row, first_column = max(0, -top), max(0, -left)
    part = image[max(0, top) : max(0, top + mask.shape[0]), max(0, left) : max(0, left + mask.shape[1])]
    share = mask[first_row : first_row + part.shape[0], first_column : first_column + part.shape[1], np.newaxis] / 255
    part[:] = np.rint(part * (1 - share) + np.array(colour) * share)


@cache
def _letters() -> tuple[_Font, dict[str, NDArray[np.uint8]]]:
    font = msgspec.json.decode(FILE.with_suffix(".json").read_bytes(), type=_Font)
    strip = np.asarray(cv2.imread(str(FILE), cv2.IMREAD_GRAYSCALE), np.uint8)
    ends = np.cumsum([advance + 2 * font.pad for advance in font.advances])
    return font, dict(zip(font.characters, np.split(strip, ends[:-1], axis=1), strict=True))


def _scale(capital: float) -> float:
    top, bottom = _letters()[0].capital
    return capital / (bottom - top)


def _mask(text: str, capital: float) -> NDArray[np.uint8]:
    """Return how far each pixel of a line's box is covered, 0 to 255."""
    font, letters = _letters()
    drawn = [letters[one] for one in _drawable(text, letters)]
    width = sum(letter.shape[1] - 2 * font.pad for letter in drawn)
    line = np.zeros((letters[" "].shape[0], width + 2 * font.pad), np.uint8)
    at = 0
    for letter in drawn:
        np.maximum(line[:, at : at + letter.shape[1]], letter, out=line[:, at : at + letter.shape[1]])
        at += letter.shape[1] - 2 * font.pad
    size = max(1, round(line.shape[1] * _scale(capital))), max(1, round(line.shape[0] * _scale(capital)))
    return np.asarray(cv2.resize(line, size, interpolation=cv2.INTER_AREA if size[0] < line.shape[1] else cv2.INTER_CUBIC))


def _drawable(text: str, letters: dict[str, NDArray[np.uint8]]) -> Iterator[str]:
    """Yield the characters of a text; of one that the font lacks the letter without its accents, else a question mark."""
    for one in unicodedata.normalize("NFC", text):
        if one in letters:
            yield one
        elif not unicodedata.combining(one):
            plain = unicodedata.normalize("NFKD", one)[0]
            yield plain if plain in letters else "?"
