"""Blackens the masks of a camera's picture, and sorts faces by masks and zones."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from edgeface.config import schema
from edgeface.types import Box, Face, Image

Regions = Sequence[schema.RegionSettings]


@dataclass(frozen=True, slots=True, eq=False)
class SortedFaces:
    """The faces of a picture outside masks; of these, those in a zone are ``watched``; ``masked`` counts those in masks."""

    faces: Sequence[Face]
    watched: Sequence[Face]
    masked: int


def blacken(image: Image, masks: Regions) -> None:
    """Set the pixels in masks to black, in place."""
    size = np.array(image.shape[1::-1])
    for mask in masks:
        cv2.fillPoly(image, [np.rint(np.array(mask.points) * size).astype(np.int32)], (0, 0, 0))


def region_at(box: Box, size: tuple[int, int], regions: Regions) -> str | None:
    """Return the name of the first region that has the centre of a box, in a picture of ``size``, width and height."""
    centre = (box.left + box.width / 2) / size[0], (box.top + box.height / 2) / size[1]
    inside = (one.name for one in regions if cv2.pointPolygonTest(np.array(one.points, np.float32), centre, False) >= 0)
    return next(inside, None)


def sort_faces(faces: Sequence[Face], size: tuple[int, int], camera: schema.CameraSettings) -> SortedFaces:
    """Leave out faces in masks; where there are zones, only faces in one are watched."""
    kept = [face for face in faces if region_at(face.box, size, camera.masks) is None]
    watched = [face for face in kept if not camera.zones or region_at(face.box, size, camera.zones) is not None]
    return SortedFaces(kept, watched, len(faces) - len(kept))
