"""Defines the fields that several payloads have, and writes times."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

SCHEMA: Literal[1] = 1
ULID = "[0-9A-HJKMNP-TV-Z]{26}"  # the id of an event
Schema = Annotated[Literal[1], Meta(description="version of the contract; within one, fields are only added", examples=[1])]
Time = Annotated[
    str,
    Meta(
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$",
        description="when, in UTC with milliseconds (RFC 3339)",
        examples=["2026-11-24T10:15:07.238Z"],
        extra_json_schema={"format": "date-time"},
    ),
]
Camera = Annotated[str, Meta(description="`camera.name` of the settings", examples=["front"])]
Model = Annotated[str, Meta(description="digest of the network that decided", examples=["sha256:95415c0e"])]
PersonId = Annotated[
    str,
    Meta(pattern="^p_[0-9a-f]{16}$", description="the person; stays when the name changes", examples=["p_f8e6d06ed6e2f474"]),
]
Name = Annotated[str, Meta(description="the person's name: free text, to show and not to compare", examples=["Anna"])]
Count = Annotated[int, Meta(ge=0)]


class NamedPerson(Struct, frozen=True):
    """A person, by id and name."""

    id: PersonId
    name: Name


class RulesPayload(Struct, frozen=True, kw_only=True):
    """What holds for a person; what does not is absent."""

    ignored: Annotated[bool | UnsetType, Meta(description="whether the person is never told of", examples=[True])] = UNSET
    muted: Annotated[bool | UnsetType, Meta(description="whether no events are sent", examples=[True])] = UNSET
    muted_until: Annotated[Time | UnsetType, Meta(description="until when")] = UNSET
    hours: Annotated[
        list[str] | UnsetType, Meta(description="when the person is expected", examples=[["mon-fri 08:00-17:00"]])
    ] = UNSET
    groups: Annotated[list[str] | UnsetType, Meta(description="labels of the person", examples=[["family"]])] = UNSET
    expires: Annotated[Time | UnsetType, Meta(description="when the person is forgotten")] = UNSET


def seconds(time: str) -> float:
    """Return the seconds since the Unix epoch of a time; raise ``ValueError`` if there is no such day or hour."""
    return datetime.fromisoformat(time).timestamp()


def timestamp(wall: float) -> str:
    """Return a time in RFC 3339, in UTC with milliseconds; ``wall`` is seconds since the Unix epoch."""
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
