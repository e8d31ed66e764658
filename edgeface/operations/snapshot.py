"""Takes a picture with the camera."""

import base64

from edgeface.errors import CameraError
from edgeface.operations.context import OperationContext, Steps
from edgeface.operations.pause import refuse_paused
from edgeface.types import Frame, NoFrame
from edgeface.vision.images import encode_jpeg
from edgeface.wire.commands import Snapshot, SnapshotRequest
from edgeface.wire.fields import timestamp

SIDE = 1280
"""Pixels of the picture's longer side, at most."""
FRAME_TIMEOUT = 10.0
"""Seconds to wait for a frame."""


def take_snapshot(context: OperationContext, request: SnapshotRequest) -> Steps[Snapshot]:
    """Return the next frame as a JPEG; raise ``CameraError`` if none comes within ``FRAME_TIMEOUT``, or the camera is lost."""
    name = context.config.of_camera(request.camera).camera.name
    moment = yield from _next(name)
    deadline = moment.time + FRAME_TIMEOUT
    while isinstance(moment, NoFrame):
        refuse_paused(moment)
        if moment.lost or moment.time > deadline:
            raise CameraError(f"no frame: {moment.lost or 'the camera is silent'}")
        moment = yield from _next(name)
    jpeg, (width, height) = encode_jpeg(moment.image, SIDE)
    image = base64.b64encode(jpeg).decode()
    return Snapshot(camera=name, taken=timestamp(moment.wall), width=width, height=height, image=image)


def _next(camera: str) -> Steps[Frame | NoFrame]:
    while (tick := (yield)).camera not in (None, camera):
        pass
    return tick.moment
