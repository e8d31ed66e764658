"""Draws faces on pictures, and pictures on a sheet."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from edgeface.errors import EdgefaceError, ImageError
from edgeface.platform.files import write_whole
from edgeface.types import Box, Decision, Image, Observation

GREEN, AMBER, GREY, WHITE, DARK = (60, 180, 75), (240, 160, 20), (150, 150, 150), (255, 255, 255), (32, 32, 36)
FONT = cv2.FONT_HERSHEY_DUPLEX


def draw_face(image: Image, box: Box, label: str, colour: tuple[int, int, int]) -> None:
    unit = max(image.shape[:2]) / 640
    left, top = round(box.left), round(box.top)
    right, bottom = round(box.left + box.width), round(box.top + box.height)
    cv2.rectangle(image, (left, top), (right, bottom), colour, max(2, round(2 * unit)), cv2.LINE_AA)
    text = _drawable(label)
    (width, height), base = cv2.getTextSize(text, FONT, 0.55 * unit, max(1, round(unit)))
    x = int(np.clip(left, 0, max(0, image.shape[1] - width - 6)))
    y = top - base - 3 if top - height - base - 6 > 0 else min(bottom + height + 6, image.shape[0] - base - 1)
    cv2.rectangle(image, (x, y - height - 4), (x + width + 6, y + base + 1), colour, cv2.FILLED)
    cv2.putText(image, text, (x + 3, y), FONT, 0.55 * unit, WHITE, max(1, round(unit)), cv2.LINE_AA)


def draw_faces(image: Image, faces: Sequence[Observation]) -> Image:
    """Return a copy of the image with every matched face boxed and named: green is accepted, amber unsure, grey unknown."""
    picture = image.copy()
    for seen in faces:
        if seen.match is not None:
            name, colour = {
                Decision.ACCEPT: (seen.match.name or "", GREEN),
                Decision.UNSURE: ("unsure", AMBER),
                Decision.REJECT: ("unknown", GREY),
            }[seen.match.decision]
            draw_face(picture, seen.face.box, f"{name} {seen.match.score:.2f}", colour)
    return picture


def contact_sheet(rows: Sequence[tuple[str, Sequence[tuple[str, Image]]]], tile: tuple[int, int] = (320, 240)) -> Image:
    """Return titled rows of captioned pictures as one picture; each is fitted into a tile of ``tile`` pixels."""
    width, height = tile
    columns = max(len(pictures) for _, pictures in rows)
    gap, title, caption = 12, 40, 28
    sheet = np.full((gap + len(rows) * (title + height + caption + gap), gap + columns * (width + gap), 3), DARK, np.uint8)
    for r, (heading, pictures) in enumerate(rows):
        top = gap + r * (title + height + caption + gap)
        cv2.putText(sheet, _drawable(heading), (gap, top + 24), FONT, 0.7, WHITE, 1, cv2.LINE_AA)
        for c, (text, picture) in enumerate(pictures):
            left = gap + c * (width + gap)
            sheet[top + title : top + title + height, left : left + width] = _fit(picture, width, height)
            cv2.putText(sheet, _drawable(text), (left, top + title + height + 20), FONT, 0.5, WHITE, 1, cv2.LINE_AA)
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
    tile = np.zeros((height, width, 3), np.uint8)
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    tile[top : top + size[1], left : left + size[0]] = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return tile


def _drawable(text: str) -> str:
    """Return a text in ASCII, for OpenCV 4's fonts: without accents, and with question marks for other letters."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return plain.encode("ascii", "replace").decode()
