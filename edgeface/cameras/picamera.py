"""Opens the Raspberry Pi's camera connector through picamera2 (from apt: ``python3-picamera2``)."""

import os
from contextlib import suppress
from typing import Any

import numpy as np

from edgeface.cameras.live import LiveCamera
from edgeface.config import schema
from edgeface.errors import CameraError
from edgeface.types import Image

FORMAT = "BGR888"
"""libcamera names formats by their order in a register: in memory, and so in the array, this one's order is R, G, B."""


class PicameraSource:
    """One started ``Picamera2``. Raise ``CameraError`` if the package or a camera is missing, in use, or gives no RGB."""

    def __init__(self, settings: schema.CameraSettings) -> None:
        try:
            from picamera2 import Picamera2
        except ImportError as error:
            raise CameraError(
                f"picamera2 is not there ({error}); apt install python3-picamera2, in a venv with system site packages"
            ) from None
        self._camera: Any = None
        try:
            self._camera = _acquire(Picamera2, _number(Picamera2, settings.source.partition(":")[2]))
            paced = "FrameDurationLimits" in self._camera.camera_controls  # not every camera of libcamera can be told its rate
            wanted = self._camera.create_video_configuration(
                main={"format": FORMAT, "size": (settings.width, settings.height)},
                controls={"FrameRate": settings.fps} if paced else {},
            )
            self._camera.configure(wanted)
            given = self._camera.camera_configuration()["main"]["format"]
            if given != FORMAT:
                raise RuntimeError(f"the camera gives {given}, not {FORMAT}; a USB camera is a v4l2 source")
            self._camera.start()
        except (RuntimeError, IndexError, OSError) as error:
            if self._camera is not None:
                self._camera.close()
            raise CameraError(f"picamera: {_reason(error)}") from None

    def read(self) -> Image:
        """Wait for the next RGB image."""
        try:
            return np.ascontiguousarray(self._camera.capture_array("main")[:, :, :3], np.uint8)
        except (RuntimeError, OSError) as error:
            raise CameraError(f"picamera: {_reason(error)}") from None

    def close(self) -> None:
        try:
            self._camera.stop()
        finally:
            self._camera.close()


def list_cameras() -> list[str]:
    """Return each camera that libcamera finds: its number, model and id; none without picamera2."""
    try:
        from picamera2 import Picamera2
    except ImportError:
        return []
    return [f"{number} {one.get('Model', 'camera')} ({one['Id']})" for number, one in enumerate(Picamera2.global_camera_info())]


def _number(kind: Any, place: str) -> int:
    """Return the number of the camera that ``place`` names by number or libcamera's id; raise ``RuntimeError`` if none."""
    if not place:
        return 0
    ids = [one["Id"] for one in kind.global_camera_info()]
    if place in ids:
        return ids.index(place)
    if place.isdecimal() and int(place) < len(ids):
        return int(place)
    raise RuntimeError(f"there is no camera {place}; libcamera finds {', '.join(list_cameras()) or 'none'}")


def _acquire(kind: Any, number: int) -> Any:
    """Return a ``Picamera2``; if its constructor fails, release the camera or the pipe that it has already taken."""
    camera = kind.__new__(kind)
    try:
        camera.__init__(number)
    except Exception:
        with suppress(AttributeError, OSError, RuntimeError):
            if camera.is_open:
                camera.close()
            else:
                os.close(camera.notifyme_w)
        raise
    return camera


def _reason(error: BaseException) -> str:
    """Return the first cause of an error: picamera2 itself says only that its "sequence did not complete"."""
    while error.__cause__ is not None:
        error = error.__cause__
    # An old picamera2 raises IndexError for an empty list of cameras.
    return "no camera found" if isinstance(error, IndexError) else str(error) or "no camera found"


def open_picamera(settings: schema.CameraSettings) -> LiveCamera:
    """Build the camera of ``picamera``, the first that libcamera finds, or ``picamera:1``, by number or libcamera's id."""
    return LiveCamera(lambda: PicameraSource(settings), settings.fps)
