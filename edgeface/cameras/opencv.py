"""Devices of Video4Linux and streams by URL, through OpenCV."""

import os
from typing import Any

import cv2
import numpy as np

from edgeface import config
from edgeface.cameras.live import LiveCamera
from edgeface.errors import CameraError
from edgeface.types import Image

OPEN_TIMEOUT_MS, READ_TIMEOUT_MS = 4000, 3000

# Both complain at every frame and every try, past our log and its limits; FFmpeg with the stream's address, password and all.
# OpenCV 4.11, for Python 3.11, has the one name only, and 4.13 the other.
_log: Any = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging  # type: ignore[attr-defined]
_log.setLogLevel(2)
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


class Capture:
    """One opened ``cv2.VideoCapture``; ``label`` names it in errors.

    Raises:
        CameraError: it cannot be opened.
    """

    def __init__(self, capture: cv2.VideoCapture, label: str) -> None:
        self._capture, self._label = capture, label
        if not capture.isOpened():
            raise CameraError(f"{label} cannot be opened")

    def read(self) -> Image:
        """Wait for the next RGB image; only a read tells whether the device lives, ``isOpened`` does not."""
        ok, picture = self._capture.read()
        if not ok or picture is None:
            raise CameraError(f"{self._label} gives no more frames")
        return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)

    def close(self) -> None:
        """Release the device."""
        self._capture.release()


def open_device(settings: config.Camera) -> LiveCamera:
    """``v4l2:/dev/videoN``."""
    device = settings.source.partition(":")[2]

    def source() -> Capture:
        try:  # OpenCV does not say why
            os.close(os.open(device, os.O_RDWR | os.O_NONBLOCK))
        except (OSError, ValueError) as error:
            raise CameraError(f"{device} cannot be opened: {getattr(error, 'strerror', None) or error}") from None
        capture = cv2.VideoCapture(device, cv2.CAP_V4L2)
        for name, value in (
            (cv2.CAP_PROP_FRAME_WIDTH, settings.width),
            (cv2.CAP_PROP_FRAME_HEIGHT, settings.height),
            (cv2.CAP_PROP_FPS, settings.fps),
        ):
            capture.set(name, value)
        return Capture(capture, device)

    return LiveCamera(source, settings.fps)


def open_url(settings: config.Camera) -> LiveCamera:
    """``rtsp://``, ``rtsps://``, ``http://`` or ``https://``; a password in the URL appears in no message."""
    label = config.masked(settings.source)

    def source() -> Capture:
        # FFmpeg's own read time-out is half a minute; these are the only settings that it obeys.
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, OPEN_TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, READ_TIMEOUT_MS]
        return Capture(cv2.VideoCapture(settings.source, cv2.CAP_FFMPEG, limits), label)

    return LiveCamera(source, settings.fps)
