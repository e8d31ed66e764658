"""Says who is in photos, a little between any two frames, so that the camera is watched meanwhile."""

import time
from collections.abc import Generator

from edgeface.errors import EdgefaceError, GalleryError, ImageError
from edgeface.interfaces import Tick
from edgeface.operations.context import OperationContext, Steps
from edgeface.types import Image
from edgeface.wire.identify import Identified, IdentifiedFace, IdentifiedImage, IdentifyRequest, identified_face

SLICE = 0.05
"""Seconds after which no further face is looked at before the next frame: a photo may show a hundred."""


def identify(context: OperationContext, _request: IdentifyRequest) -> Steps[Identified]:
    """Look at one photo after the other, and yield the faces of each.

    Raises:
        GalleryError: the gallery cannot be read, so that nobody would be known.
    """
    assert context.job is not None
    images = []
    for photo in context.job.photos:
        if photo is None:
            yield None
            continue
        path, image = photo
        try:
            if isinstance(image, EdgefaceError):
                raise ImageError(str(image))
            faces = yield from _faces(context, image)
            height, width = image.shape[:2]
            images.append(IdentifiedImage(path=path, size=(width, height), faces=faces))
        except ImageError as error:
            images.append(IdentifiedImage(path=path, error=str(error), faces=[]))
        yield images[-1]
    return Identified(images)


def _faces(context: OperationContext, image: Image) -> Generator[None, Tick, list[IdentifiedFace]]:
    pipeline, found = context.enroller.pipeline, []
    if pipeline.health.state == "unreadable":
        raise GalleryError(f"nobody is known: {pipeline.health.reason}")
    end = time.monotonic() + SLICE
    for face in pipeline.detector.detect(image):
        if time.monotonic() > end:
            yield None
            end = time.monotonic() + SLICE
        found.append(identified_face(pipeline.judge(image, face, living=True)))
    return found
