"""Decodes untrusted images within limits, encodes and crops them."""

from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeface.errors import ImageError
from edgeface.types import Box, Image

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
"""Suffixes of image files."""
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of a JPEG that state its size."""
MAX_FILE_BYTES = 64 * 2**20
MAX_PIXELS = 64 * 10**6
MAX_SIDE = 32_000  # OpenCV warps no image of 32,768 or more
MAX_PHOTO_PIXELS, PHOTO_SIDE = 16 * 10**6, 2048
SCALES = {1: cv2.IMREAD_COLOR, 2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}
_one_photo = Lock()


def image_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def load_image(path: Path, max_pixels: int = MAX_PIXELS) -> Image:
    """Read an image file as RGB, turned upright by its EXIF orientation.

    Raises:
        ImageError: the file is missing, larger than 64 MB, or as ``decode_image``.
    """
    try:
        if path.exists() and not path.is_file():
            raise ImageError(f"{path}: not a file")
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise ImageError(f"{path}: {size / 2**20:.0f} MB is too large, the limit is {MAX_FILE_BYTES // 2**20} MB")
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path}: {error.strerror or error}") from None
    return decode_image(data, str(path), max_pixels)


def decode_photo(data: bytes, label: str) -> Image:
    """Decode a photo that somebody has sent, scaled down to 2048 pixels a side; ``label`` names it in errors.

    Photos of all requests are decoded one after the other, so that the memory for decoding is needed only once.

    Raises:
        ImageError: as ``decode_image``, or the photo has more than 16 megapixels.
    """
    width, height = _checked_size(data, label)
    if width * height > MAX_PHOTO_PIXELS:
        limit = MAX_PHOTO_PIXELS // 10**6
        raise ImageError(f"{label}: {width} x {height} pixels is too large, the limit is {limit} megapixels")
    # Pixels that the JPEG decoder leaves out cost neither time nor memory.
    how = cv2.IMREAD_REDUCED_COLOR_2 if max(width, height) >= 2 * PHOTO_SIDE else cv2.IMREAD_COLOR
    with _one_photo:
        image = _decode(data, label, how)
        return shrunk(image, PHOTO_SIDE / max(image.shape))


def decode_image(data: bytes, label: str, max_pixels: int = MAX_PIXELS) -> Image:
    """Decode the bytes of an image file; ``label`` names it in errors. A JPEG of more than ``max_pixels`` is scaled down.

    Raises:
        ImageError: the bytes are empty, no image, an image of more than 64 megapixels, or one that cannot be scaled down.
    """
    width, height = _checked_size(data, label)
    how = next((flag for by, flag in SCALES.items() if -(-width // by) * -(-height // by) <= max_pixels), None)
    if how is None or (how != cv2.IMREAD_COLOR and not _is_read_in_lines(data)):
        raise ImageError(
            f"{label}: {width} x {height} pixels; camera.max_pixels allows {max_pixels}, and this picture cannot be scaled down"
        )
    return _decode(data, label, how)


def _checked_size(data: bytes, label: str) -> tuple[int, int]:
    if not data:
        raise ImageError(f"{label}: the file is empty")
    dimensions = image_size(data)
    if dimensions is None:
        raise ImageError(f"{label}: not a JPEG, PNG, WebP or BMP image")
    width, height = dimensions
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise ImageError(f"{label}: {width} x {height} pixels is too large, the limits are 64 megapixels and {MAX_SIDE} a side")
    return width, height


def _decode(data: bytes, label: str, how: int) -> Image:
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), how)
    except cv2.error:
        image = None
    if image is None:
        raise ImageError(f"{label}: the image is damaged")
    return as_rgb(image)


def as_rgb(image: NDArray[Any]) -> Image:
    """Turn OpenCV's BGR into RGB in place: a Raspberry Pi has no memory for a second copy of a large frame."""
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image), np.uint8)


def shrunk(image: Image, factor: float) -> Image:
    """Return an image scaled down by a factor, or the image itself for a factor of 1 or more."""
    if factor >= 1:
        return image
    height, width = image.shape[:2]
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def image_size(data: bytes) -> tuple[int, int] | None:
    """Return width and height from a file's header, without decoding the image; ``None`` if the format is unknown."""
    if data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) >= 24:
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    if data[:2] == b"BM" and len(data) >= 26:
        return int.from_bytes(data[18:22], "little"), abs(int.from_bytes(data[22:26], "little", signed=True))
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp_size(data)
    for at, marker in _jpeg_markers(data):
        if marker in FRAMES:
            return int.from_bytes(data[at + 7 : at + 9], "big"), int.from_bytes(data[at + 5 : at + 7], "big")
    return None


def _webp_size(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if len(data) < 30:
        return None
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF
    return None


def _is_read_in_lines(data: bytes) -> bool:
    """Return whether a JPEG's only scan has all colours: the decoder takes any other whole, and scales it down afterwards."""
    colours = 0
    for at, marker in _jpeg_markers(data):
        if marker in FRAMES and marker not in (0xC0, 0xC1):
            return False
        if marker in FRAMES:
            colours = data[at + 9] if at + 9 < len(data) else 0
        elif marker == 0xDA:
            return data[at + 4] == colours
    return False


def _jpeg_markers(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the start of each segment of a JPEG, and its marker; nothing of another file."""
    at = 2 if data[:2] == b"\xff\xd8" else len(data)
    while at + 9 <= len(data):
        if data[at] != 0xFF:
            at += 1
            continue
        marker = data[at + 1]
        yield at, marker
        standalone = marker in (0x01, 0xFF) or 0xD0 <= marker <= 0xD8
        at += 1 if marker == 0xFF else 2 if standalone else 2 + int.from_bytes(data[at + 2 : at + 4], "big")


def crop(image: Image, box: Box, margin: float) -> Image:
    """Return the part of an image in a box that is enlarged by ``margin`` of its size on every side."""
    height, width = image.shape[:2]
    aside, above = margin * box.width, margin * box.height
    left, top = (int(np.clip(edge, 0, end - 1)) for edge, end in ((box.left - aside, width), (box.top - above, height)))
    right, bottom = round(box.left + box.width + aside), round(box.top + box.height + above)
    return image[top : max(bottom, top + 1), left : max(right, left + 1)]


def encode_png(image: Image) -> bytes:
    return cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()


def encode_jpeg(image: Image, max_side: int, fidelity: int = 85) -> tuple[bytes, tuple[int, int]]:
    """Return an RGB image as a JPEG, scaled down to ``max_side`` pixels if it is larger, with its width and height."""
    small = shrunk(image, max_side / max(image.shape[:2]))
    _, data = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, fidelity])
    return data.tobytes(), (small.shape[1], small.shape[0])
