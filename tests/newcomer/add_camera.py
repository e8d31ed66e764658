"""A camera backend: ``still:FILE`` shows one picture for ever, as a live camera would."""

from copied import Copy

PLUGIN = '''
"""Shows one picture for ever, to try settings without a camera."""

import time

from edgeface.cameras.live import LiveCamera
from edgeface.config import schema
from edgeface.config.paths import expand
from edgeface.errors import CameraError, ImageError
from edgeface.types import Image
from edgeface.vision.images import load_image


class Still:
    """A device that gives the same picture ``fps`` times a second."""

    def __init__(self, settings: schema.CameraSettings) -> None:
        self._pause = 1.0 / settings.fps
        try:
            self._image = load_image(expand(settings.source.partition(":")[2], "camera.source"), settings.max_pixels)
        except ImageError as error:
            raise CameraError(str(error)) from None

    def read(self) -> Image:
        """Wait for the next picture."""
        time.sleep(self._pause)
        return self._image

    def close(self) -> None:
        """Nothing is open."""


def open_still(settings: schema.CameraSettings) -> LiveCamera:
    """``still:FILE``."""
    return LiveCamera(lambda: Still(settings), settings.fps)
'''


def apply(copy: Copy) -> None:
    copy.create("edgeface/cameras/still.py", PLUGIN)
    copy.insert(
        "edgeface/cameras/__init__.py",
        after='    "picamera": "edgeface.cameras.picamera:open_picamera",\n',
        text='    "still": "edgeface.cameras.still:open_still",\n',
    )
