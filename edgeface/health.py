"""Defines the health of the daemon, its broker, its shared gallery and its backups, and the payload that tells it."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from edgeface.types import GalleryState, Paused
from edgeface.wire.events import Event
from edgeface.wire.fields import SCHEMA, Camera, Count, Model, Schema, Time, timestamp


@dataclass(frozen=True, slots=True)
class BrokerStatus:
    """The connection to a broker: ``queue`` events wait, ``dropped`` events were given up.

    ``confirmed`` is the monotonic time of the broker's last acknowledgement.
    """

    state: Literal["none", "connecting", "up", "down"] = "none"
    address: str = ""
    reason: str | None = None
    queue: int = 0
    dropped: int = 0
    confirmed: float | None = None


def about(text: str, *examples: Any, **limits: Any) -> Meta:
    """Return a field's description and examples for the reference, and its limits."""
    return Meta(description=text, examples=list(examples) or None, **limits)


class SharedGallery(Struct, frozen=True):
    """How it stands with the gallery that several devices share."""

    topic: Annotated[str, Meta(examples=["edgeface/gallery/home"])]
    people: Annotated[Count, Meta(examples=[2])]
    waiting: Annotated[Count, Meta(examples=[0])]
    received: Annotated[Count, Meta(examples=[3])]
    ignored: Annotated[Count, Meta(examples=[0])]
    trouble: Annotated[str | None, Meta(examples=[None])]


@dataclass(frozen=True, slots=True)
class BackupStatus:
    """The gallery's backups: ``latest`` is when the newest good one was made, in seconds since the Unix epoch."""

    wanted: bool = False
    copies: int = 0
    latest: float | None = None
    trouble: str | None = None


@dataclass(frozen=True, slots=True)
class Histogram:
    """A histogram of seconds: ``counts[i]`` values are up to ``bounds[i]``, the last ones beyond; ``total`` is their sum."""

    bounds: tuple[float, ...] = ()
    counts: tuple[int, ...] = (0,)
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class GalleryHealth:
    """Whether the gallery can be read and changed and is whole, and why not; from an unreadable one nobody is known."""

    state: GalleryState = "ok"
    reason: str | None = None


EXAMPLE = {"state": "ok", "reason": None, "fps": 9.98, "fps_limit": 10.0, "slowed": None, "frame_size": [640, 480]}
CameraState = Literal["starting", "ok", "lost", "paused"]


class CameraHealth(Struct, frozen=True, kw_only=True):
    """Tells how one of several cameras is; the fields mean what those of the whole mean."""

    name: Annotated[str, Meta(examples=["garden"])]
    state: Annotated[CameraState, Meta(examples=["ok"])]
    reason: Annotated[str | None, Meta(examples=[None])]
    fps: Annotated[float, Meta(ge=0, examples=[9.98])]
    fps_limit: Annotated[float | None, Meta(examples=[10.0])]
    slowed: Annotated[str | None, Meta(examples=[None])]
    frame_size: Annotated[tuple[Count, Count] | None, Meta(examples=[[640, 480]])]


@dataclass(frozen=True, slots=True)
class Health:
    """The daemon at the monotonic ``time``; published every half minute and on change."""

    version: str
    uptime: float
    fps: float
    frames_seen: int
    frames_dropped: int
    camera: str
    camera_state: CameraState
    camera_reason: str | None
    model: str
    people: int
    templates: int
    rss_mb: float
    cpu: float
    temperature: float | None
    throttled: bool | None
    throttling: tuple[str, ...] = ()
    throttled_before: tuple[str, ...] = ()
    fps_limit: float = math.inf
    slowed: str | None = None
    frames_skipped: int = 0
    time: float = 0.0
    faces_seen: int = 0
    faces_masked: int = 0
    frame_size: tuple[int, int] | None = None
    events: Mapping[str, int] = field(default_factory=dict)
    unnamed: Mapping[str, int] = field(default_factory=dict)
    liveness: Mapping[str, int] = field(default_factory=dict)
    last_event: Event | None = None
    observe: Histogram = Histogram()
    link: BrokerStatus = BrokerStatus()
    sharing: SharedGallery | None = None
    gallery: GalleryHealth = GalleryHealth()
    events_unkept: str | None = None
    backed: BackupStatus = BackupStatus()
    paused: Paused | None = None
    events_withheld: int = 0
    undoable: int = 0
    webhook: BrokerStatus = BrokerStatus()
    cameras: tuple[CameraHealth, ...] = ()


