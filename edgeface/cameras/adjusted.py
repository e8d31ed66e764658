"""Turns and mirrors the frames of any camera, and blackens masks in them, before anything else sees them."""

from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np

from edgeface.config import schema
from edgeface.interfaces import Camera
from edgeface.types import Frame, Image, NoFrame
from edgeface.vision.regions import blacken

TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
FLIPS = {"horizontal": 1, "vertical": 0}


def adjustment(settings: schema.CameraSettings) -> str:
    """Return in words how pictures are turned, mirrored and masked; empty for neither."""
    words = [f"turned by {settings.rotate} degrees"] if settings.rotate else []
    words += [f"{settings.flip} flip"] if settings.flip != "none" else []
    words += [f"masked: {', '.join(mask.name for mask in settings.masks)}"] if settings.masks else []
    return ", ".join(words)


class AdjustedCamera:
    """Another camera, whose frames are turned by ``rotate``, mirrored by ``flip``, and lose what is in ``masks``."""

    def __init__(self, camera: Camera, settings: schema.CameraSettings) -> None:
        self._camera, self._settings = camera, settings

    @property
    def live(self) -> bool:
        return self._camera.live

    @property
    def dropped(self) -> int:
        return self._camera.dropped

    def frames(self) -> Iterator[Frame | NoFrame]:
        return map(self._adjusted, self._camera.frames())

    def close(self) -> None:
        self._camera.close()

    def _adjusted(self, moment: Frame | NoFrame) -> Frame | NoFrame:
        if not isinstance(moment, Frame):
            return moment
        image = upright(moment.image, self._settings)
        blacken(image, self._settings.masks)
        return replace(moment, image=image)


def upright(image: Image, settings: schema.CameraSettings) -> Image:
    """Turn and mirror an image: a copy, for every OpenCV call on a numpy view would copy it anew, and more slowly."""
    picture = image if settings.rotate == 0 else cv2.rotate(image, TURNS[settings.rotate])
    return np.asarray(picture if settings.flip == "none" else cv2.flip(picture, FLIPS[settings.flip]), np.uint8)
