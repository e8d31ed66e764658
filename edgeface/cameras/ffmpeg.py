"""Reads streams and video files by the FFmpeg inside OpenCV, within memory that the settings limit."""

import ctypes
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import cv2
import numpy as np

from edgeface.errors import CameraError, ImageError
from edgeface.platform import environment
from edgeface.types import Image
from edgeface.vision.images import as_rgb, decode_image

# OpenCV and FFmpeg complain at every frame and every try, past our log and its limits, FFmpeg with the address and password.
# OpenCV 4.11, for Python 3.11, has only the first name, and 4.13 only the second.
_log: Any = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging  # type: ignore[attr-defined]
_log.setLogLevel(0)
environment.advise(OPENCV_FFMPEG_LOGLEVEL="-8")

SLACK = 2 * 2**20  # bytes by which the largest plane of a frame may be larger than its pixels: lines are padded
PROMPT = 1.0  # seconds after which a failed grab means that the stream stands still; before, that the frame cannot be decoded


class Stream:
    """One opened address or file; ``label`` names it in errors. Raise ``CameraError`` if it cannot be opened.

    FFmpeg gets no block of memory larger than one plane of a frame of ``max_pixels``, so it decodes no larger frame. Larger
    frames of an MJPEG stream are taken undecoded, and scaled down as JPEGs.
    """

    def __init__(self, address: str, label: str, max_pixels: int, limits: Sequence[int] = ()) -> None:
        self._label, self._max_pixels = label, max_pixels
        self._plane = max_pixels + max_pixels // 4 + SLACK
        _set_largest_block(self._plane)
        try:
            self._capture = cv2.VideoCapture(address, cv2.CAP_FFMPEG, limits)
        except (cv2.error, ValueError):  # the error's own text names the address
            raise CameraError(f"{label} cannot be opened") from None
        if not self._capture.isOpened():
            raise CameraError(f"{label} cannot be opened")
        self.fps = self._capture.get(cv2.CAP_PROP_FPS)
        width, height = (int(self._capture.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        self._too_large = f"frames of {width} x {height} pixels" if width * height > max_pixels else ""
        self._undecoded = bool(self._too_large) and self._leave_undecoded()

    def grab(self) -> bool:
        """Go on to the next frame; return false if there is none."""
        if not self._undecoded:
            _set_largest_block(self._plane)
            began = time.monotonic()
            if self._capture.grab():
                return True
            if time.monotonic() - began > PROMPT:
                return False
            self._undecoded = self._leave_undecoded()  # frames may have become too large
        return self._capture.grab()

    def retrieve(self) -> Image:
        """Return the RGB image of the frame. Raise ``CameraError`` if it is damaged or too large."""
        if not self._undecoded:
            _set_largest_block(3 * self._plane)
        ok, picture = self._capture.retrieve()
        if not ok or picture is None:
            raise CameraError(f"{self._label} gives no frame that can be read")
        if not self._undecoded:
            return as_rgb(picture)
        data = np.asarray(picture, np.uint8).tobytes()
        if not data.startswith(b"\xff\xd8"):
            raise CameraError(self._refusal())
        self._too_large = ""
        try:
            return decode_image(data, self._label, self._max_pixels)
        except ImageError as error:
            raise CameraError(str(error)) from None

    def read(self) -> Image:
        """Wait for the next RGB image. Raise ``CameraError`` as ``retrieve``, or if the stream ended: only a read shows it."""
        if not self.grab():
            raise CameraError(self._refusal() if self._too_large else f"{self._label} gives no more frames")
        return self.retrieve()

    def close(self) -> None:
        self._capture.release()

    def _leave_undecoded(self) -> bool:
        return bool(self._capture.set(cv2.CAP_PROP_FORMAT, -1))

    def _refusal(self) -> str:
        sent = self._too_large or "damaged frames, or larger ones"
        return f"{self._label} sends {sent}; camera.max_pixels allows {self._max_pixels}: take a smaller stream, or allow more"


def _largest_block() -> Callable[[int], object]:
    """Find FFmpeg's function that limits its blocks of memory, which OpenCV does not export."""
    with suppress(OSError, AttributeError, StopIteration):
        with open("/proc/self/maps", encoding="utf-8") as maps:  # noqa: PTH123
            library = next(line.split(maxsplit=5)[5].strip() for line in maps if "/libavutil" in line)
        function = ctypes.CDLL(library).av_max_alloc
        function.argtypes, function.restype = [ctypes.c_size_t], None
        return function
    return lambda _size: None


_set_largest_block = _largest_block()
