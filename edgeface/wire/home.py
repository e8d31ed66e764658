"""Defines what is told of a person over all devices: whether they are home, and where they were seen last."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from edgeface.wire.commands import Request
from edgeface.wire.fields import Name, NamedPerson, PersonId, Schema, Time

SightState = Literal["present", "left", "away"]
DeviceId = Annotated[
    str, Meta(pattern="^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$", description="`device.id` of the settings", examples=["door"])
]
CameraName = Annotated[
    Annotated[str, Meta(max_length=64)] | None,
    Meta(description="`camera.name` of the camera that saw the person last", examples=["front"]),
]
LastSeen = Annotated[
    Time | None,
    Meta(description="when the person last counted as present; null if they never did", examples=["2026-11-24T10:15:07.238Z"]),
]


class Sight(Struct, frozen=True):
    """How it stands between a person and one device."""

    version: Annotated[
        int,
        Meta(
            ge=0,
            le=2**53,
            description="of two sights by one device, that with the greater version is valid; of one version, that with the "
            "later `state`",
            examples=[1795515307238],
        ),
    ]
    state: Annotated[
        SightState,
        Meta(
            description="`present` at the device; `left`; `away` once that was `home.hours` ago, or never", examples=["present"]
        ),
    ]
    seen: LastSeen
    camera: CameraName
    availability: Annotated[
        str,
        Meta(
            pattern="^[^+#\\x00-\\x1f]{1,250}$",
            description="the topic that tells whether the device is online",
            examples=["edgeface/door/availability"],
        ),
    ]


class PersonHome(Struct, frozen=True, kw_only=True):
    """Whether a person is home, and where they were seen last, merged over all devices."""

    schema: Schema
    ts: Time
    person_id: PersonId
    name: Name
    state: Annotated[
        Literal["home", "not_home"],
        Meta(description="`home` while any device has seen the person within `home.hours`", examples=["home"]),
    ]
    present: Annotated[bool, Meta(description="whether the person is before any camera now", examples=[True])]
    last_seen: LastSeen
    device: Annotated[DeviceId | None, Meta(description="which device saw the person last", examples=["door"])]
    camera: CameraName
    devices: Annotated[
        dict[DeviceId, Sight],
        Meta(
            max_length=64,
            description="what each device has seen, of which all else is made: [sights](#sights)",
            examples=[
                {
                    "door": {
                        "version": 1795515307238,
                        "state": "present",
                        "seen": "2026-11-24T10:15:07.238Z",
                        "camera": "front",
                        "availability": "edgeface/door/availability",
                    }
                }
            ],
        ),
    ]


class HomeRequest(Request, frozen=True, kw_only=True):
    """Say who is home, and where everybody was seen last, over all devices."""


class LastSight(NamedPerson, frozen=True):
    """Whether a person is home, and where they were seen last."""

    state: Literal["home", "not_home"]
    present: bool
    last_seen: Time | None
    device: str | None
    camera: str | None


class Home(Struct, frozen=True):
    """Everybody who was ever seen, by name."""

    people: list[LastSight]
