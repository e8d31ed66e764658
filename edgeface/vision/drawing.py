"""Draws faces on pictures, and pictures on a sheet."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from edgeface.errors import EdgefaceError, ImageError
from edgeface.platform.files import write_whole
from edgeface.types import Box, Image
from edgeface.vision.lettering import text_width, write_text

GREEN, AMBER, GREY, WHITE, DARK = (60, 180, 75), (240, 160, 20), (150, 150, 150), (255, 255, 255), (32, 32, 36)


def draw_face(image: Image, box: Box, label: str, colour: tuple[int, int, int], *, scale: float = 1.0) -> None:
    draw_boxes(image, [(box, label, colour)], scale=scale)


def draw_boxes(image: Image, boxes: Sequence[tuple[Box, str, tuple[int, int, int]]], *, scale: float = 1.0) -> None:
    """Draw boxes in their colours, and their labels, larger by ``scale``, where no label covers another."""
    unit = scale * max(image.shape[:2]) / 640
    for box, _, colour in boxes:
        corners = (round(box.left), round(box.top)), (round(box.left + box.width), round(box.top + box.height))
        cv2.rectangle(image, *corners, colour, max(2, round(2 * unit)), cv2.LINE_AA)
    taken: list[tuple[int, int, int, int]] = []
    capital = max(7.0, 11 * unit)
    height, inset = round(1.9 * capital), round(0.45 * capital)
    for box, label, colour in boxes:
        width = text_width(label, capital) + 2 * inset
        x, y = _free_place(image, box, (width, height), taken)
        taken.append((x, y, width, height))
        cv2.rectangle(image, (x, y), (x + width - 1, y + height - 1), colour, cv2.FILLED)
        write_text(image, label, (x + inset, y + height - inset), capital, WHITE)


def _free_place(image: Image, box: Box, size: tuple[int, int], taken: Sequence[tuple[int, int, int, int]]) -> tuple[int, int]:
    """Return where a label of a box covers none that is there: above the box, else below, else ever further away."""
    width, height = size
    x = int(np.clip(round(box.left), 0, max(0, image.shape[1] - width)))
    above, below, lowest = round(box.top) - height, round(box.top + box.height), max(0, image.shape[0] - height)
    tries = [place for step in range(len(taken) + 1) for place in (above - step * height, below + step * height)]
    for y in tries:
        free = all(
            x + width <= left or left + wide <= x or y + height <= top or top + high <= y for left, top, wide, high in taken
        )
        if free and 0 <= y <= lowest:
            return x, y
    return x, min(max(above, 0), lowest)


def contact_sheet(rows: Sequence[tuple[str, Sequence[tuple[str, Image]]]], tile: tuple[int, int] = (320, 240)) -> Image:
    """Return titled rows of captioned pictures as one picture; each is fitted into a tile of ``tile`` pixels."""
    width, height = tile
    columns = max(len(pictures) for _, pictures in rows)
    gap, title, caption = 12, 40, 28
    sheet = np.full((gap + len(rows) * (title + height + caption + gap), gap + columns * (width + gap), 3), DARK, np.uint8)
    for r, (heading, pictures) in enumerate(rows):
        top = gap + r * (title + height + caption + gap)
        write_text(sheet, heading, (gap, top + 26), 14, WHITE)
        for c, (text, picture) in enumerate(pictures):
            left = gap + c * (width + gap)
            sheet[top + title : top + title + height, left : left + width] = _fit(picture, width, height)
            write_text(sheet, text, (left, top + title + height + 19), 11, WHITE)
    return sheet


def check_suffix(path: Path, error: type[EdgefaceError] = ImageError) -> None:
    """See that the suffix of ``path`` names a format for pictures.

    Raises:
        EdgefaceError: of the type ``error``, if it does not.
    """
    if not cv2.haveImageWriter(str(path)):
        raise error(f"{path}: give it a suffix such as .png or .jpg")


def save_image(path: Path, image: Image) -> None:
    """Write an RGB image as the format that the suffix names, whole or not at all.

    Raises:
        ImageError: the suffix names no format, or the file cannot be written.
    """
    try:
        ok, data = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    except cv2.error:
        ok = False
    if not ok:
        raise ImageError(f"{path}: give it a suffix such as .png or .jpg")
    try:
        write_whole(path, data.tobytes())
    except OSError as error:
        raise ImageError(f"{path}: {error.strerror or error}") from None


def _fit(picture: Image, width: int, height: int) -> Image:
    factor = min(width / picture.shape[1], height / picture.shape[0])
    size = max(1, round(picture.shape[1] * factor)), max(1, round(picture.shape[0] * factor))
    tile = np.full((height, width, 3), DARK, np.uint8)
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    tile[top : top + size[1], left : left + size[0]] = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return tile
