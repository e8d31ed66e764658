"""Defines the payload of who is in front of a camera."""

from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta, Struct

from edgeface.wire.fields import SCHEMA, Count, NamedPerson, Schema, Time, timestamp


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


def presence_payload(
    people: Iterable[tuple[str, str]], unknown: int, last: tuple[str, str, float] | None, wall: float
) -> PresencePayload:
    """Return the payload for (id, name) of each person, the number of strangers, and (id, name, time) of the last arrival."""
    latest = LastPerson(last[0], last[1], timestamp(last[2])) if last else None
    present = [NamedPerson(*person) for person in people]
    return PresencePayload(schema=SCHEMA, ts=timestamp(wall), people=present, unknown=unknown, last=latest)
