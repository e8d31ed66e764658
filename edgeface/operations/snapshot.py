"""Takes a picture of what the camera sees."""

import base64

from edgeface.errors import CameraError
from edgeface.operations.context import OperationContext, Steps
from edgeface.types import NoFrame
from edgeface.vision.images import encode_jpeg
from edgeface.wire.commands import Snapshot, SnapshotRequest
from edgeface.wire.fields import timestamp

SIDE = 1280
LONGEST_WAIT = 10.0
"""Seconds to wait for a frame."""


def take_snapshot(context: OperationContext, _request: SnapshotRequest) -> Steps[Snapshot]:
    """Take the next frame.

    Raises:
        CameraError: there is none in time, or the camera is lost.
    """
    moment = (yield).moment
    deadline = moment.time + LONGEST_WAIT
    while isinstance(moment, NoFrame):
        if moment.lost or moment.time > deadline:
            raise CameraError(f"no frame: {moment.lost or 'the camera is silent'}")
        moment = (yield).moment
    jpeg, (width, height) = encode_jpeg(moment.image, SIDE)
    image = base64.b64encode(jpeg).decode()
    return Snapshot(camera=context.config.camera.name, taken=timestamp(moment.wall), width=width, height=height, image=image)
