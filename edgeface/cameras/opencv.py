"""Opens Video4Linux devices and streams by URL, through OpenCV."""

import os

import cv2

from edgeface.cameras.ffmpeg import Stream
from edgeface.cameras.live import LiveCamera
from edgeface.config import schema, sources
from edgeface.errors import CameraError
from edgeface.types import Image
from edgeface.vision.images import as_rgb

OPEN_TIMEOUT_MS, READ_TIMEOUT_MS = 4000, 3000


class Device:
    """One opened Video4Linux device; ``label`` names it in errors.

    Raise ``CameraError`` if it cannot be opened, or gives larger frames than ``max_pixels``.
    """

    def __init__(self, capture: cv2.VideoCapture, label: str, max_pixels: int) -> None:
        self._capture, self._label, self._max_pixels = capture, label, max_pixels
        if not capture.isOpened():
            raise CameraError(f"{label} cannot be opened")
        width, height = (int(capture.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        try:
            self._check(width, height)
        except CameraError:
            capture.release()
            raise

    def read(self) -> Image:
        """Wait for the next RGB image; only a read shows whether the device lives, ``isOpened`` does not."""
        ok, picture = self._capture.read()
        if not ok or picture is None:
            raise CameraError(f"{self._label} gives no more frames")
        self._check(picture.shape[1], picture.shape[0])
        return as_rgb(picture)

    def _check(self, width: int, height: int) -> None:
        if width * height > self._max_pixels:
            raise CameraError(
                f"{self._label} gives frames of {width} x {height} pixels; camera.max_pixels allows {self._max_pixels}"
            )

    def close(self) -> None:
        self._capture.release()


def open_device(settings: schema.CameraSettings) -> LiveCamera:
    """Build the camera of ``v4l2:/dev/videoN``."""
    device = settings.source.partition(":")[2]

    def source() -> Device:
        try:  # OpenCV does not say why
            os.close(os.open(device, os.O_RDWR | os.O_NONBLOCK))
        except (OSError, ValueError) as error:
            raise CameraError(f"{device} cannot be opened: {getattr(error, 'strerror', None) or error}") from None
        capture = cv2.VideoCapture(device, cv2.CAP_V4L2)
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, settings.width)
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, settings.height)
        capture.set(cv2.CAP_PROP_FPS, settings.fps)
        return Device(capture, device, settings.max_pixels)

    return LiveCamera(source, settings.fps)


def open_url(settings: schema.CameraSettings) -> LiveCamera:
    """Build the camera of an ``rtsp(s)://`` or ``http(s)://`` URL, of which messages name only host and port."""
    label = sources.shown(settings.source)

    def source() -> Stream:
        # FFmpeg's own read time-out is half a minute; these are the only settings that it obeys.
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, OPEN_TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, READ_TIMEOUT_MS]
        return Stream(settings.source, label, settings.max_pixels, limits)

    return LiveCamera(source, settings.fps)