class WebhookHealth(Struct, frozen=True):
    """How it stands with the events that are posted."""

    waiting: Annotated[Count, Meta(examples=[0])]
    dropped: Annotated[Count, Meta(examples=[2])]
    trouble: Annotated[str | None, Meta(examples=[None])]


class BackupHealth(Struct, frozen=True):
    """How it stands with the gallery's backups."""

    copies: Annotated[Count, Meta(examples=[7])]
    latest: Annotated[Time | None, Meta(examples=["2026-11-24T03:12:40.000Z"])]
    trouble: Annotated[str | None, Meta(examples=[None])]


class PauseHealth(Struct, frozen=True):
    """A pause of the camera."""

    since: Annotated[Time, Meta(examples=["2026-11-24T08:00:00.000Z"])]
    until: Annotated[Time | None, Meta(examples=["2026-11-24T17:00:00.000Z"])]
    why: Annotated[str, Meta(examples=["guests"])]


class HealthPayload(Struct, frozen=True, kw_only=True):
    """How the daemon is: every 30 s and on change."""

    schema: Schema
    ts: Time
    version: Annotated[str, about("of edgeface", "0.1.0")]
    uptime: Annotated[float, about("seconds since the daemon started", 86400.5, ge=0)]
    fps: Annotated[float, about("frames a second, over the latest 30; of several cameras the sum", 9.98, ge=0)]
    frames_seen: Annotated[Count, about("frames looked at since the start", 863801)]
    frames_dropped: Annotated[Count, about("frames replaced by a newer one unseen", 12)]
    camera: Camera
    camera_state: Annotated[
        CameraState, about("`lost` is retried for ever; `paused` is closed on purpose; of several cameras the worst", "ok")
    ]
    camera_reason: Annotated[str | None, about("why the camera is lost; with its name, if there are several", None)]
    model: Model
    gallery_size: Annotated[Count, about("people enrolled", 2)]
    templates: Annotated[Count, about("templates of them all", 10)]
    rss_mb: Annotated[float, about("memory in use, in megabytes", 118.4, ge=0)]
    cpu: Annotated[float, about("processors in use since the last report; 1 is a whole one", 0.31, ge=0)]
    temperature: Annotated[float | None, about("hottest sensor in degrees Celsius, where there is one", 51.5)]
    throttled: Annotated[bool | None, about("a Raspberry Pi slowed down by heat or low voltage now", False)]
    throttling: Annotated[
        list[str], about("what slows it down now: `under-voltage`, `frequency capped`, `throttled`, `temperature limit`", [])
    ]
    throttled_before: Annotated[list[str], about("the same at any time since the machine was started", ["under-voltage"])]
    fps_limit: Annotated[float | None, about("frames a second that are looked at at most; null for a recording", 10.0)]
    slowed: Annotated[str | None, about("why that is less than `camera.fps`: a slow machine, or little memory", None)]
    frames_skipped: Annotated[
        Count, about("frames seen that were not searched for faces: nothing moved, or it is slowed", 712034)
    ]
    frame_size: Annotated[
        tuple[Count, Count] | None,
        about("width, height of the latest frame in pixels, after `camera.rotate`; null before any", [640, 480]),
    ]
    faces_masked: Annotated[Count, about("faces left out since the start, once a frame: in one of `camera.masks`", 0)]
    queue_length: Annotated[Count, about("events waiting for the broker", 0)]
    events_dropped: Annotated[Count, about("events too old or too many to deliver, since the start", 0)]
    events_withheld: Annotated[
        Count, about("events that were not sent, as their person is muted, ignored, or not expected at this hour", 0)
    ]
    gallery_state: Annotated[
        GalleryState,
        about(
            "`damaged`: some records are lost; `stale`: it cannot be read now, people are known as they were; "
            "`read_only`, `full`: people are known, nothing can be changed; `unreadable`: nobody is known until it can be read",
            "ok",
        ),
    ]
    gallery_reason: Annotated[str | None, about("what is wrong with the gallery", None)]
    events_unkept: Annotated[str | None, about("why events are not kept for a verdict at the moment", None)]
    unnamed: Annotated[
        dict[str, Count],
        about(
            "visits that ended without a name since the start, by [reason](operating.md#why-not)", {"dark": 3, "stranger": 5}
        ),
    ]
    liveness: Annotated[
        dict[str, Count],
        about(
            "visits that ended since the start, by what showed the face: `live`, `screen`, `print` or `undecided`; empty where "
            "`liveness.mode` is off",
            {"live": 41, "screen": 1},
        ),
    ]
    broker_reason: Annotated[str | None, about("what is wrong with the broker, or with what it holds for the daemon", None)]
    broker_confirmed: Annotated[float | None, about("seconds since the broker's last acknowledgement; null before any", 0.4)]
    sync: Annotated[
        SharedGallery | UnsetType,
        about(
            "with `sync.enabled`: `people` of the shared gallery, those `waiting` to be sent, changes `received` "
            "and damaged messages `ignored` since the start, and what is wrong"
        ),
    ] = UNSET
    backup: Annotated[
        BackupHealth | UnsetType,
        about(
            "unless `backup.keep` is 0: how many good `copies` of the gallery there are, when the `latest` was "
            "made, and what is wrong"
        ),
    ] = UNSET
    pause: Annotated[
        PauseHealth | UnsetType,
        about("while the camera is paused: `since` when, `until` when (null until somebody resumes), and `why`"),
    ] = UNSET

    cameras: Annotated[
        list[CameraHealth] | UnsetType,
        about(
            "with `[[cameras]]`: each camera, with its `state` and the `reason` if that is `lost`, its `fps`, their limit and "
            "why it is `slowed`, and its `frame_size`. All other fields are of the cameras together, `camera` and `frame_size` "
            "of the first",
            [{"name": "front"} | EXAMPLE, {"name": "garden"} | EXAMPLE],
        ),
    ] = UNSET

    undoable: Annotated[
        Count | UnsetType, about("merges, splits, moves and deletions of views that can be undone; absent if there are none", 1)
    ] = UNSET
    webhook: Annotated[
        WebhookHealth | UnsetType,
        about("with `webhook.url`: events `waiting` to be posted, those `dropped` since the start, and what is wrong"),
    ] = UNSET


