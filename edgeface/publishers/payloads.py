"""What stands on the wire: version 1 of the contract. ``edgeface mqtt docs`` makes reference and schemas of these types."""

import math
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from edgeface.types import Backed, Box, Correction, Decision, Event, EventType, GalleryState, Health, Observation, Sharing

SCHEMA: Literal[1] = 1
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
Device = Annotated[str, Meta(description="`device.id` of the settings", examples=["door"])]
Camera = Annotated[str, Meta(description="`camera.name` of the settings", examples=["front"])]
Model = Annotated[str, Meta(description="digest of the network that decided", examples=["sha256:95415c0e"])]
PersonId = Annotated[
    str,
    Meta(pattern="^p_[0-9a-f]{16}$", description="the person; stays when the name changes", examples=["p_f8e6d06ed6e2f474"]),
]
Name = Annotated[str, Meta(description="the person's name: free text, to show and not to compare", examples=["Anna"])]
Count = Annotated[int, Meta(ge=0)]
Cosine = Annotated[float, Meta(ge=-1, le=1)]
Share = Annotated[float, Meta(ge=0, le=1)]
TrackId = Annotated[int, Meta(description="one stay of one face before the camera, while the daemon runs", examples=[17])]


class EventPayload(Struct, frozen=True, kw_only=True, tag_field="event_type"):
    """News: something happened just now."""

    schema: Schema
    event_id: Annotated[
        str,
        Meta(
            pattern="^[0-9A-HJKMNP-TV-Z]{26}$",
            description="unique, and sorts by time (a ULID): a reader can drop repeats",
            examples=["01M86GTN766HKSFCZ15NNMEFKP"],
        ),
    ]
    ts: Time
    device: Device
    camera: Camera
    model: Model


Living = Annotated[
    Share | UnsetType,
    Meta(
        description="the best evidence so far of a head and not a photo of one; from 0.5 on more than a photo gives. Absent "
        "where `liveness.mode` is off, and while nothing can be told",
        examples=[0.97],
    ),
]


