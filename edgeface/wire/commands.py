"""Defines requests over MQTT and their answers."""

from typing import Annotated, Generic, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType

from edgeface.types import MAX_REQUEST_BYTES
from edgeface.wire.fields import Camera, Count, NamedPerson, Schema, Time

T = TypeVar("T")
Who = Annotated[str, Meta(max_length=200, description="a name, or better an id", examples=["p_f8e6d06ed6e2f474"])]


class BareRequest(Struct, frozen=True, kw_only=True):
    """The field that every request has."""

    id: Annotated[
        str, Meta(pattern="^[ -~]{1,64}$", description="any text of printable ASCII; the answer repeats it", examples=["7f3a"])
    ]


class EnrollRequest(BareRequest, frozen=True, kw_only=True):
    """Enroll who stands before the camera, or the one face of a photo."""

    name: Annotated[str, Meta(max_length=200, description="the person; who is enrolled gains templates", examples=["Anna"])]
    image: Annotated[
        Annotated[str, Meta(max_length=MAX_REQUEST_BYTES)] | None,
        Meta(
            description="a JPEG in base64, of 16 megapixels and 6 MB with all else at most, scaled to 2048 pixels; without "
            "it, views of the camera",
            examples=[None],
        ),
    ] = None
    count: Annotated[int, Meta(ge=1, le=20, description="views to take of the camera", examples=[5])] = 5
    timeout: Annotated[float, Meta(ge=1, le=300, description="seconds to wait for them", examples=[60.0])] = 60.0
    force: Annotated[
        bool,
        Meta(description="though the face is known under another name, or unlike the person's templates", examples=[False]),
    ] = False


class RenameRequest(BareRequest, frozen=True, kw_only=True):
    """Give a person another name."""

    person: Who
    name: Annotated[str, Meta(max_length=200, description="the new name", examples=["Anna B."])]


class ForgetRequest(BareRequest, frozen=True, kw_only=True):
    """Erase a person and all their templates."""

    person: Who


class PeopleRequest(BareRequest, frozen=True, kw_only=True):
    """Say who is enrolled."""


class SnapshotRequest(BareRequest, frozen=True, kw_only=True):
    """Take a picture."""


class Refused(Struct, frozen=True):
    """An image that was not used."""

    path: str
    reason: str


class Enrolled(NamedPerson, frozen=True):
    """The person, and what became of each image."""

    templates: Annotated[Count, Meta(description="templates of the person in all", examples=[5])]
    accepted: Annotated[list[str], Meta(description="images that were used", examples=[["view 1", "view 2"]])]
    refused: Annotated[list[Refused], Meta(description="images that were not, with the reason of each", examples=[[]])]


class ListedPerson(NamedPerson, frozen=True):
    """A person as in ``edgeface people list``."""

    templates: Count
    enrolled: Time


class People(Struct, frozen=True):
    """Who is enrolled."""

    people: Annotated[
        list[ListedPerson],
        Meta(
            description="everybody, by name",
            examples=[
                [{"id": "p_f8e6d06ed6e2f474", "name": "Anna", "templates": 5, "enrolled": "2026-11-24T10:15:07.238Z"}],
            ],
        ),
    ]


class Snapshot(Struct, frozen=True, kw_only=True):
    """What the camera sees."""

    camera: Camera
    taken: Time
    width: Annotated[Count, Meta(description="pixels; larger frames are scaled to 1280", examples=[640])]
    height: Annotated[Count, Meta(description="pixels", examples=[480])]
    image: Annotated[str, Meta(description="a JPEG in base64", examples=["/9j/4AAQ"])]


class Answer(Struct, Generic[T], frozen=True, kw_only=True):
    """The answer to a request: ``ok`` with its ``result``, or not ``ok`` with the ``error``."""

    schema: Schema
    ts: Time
    id: Annotated[str | None, Meta(description="that of the request; null if it had none to be read", examples=["7f3a"])]
    ok: Annotated[bool, Meta(description="whether it was done", examples=[True])]
    result: T | UnsetType = UNSET
    error: Annotated[str, Meta(description="why not, in one line")] | UnsetType = UNSET
