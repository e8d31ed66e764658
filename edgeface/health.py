"""How the daemon, its broker and its shared gallery are: what is published as health and told by status."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from edgeface.types import Event, GalleryState


@dataclass(frozen=True, slots=True)
class BrokerStatus:
    """How a publisher stands with its broker; ``queue`` events wait, ``dropped`` were given up.

    ``confirmed`` is the monotonic time of the broker's last acknowledgement.
    """

    state: Literal["none", "connecting", "up", "down"] = "none"
    address: str = ""
    reason: str | None = None
    queue: int = 0
    dropped: int = 0
    confirmed: float | None = None


@dataclass(frozen=True, slots=True)
class SyncStatus:
    """How it stands with the shared gallery: ``waiting`` people have not reached the broker yet."""

    topic: str = ""
    shared: int = 0
    waiting: int = 0
    received: int = 0
    ignored: int = 0
    trouble: str | None = None


@dataclass(frozen=True, slots=True)
class BackupStatus:
    """How it stands with the gallery's backups: ``latest`` is when the newest good one was made, on the wall's clock."""

    wanted: bool = False
    copies: int = 0
    latest: float | None = None
    trouble: str | None = None


@dataclass(frozen=True, slots=True)
class Histogram:
    """A histogram of seconds: ``counts[i]`` are those up to ``bounds[i]``, the last those beyond; ``total`` is their sum."""

    bounds: tuple[float, ...] = ()
    counts: tuple[int, ...] = (0,)
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class GalleryHealth:
    """Whether the gallery can be read and changed, and is whole, and if not why not; nobody is known of an unreadable one."""

    state: GalleryState = "ok"
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """How the daemon was at the monotonic ``time``; it is published every half minute and on change."""

    version: str
    uptime: float
    fps: float
    frames_seen: int
    frames_dropped: int
    camera: str
    camera_state: Literal["starting", "ok", "lost"]
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
    events: Mapping[str, int] = field(default_factory=dict)
    last_event: Event | None = None
    observe: Histogram = Histogram()
    link: BrokerStatus = BrokerStatus()
    sharing: SyncStatus = SyncStatus()
    gallery: GalleryHealth = GalleryHealth()
    events_unkept: str | None = None
    backed: BackupStatus = BackupStatus()