class _Seen(EventPayload, frozen=True, kw_only=True):
    track_id: TrackId
    score: Annotated[
        Cosine, Meta(description="likeness to the nearest person, a mean cosine; decides, against `threshold`", examples=[0.54])
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
    liveness: Living = UNSET


class Corrected(Struct, frozen=True):
    """The event whose name later views contradicted."""

    event_id: str
    person_id: PersonId
    name: Name


Correcting = Annotated[
    Corrected | UnsetType,
    Meta(
        description="the `recognized` event that was wrong: this one ends its visit, or stands in its place",
        examples=[{"event_id": "01M86GTN766HKSFCZ15NNMEFKP", "person_id": "p_f8e6d06ed6e2f474", "name": "Anna"}],
    ),
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
    corrected: Correcting = UNSET


class Unknown(_Seen, frozen=True, kw_only=True, tag="unknown"):
    """A face that is nobody's, after more good views that fit nobody."""

    corrected: Correcting = UNSET


class Left(EventPayload, frozen=True, kw_only=True, tag="left"):
    """Somebody is gone; without person fields, it was somebody unknown."""

    track_id: TrackId
    person_id: PersonId | UnsetType = UNSET
    name: Name | UnsetType = UNSET
    seconds: Annotated[float, Meta(ge=0, description="from the first view to the last", examples=[12.3])]
    liveness: Living = UNSET
    corrected: Correcting = UNSET


class CameraLost(EventPayload, frozen=True, kw_only=True, tag="camera_lost"):
    """The camera gives no frame any more; it is retried for ever."""

    reason: Annotated[str, Meta(description="what is wrong, in words", examples=["no frame for 5 s"])]


class CameraBack(EventPayload, frozen=True, kw_only=True, tag="camera_back"):
    """The camera gives frames again."""

    seconds: Annotated[float, Meta(ge=0, description="length of the outage", examples=[31.0])]


EVENTS: dict[EventType, type[EventPayload]] = {
    EventType.RECOGNIZED: Recognized,
    EventType.UNKNOWN: Unknown,
    EventType.LEFT: Left,
    EventType.CAMERA_LOST: CameraLost,
    EventType.CAMERA_BACK: CameraBack,
}


class NamedPerson(Struct, frozen=True):
    """A person, by id and name."""

    id: PersonId
    name: Name


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


class SharedGallery(Struct, frozen=True, kw_only=True):
    """How it stands with the gallery that several devices share."""

    topic: Annotated[str, Meta(examples=["edgeface/gallery/home"])]
    people: Annotated[Count, Meta(examples=[2])]
    waiting: Annotated[Count, Meta(examples=[0])]
    received: Annotated[Count, Meta(examples=[3])]
    ignored: Annotated[Count, Meta(examples=[0])]
    trouble: Annotated[str | None, Meta(examples=[None])]


class BackupHealth(Struct, frozen=True, kw_only=True):
    """How it stands with the gallery's backups."""

    copies: Annotated[Count, Meta(examples=[7])]
    latest: Annotated[Time | None, Meta(examples=["2026-11-24T03:12:40.000Z"])]
    trouble: Annotated[str | None, Meta(examples=[None])]


class HealthPayload(Struct, frozen=True, kw_only=True):
    """How the daemon is: every 30 s and on change."""

    schema: Schema
    ts: Time
    version: Annotated[str, Meta(description="of edgeface", examples=["0.1.0"])]
    uptime: Annotated[float, Meta(ge=0, description="seconds since the daemon started", examples=[86400.5])]
    fps: Annotated[float, Meta(ge=0, description="frames a second, over the latest 30", examples=[9.98])]
    frames_seen: Annotated[Count, Meta(description="frames looked at since the start", examples=[863801])]
    frames_dropped: Annotated[Count, Meta(description="frames replaced by a newer one unseen", examples=[12])]
    camera: Camera
    camera_state: Annotated[Literal["starting", "ok", "lost"], Meta(description="`lost` is retried for ever", examples=["ok"])]
    camera_reason: Annotated[str | None, Meta(description="why the camera is lost", examples=[None])]
    model: Model
    gallery_size: Annotated[Count, Meta(description="people enrolled", examples=[2])]
    templates: Annotated[Count, Meta(description="templates of them all", examples=[10])]
    rss_mb: Annotated[float, Meta(ge=0, description="memory in use, in megabytes", examples=[118.4])]
    cpu: Annotated[float, Meta(ge=0, description="processors in use since the last report; 1 is a whole one", examples=[0.31])]
    temperature: Annotated[
        float | None, Meta(description="hottest sensor in degrees Celsius, where there is one", examples=[51.5])
    ]
    throttled: Annotated[
        bool | None, Meta(description="a Raspberry Pi slowed down by heat or low voltage now", examples=[False])
    ]
    throttling: Annotated[
        list[str],
        Meta(
            description="what slows it down now: `under-voltage`, `frequency capped`, `throttled`, `temperature limit`",
            examples=[[]],
        ),
    ]
    throttled_before: Annotated[
        list[str], Meta(description="the same at any time since the machine was started", examples=[["under-voltage"]])
    ]
    fps_limit: Annotated[
        float | None,
        Meta(description="frames a second that are looked at at most; null for a recording", examples=[10.0]),
    ]
    slowed: Annotated[
        str | None, Meta(description="why that is less than `camera.fps`: a slow machine, or little memory", examples=[None])
    ]
    frames_skipped: Annotated[
        Count,
        Meta(description="frames seen that were not searched for faces: nothing moved, or it is slowed", examples=[712034]),
    ]
    queue_length: Annotated[Count, Meta(description="events waiting for the broker", examples=[0])]
    events_dropped: Annotated[Count, Meta(description="events too old or too many to deliver, since the start", examples=[0])]
    gallery_state: Annotated[
        GalleryState,
        Meta(
            description="`damaged`: some records are lost; `stale`: it cannot be read now, people are known as they were; "
            "`read_only`, `full`: people are known, nothing can be changed; `unreadable`: nobody is known until it can be read",
            examples=["ok"],
        ),
    ]
    gallery_reason: Annotated[str | None, Meta(description="what is wrong with the gallery", examples=[None])]
    events_unkept: Annotated[
        str | None, Meta(description="why events are not kept for a verdict at the moment", examples=[None])
    ]
    broker_reason: Annotated[
        str | None, Meta(description="what is wrong with the broker, or with what it holds for the daemon", examples=[None])
    ]
    broker_confirmed: Annotated[
        float | None, Meta(description="seconds since the broker's last acknowledgement; null before any", examples=[0.4])
    ]
    sync: Annotated[
        SharedGallery | UnsetType,
        Meta(
            description="with `sync.enabled`: `people` of the shared gallery, those `waiting` to be sent, changes `received` "
            "and damaged messages `ignored` since the start, and what is wrong"
        ),
    ] = UNSET
    backup: Annotated[
        BackupHealth | UnsetType,
        Meta(
            description="unless `backup.keep` is 0: how many good `copies` of the gallery there are, when the `latest` was "
            "made, and what is wrong"
        ),
    ] = UNSET


DIGITS = {"score": 4, "threshold": 4, "margin": 4, "probability": 3, "quality": 3, "liveness": 3, "seconds": 1}


def timestamp(wall: float) -> str:
    """RFC 3339 in UTC with milliseconds."""
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def event_payload(event: Event, device: str, model: str) -> EventPayload:
    """An event with the fields of its type."""
    shape = EVENTS[event.event_type]
    values = {name: _short(name, getattr(event, name, None)) for name in shape.__struct_fields__}
    given = {name: value for name, value in values.items() if value is not None}
    return shape(**given, schema=SCHEMA, ts=timestamp(event.wall), device=device, model=model)


def _short(name: str, value: Any) -> Any:
    if isinstance(value, Box):
        return _pixels(value)
    if isinstance(value, Correction):
        return Corrected(value.event_id, value.person_id, value.name)
    return round(value, DIGITS[name]) if value and name in DIGITS else value


def _pixels(box: Box) -> tuple[int, int, int, int]:
    return round(box.left), round(box.top), round(box.width), round(box.height)


def presence_payload(
    people: Iterable[tuple[str, str]], unknown: int, last: tuple[str, str, float] | None, wall: float
) -> PresencePayload:
    """Who is in front of a camera: (id, name) of each person, how many strangers, and (id, name, when) of who came last."""
    latest = LastPerson(last[0], last[1], timestamp(last[2])) if last else None
    present = [NamedPerson(*person) for person in people]
    return PresencePayload(schema=SCHEMA, ts=timestamp(wall), people=present, unknown=unknown, last=latest)


def health_payload(health: Health, wall: float) -> HealthPayload:
    """The daemon's health."""
    return HealthPayload(
        schema=SCHEMA,
        ts=timestamp(wall),
        version=health.version,
        uptime=round(health.uptime, 1),
        fps=round(health.fps, 2),
        frames_seen=health.frames_seen,
        frames_dropped=health.frames_dropped,
        camera=health.camera,
        camera_state=health.camera_state,
        camera_reason=health.camera_reason,
        model=health.model,
        gallery_size=health.people,
        templates=health.templates,
        rss_mb=round(health.rss_mb, 1),
        cpu=round(health.cpu, 3),
        temperature=health.temperature,
        throttled=health.throttled,
        throttling=list(health.throttling),
        throttled_before=list(health.throttled_before),
        fps_limit=round(health.fps_limit, 2) if math.isfinite(health.fps_limit) else None,
        slowed=health.slowed,
        frames_skipped=health.frames_skipped,
        queue_length=health.link.queue,
        events_dropped=health.link.dropped,
        gallery_state=health.gallery.state,
        gallery_reason=health.gallery.reason,
        events_unkept=health.events_unkept,
        broker_reason=health.link.reason,
        broker_confirmed=_age(health.link.confirmed),
        sync=_shared(health.sharing) if health.sharing.topic else UNSET,
        backup=_backed(health.backed) if health.backed.wanted else UNSET,
    )


def _backed(backed: Backed) -> BackupHealth:
    latest = None if backed.latest is None else timestamp(backed.latest)
    return BackupHealth(copies=backed.copies, latest=latest, trouble=backed.trouble)


def _age(moment: float | None) -> float | None:
    return None if moment is None else round(max(0.0, time.monotonic() - moment), 1)


def _shared(sharing: Sharing) -> SharedGallery:
    return SharedGallery(
        topic=sharing.topic,
        people=sharing.shared,
        waiting=sharing.waiting,
        received=sharing.received,
        ignored=sharing.ignored,
        trouble=sharing.trouble,
    )


def face_payload(seen: Observation) -> dict[str, Any]:
    """A face of a still picture; it has a name only if it was accepted."""
    match = seen.match
    found: dict[str, Any] = {
        "box": _pixels(seen.face.box),
        "landmarks": [[round(float(x), 1), round(float(y), 1)] for x, y in seen.face.landmarks],
        "quality": round(seen.quality, 3),
    }
    if match is not None:
        known = match.decision is Decision.ACCEPT
        found |= {
            "decision": str(match.decision),
            "person_id": match.person_id if known else None,
            "name": match.name if known else None,
            "score": round(match.score, 4),
            "threshold": round(match.threshold, 4),
            "margin": round(match.margin, 4),
            "probability": round(match.probability, 3),
        }
    return found
