"""The daemon's health."""

import math
import time
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from edgeface.health import BackupStatus, Health, SyncStatus
from edgeface.types import GalleryState
from edgeface.wire.fields import SCHEMA, Camera, Count, Model, Schema, Time, timestamp


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


def _backed(backed: BackupStatus) -> BackupHealth:
    latest = None if backed.latest is None else timestamp(backed.latest)
    return BackupHealth(copies=backed.copies, latest=latest, trouble=backed.trouble)


def _age(moment: float | None) -> float | None:
    return None if moment is None else round(max(0.0, time.monotonic() - moment), 1)


def _shared(sharing: SyncStatus) -> SharedGallery:
    return SharedGallery(
        topic=sharing.topic,
        people=sharing.shared,
        waiting=sharing.waiting,
        received=sharing.received,
        ignored=sharing.ignored,
        trouble=sharing.trouble,
    )
