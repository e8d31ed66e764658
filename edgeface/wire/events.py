"""Defines events, and the payloads of events and presence; ``edgeface mqtt docs`` makes reference and schemas of them."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from edgeface.types import Box, EventType, LivenessClass, Reason, Vector
from edgeface.wire.doubt import Doubt
from edgeface.wire.fields import SCHEMA, ULID, Camera, Count, Model, Name, NamedPerson, PersonId, Schema, Time, timestamp

Cosine = Annotated[float, Meta(ge=-1, le=1)]
Share = Annotated[float, Meta(ge=0, le=1)]
Withheld = Literal["muted", "ignored", "hours"]
StrangerId = Annotated[
    str,
    Meta(
        pattern="^s_[0-9a-f]{16}$",
        description="the same for this stranger's visits that are kept; random. Absent where no strangers are kept",
        examples=["s_3f0c95d1b2a86e47"],
    ),
]
EventId = Annotated[
    str,
    Meta(
        pattern=f"^{ULID}$",
        description="unique, and sorts by time (a ULID): a reader can drop repeats",
        examples=["01M86GTN766HKSFCZ15NNMEFKP"],
    ),
]
TrackId = Annotated[int, Meta(description="one stay of one face before the camera, while the daemon runs", examples=[17])]


class Corrected(Struct, frozen=True):
    """The event whose name later views contradicted."""

    event_id: str
    person_id: PersonId
    name: Name


@dataclass(frozen=True, slots=True)
class Event:
    """News for subscribers. The ``event_type`` decides which of the optional fields are set.

    ``corrected`` names an earlier event whose name was wrong: ``left`` takes the name back, ``recognized`` and ``unknown``
    replace that event. ``withheld`` says why the event is not told: the person is muted, ignored, or not expected at this hour.
    ``embedding`` is the mean of the embeddings of the views that count; it never leaves the device.
    """

    event_type: EventType
    event_id: str
    wall: float
    time: float
    camera: str
    track_id: int | None = None
    person_id: str | None = None
    name: str | None = None
    score: float | None = None
    threshold: float | None = None
    margin: float | None = None
    probability: float | None = None
    votes: int | None = None
    box: Box | None = None
    frame_size: tuple[int, int] | None = None
    zone: str | None = None
    quality: float | None = None
    liveness: float | None = None
    liveness_class: LivenessClass | None = None
    seconds: float | None = None
    reason: str | None = None
    corrected: Corrected | None = None
    groups: tuple[str, ...] | None = None
    allowed: bool | None = None
    withheld: Withheld | None = None
    doubt: Doubt | None = None
    stranger_id: str | None = None
    visits: int | None = None
    embedding: Vector | None = field(default=None, compare=False, repr=False)


class EventPayload(Struct, frozen=True, kw_only=True, tag_field="event_type"):
    """News: something happened just now."""

    schema: Schema
    event_id: EventId
    ts: Time
    device: Annotated[str, Meta(description="`device.id` of the settings", examples=["door"])]
    camera: Camera
    model: Model


Living = Annotated[
    Share | UnsetType,
    Meta(
        description="how live the face looks over the visit so far: the chance that it is no screen and no print. Absent "
        "where `liveness.mode` is off, and while nothing can be told",
        examples=[0.97],
    ),
]
LivingClass = Annotated[
    LivenessClass | UnsetType,
    Meta(
        description="[what](liveness.md) shows the face, by its looks and, where they leave a doubt, by its motion. Absent "
        "where `liveness.mode` is off",
        examples=["live"],
    ),
]


Zone = Annotated[
    str | UnsetType,
    Meta(description="the zone in which the face was when it was announced; absent without `camera.zones`", examples=["porch"]),
]


class _Seen(EventPayload, frozen=True, kw_only=True):
    track_id: TrackId
    score: Annotated[
        Cosine,
        Meta(description="similarity to the nearest person, a mean cosine; decides, against `threshold`", examples=[0.54]),
    ]
    threshold: Annotated[Cosine, Meta(description="what `score` has to reach for a name", examples=[0.47])]
    votes: Annotated[Count, Meta(description="views that agreed", examples=[3])]
    quality: Annotated[Share, Meta(description="mean of those views: size, sharpness, exposure, pose", examples=[0.86])]
    box: Annotated[
        tuple[int, int, int, int],
        Meta(
            description="the face: left, top, width, height in pixels; may reach over the edge", examples=[[198, 70, 224, 310]]
        ),
    ]
    frame_size: Annotated[tuple[Count, Count], Meta(description="width, height in pixels", examples=[[640, 480]])]
    zone: Zone = UNSET
    liveness: Living = UNSET
    liveness_class: LivingClass = UNSET


Correcting = Annotated[
    Corrected | UnsetType,
    Meta(
        description="the `recognized` event that was wrong: this one ends its visit, or stands in its place",
        examples=[{"event_id": "01M86GTN766HKSFCZ15NNMEFKP", "person_id": "p_f8e6d06ed6e2f474", "name": "Anna"}],
    ),
]


Groups = Annotated[
    list[str] | UnsetType, Meta(description="the person's groups; absent if there are none", examples=[["family"]])
]


class Recognized(_Seen, frozen=True, kw_only=True, tag="recognized"):
    """Somebody enrolled is there: once a visit, after several good views agree."""

    person_id: PersonId
    name: Name
    margin: Annotated[float, Meta(ge=0, le=2, description="lead of the score over that of the second person", examples=[0.24])]
    probability: Annotated[
        Share,
        Meta(description="for people to read: the chance that it is that person, had it been an even bet", examples=[0.997]),
    ]
    groups: Groups = UNSET
    allowed: Annotated[
        bool | UnsetType,
        Meta(description="whether the person is expected at this hour; absent if no hours are set for them", examples=[True]),
    ] = UNSET
    corrected: Correcting = UNSET


class Unknown(_Seen, frozen=True, kw_only=True, tag="unknown"):
    """A face that is nobody's, after more good views that fit nobody."""

    stranger_id: StrangerId | UnsetType = UNSET
    visits: (
        Annotated[
            int, Meta(ge=1, description="the number of this visit among those of the stranger that are kept", examples=[3])
        ]
        | UnsetType
    ) = UNSET
    corrected: Correcting = UNSET


