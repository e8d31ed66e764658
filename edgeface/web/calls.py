"""Lists what programs may call by the API."""

from typing import Annotated

from msgspec import Meta

from edgeface.operations import enroll
from edgeface.operations.context import Operation, OperationContext, Steps
from edgeface.web.operations import SHORT
from edgeface.wire.commands import Enrolled, PhotosRequest, Request

PREFIX = "/api/"


class EnrollPhotoRequest(Request, frozen=True, kw_only=True):
    """Enroll the one face of a photo; never as somebody whom it does not look like, which only the device can force."""

    name: Annotated[str, Meta(max_length=200, description="the person; who is enrolled gains a template", examples=["Anna"])]


def _enroll(context: OperationContext, request: EnrollPhotoRequest) -> Steps[Enrolled]:
    done = yield from enroll.from_photos(context, PhotosRequest(name=request.name, assess=False))
    return done.enrolled


CALLS = SHORT | {"enroll": Operation("enroll", EnrollPhotoRequest, Enrolled, _enroll, photos=True)}
"""What can be called, besides ``status``: the operations of the page, and the enrollment of a photo."""
READ = ("status", "people")
"""What needs no fields, and so answers to GET, too."""