DIGITS = {"uptime": 1, "fps": 2, "rss_mb": 1, "cpu": 3}


def health_payload(health: Health, wall: float) -> HealthPayload:
    """Return the daemon's health for subscribers; fields of one name are taken over, rounded to ``DIGITS``."""
    link, backed, paused, hook = health.link, health.backed, health.paused, health.webhook
    values: dict[str, Any] = {name: getattr(health, name) for name in HealthPayload.__struct_fields__ if hasattr(health, name)}
    values |= {name: round(values[name], digits) for name, digits in DIGITS.items()}
    until = None if paused is None or paused.until is None else timestamp(paused.until)
    latest = None if backed.latest is None else timestamp(backed.latest)
    values |= {
        "schema": SCHEMA,
        "ts": timestamp(wall),
        "gallery_size": health.people,
        "throttling": list(health.throttling),
        "throttled_before": list(health.throttled_before),
        "fps_limit": round(health.fps_limit, 2) if math.isfinite(health.fps_limit) else None,
        "queue_length": link.queue,
        "events_dropped": link.dropped,
        "gallery_state": health.gallery.state,
        "gallery_reason": health.gallery.reason,
        "broker_reason": link.reason,
        "broker_confirmed": None if link.confirmed is None else round(max(0.0, time.monotonic() - link.confirmed), 1),
        "sync": health.sharing or UNSET,
        "undoable": health.undoable or UNSET,
        "webhook": UNSET if hook.state == "none" else WebhookHealth(hook.queue, hook.dropped, hook.reason),
        "cameras": list(health.cameras) or UNSET,
        "backup": BackupHealth(backed.copies, latest, backed.trouble) if backed.wanted else UNSET,
        "pause": PauseHealth(timestamp(paused.since), until, paused.why) if paused else UNSET,
    }
    return HealthPayload(**values)
