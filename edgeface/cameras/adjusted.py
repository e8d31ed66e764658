"""Turns and mirrors the frames of any camera as the settings say, before anything else sees them."""

from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np

from edgeface.config import schema
from edgeface.interfaces import Camera
from edgeface.types import Frame, Image, NoFrame

TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
FLIPS = {"horizontal": 1, "vertical": 0}


def is_adjusted(settings: schema.CameraSettings) -> bool:
    return bool(settings.rotate or settings.flip != "none")


class AdjustedCamera:
    """Another camera, whose frames are turned by ``rotate``, then mirrored by ``flip``."""

    def __init__(self, camera: Camera, settings: schema.CameraSettings) -> None:
        self._camera, self._settings = camera, settings

    @property
    def dropped(self) -> int:
        return self._camera.dropped

    def frames(self) -> Iterator[Frame | NoFrame]:
        return map(self._adjusted, self._camera.frames())

    def close(self) -> None:
        self._camera.close()

    def _adjusted(self, moment: Frame | NoFrame) -> Frame | NoFrame:
        return replace(moment, image=upright(moment.image, self._settings)) if isinstance(moment, Frame) else moment


def upright(image: Image, settings: schema.CameraSettings) -> Image:
    """Return a turned and mirrored copy: every OpenCV call on a numpy view would copy it anew, and more slowly."""
    picture = image if settings.rotate == 0 else cv2.rotate(image, TURNS[settings.rotate])
    return np.asarray(picture if settings.flip == "none" else cv2.flip(picture, FLIPS[settings.flip]), np.uint8)
