"""The Raspberry Pi's camera connector, through picamera2 (from apt: ``python3-picamera2``)."""

from typing import Any

import numpy as np

from edgeface import config
from edgeface.cameras.live import LiveCamera
from edgeface.errors import CameraError
from edgeface.types import Image


class PicameraSource:
    """One started ``Picamera2``.

    Raises:
        CameraError: picamera2 is not installed, or there is no camera.
    """

    def __init__(self, settings: config.Camera) -> None:
        try:
            from picamera2 import Picamera2
        except ImportError as error:
            raise CameraError(
                f"picamera2 is not there ({error}); apt install python3-picamera2, in a venv with system site packages"
            ) from None
        self._camera: Any = None
        try:
            self._camera = Picamera2()
            # libcamera's "BGR888" is named by its order in a register: in memory, and so in the array, it is R, G, B.
            self._camera.configure(
                self._camera.create_video_configuration(
                    main={"format": "BGR888", "size": (settings.width, settings.height)}, controls={"FrameRate": settings.fps}
                )
            )
            self._camera.start()
        except (RuntimeError, IndexError, OSError) as error:
            if self._camera is not None:
                self._camera.close()
            raise CameraError(f"picamera: {error or 'no camera found'}") from None

    def read(self) -> Image:
        """Wait for the next RGB image."""
        try:
            return np.ascontiguousarray(self._camera.capture_array("main")[:, :, :3], np.uint8)
        except (RuntimeError, OSError) as error:
            raise CameraError(f"picamera: {error}") from None

    def close(self) -> None:
        """Stop and release the camera."""
        try:
            self._camera.stop()
        finally:
            self._camera.close()


def open_picamera(settings: config.Camera) -> LiveCamera:
    """``picamera``: the first camera that libcamera finds."""
    return LiveCamera(lambda: PicameraSource(settings), settings.fps)
