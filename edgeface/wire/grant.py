"""Defines the request for a grant, and the grant that is signed."""

from typing import Annotated

from msgspec import Meta, Struct

from edgeface.wire.commands import Request
from edgeface.wire.fields import Name, PersonId, Time

Nonce = Annotated[
    str,
    Meta(pattern="^[A-Za-z0-9_-]{16,64}$", description="random text, new for each request", examples=["h3xQ0b7Lw2Zs9fKd"]),
]
Lock = Annotated[
    str, Meta(pattern="^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$", description="the lock that asks", examples=["front-door"])
]


class GrantRequest(Request, frozen=True, kw_only=True):
    """Sign that a person is before the camera, alive and expected at this hour; who it is said to be is the second factor."""

    person_id: PersonId
    lock: Lock
    nonce: Nonce


class Granted(Struct, frozen=True):
    """A grant, for one lock and once."""

    grant: Annotated[
        str,
        Meta(
            description="JSON and its Ed25519 signature (RFC 8032), each in base64url without padding, joined by a dot",
            examples=["eyJ2IjoxfQ.c2lnbmF0dXJl"],
        ),
    ]
    expires: Time


class Claims(Struct, frozen=True):
    """What is signed. A lock checks all of it: its own name and nonce, the time, and that the person is the one expected."""

    v: int
    device: str
    camera: str
    lock: str
    nonce: str
    person_id: str
    name: Name
    event_id: str
    liveness: float
    issued: float
    expires: float
