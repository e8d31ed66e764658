"""Defines the payload of who is in front of a camera."""

from typing import Annotated

from msgspec import Meta, Struct

from edgeface.wire.fields import Count, NamedPerson, Schema, Time


class LastPerson(NamedPerson, frozen=True):
    """The person who was recognised last."""

    ts: Time


class PresencePayload(Struct, frozen=True, kw_only=True):
    """Who is before the camera now."""

    schema: Schema
    ts: Time
    people: Annotated[
        list[NamedPerson],
        Meta(description="who of those enrolled is there", examples=[[{"id": "p_f8e6d06ed6e2f474", "name": "Anna"}]]),
    ]
    unknown: Annotated[Count, Meta(description="how many strangers are there", examples=[0])]
    last: Annotated[
        LastPerson | None,
        Meta(
            description="who was recognised last since the daemon started, unless forgotten",
            examples=[{"id": "p_f8e6d06ed6e2f474", "name": "Anna", "ts": "2026-11-24T10:15:07.238Z"}],
        ),
    ]