class Unsure(EventPayload, frozen=True, kw_only=True, tag="unsure"):
    """A visit has ended without a name, and is not certain to be a stranger's; only with `events.publish_unsure`."""

    track_id: TrackId
    why: Annotated[Reason, Meta(description="[why](operating.md#why-not) nobody was named", examples=["doubtful"])]
    votes: Annotated[Count, Meta(description="views that were good enough", examples=[3])]
    seconds: Annotated[float, Meta(ge=0, description="from the first sight to the last", examples=[12.3])]
    liveness: Living = UNSET
    liveness_class: LivingClass = UNSET


class Left(EventPayload, frozen=True, kw_only=True, tag="left"):
    """Somebody is gone; without person fields, it was somebody unknown."""

    track_id: TrackId
    person_id: PersonId | UnsetType = UNSET
    name: Name | UnsetType = UNSET
    seconds: Annotated[float, Meta(ge=0, description="from the first view to the last", examples=[12.3])]
    zone: Zone = UNSET
    liveness: Living = UNSET
    liveness_class: LivingClass = UNSET
    groups: Groups = UNSET
    corrected: Correcting = UNSET


class PresentationAttack(EventPayload, frozen=True, kw_only=True, tag="presentation_attack"):
    """A screen or print shows somebody enrolled: only with `liveness.attacks`; with whom if that is "named"."""

    track_id: TrackId
    person_id: PersonId | UnsetType = UNSET
    name: Name | UnsetType = UNSET
    zone: Zone = UNSET
    liveness: Living = UNSET
    liveness_class: LivingClass = UNSET


class CameraLost(EventPayload, frozen=True, kw_only=True, tag="camera_lost"):
    """The camera gives no frame any more; it is retried for ever."""

    reason: Annotated[str, Meta(description="what is wrong, in words", examples=["no frame for 5 s"])]


class CameraBack(EventPayload, frozen=True, kw_only=True, tag="camera_back"):
    """The camera gives frames again."""

    seconds: Annotated[float, Meta(ge=0, description="length of the outage", examples=[31.0])]


EVENTS: dict[EventType, type[EventPayload]] = {
    EventType(str(shape.__struct_config__.tag)): shape
    for shape in (Recognized, Unknown, Unsure, Left, PresentationAttack, CameraLost, CameraBack)
}
DIGITS = {"score": 4, "threshold": 4, "margin": 4, "probability": 3, "quality": 3, "liveness": 3, "seconds": 1}


def event_payload(event: Event, device: str, model: str) -> EventPayload:
    """Return the payload of an event, with the fields of its type."""
    shape = EVENTS[event.event_type]
    values = {name: _short(name, getattr(event, name, None)) for name in shape.__struct_fields__}
    values["why"] = event.doubt.reason if event.event_type is EventType.UNSURE and event.doubt else None
    given = {name: value for name, value in values.items() if value is not None}
    return shape(**given, schema=SCHEMA, ts=timestamp(event.wall), device=device, model=model)


class ImageInfo(Struct, frozen=True, kw_only=True):
    """The event to which the pictures that follow belong."""

    schema: Schema
    ts: Time
    event_id: EventId
    event_type: Annotated[Literal["recognized", "unknown"], Meta(description="what happened", examples=["recognized"])]


def image_info(event: Event) -> ImageInfo:
    kind: Literal["recognized", "unknown"] = "recognized" if event.event_type is EventType.RECOGNIZED else "unknown"
    return ImageInfo(schema=SCHEMA, ts=timestamp(event.wall), event_id=event.event_id, event_type=kind)


def _short(name: str, value: Any) -> Any:
    if isinstance(value, Box):
        return whole_pixels(value)
    return round(value, DIGITS[name]) if value and name in DIGITS else value


def whole_pixels(box: Box) -> tuple[int, int, int, int]:
    """Return left, top, width and height."""
    return round(box.left), round(box.top), round(box.width), round(box.height)


class LastPerson(NamedPerson, frozen=True):
    """The person who was recognized last."""

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
            description="who was recognized last since the daemon started, unless forgotten",
            examples=[{"id": "p_f8e6d06ed6e2f474", "name": "Anna", "ts": "2026-11-24T10:15:07.238Z"}],
        ),
    ]
