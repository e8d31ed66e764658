"""The daemon's pulse: systemd's watchdog, and health for whoever listens."""

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Literal

import psutil

from edgeface import __version__
from edgeface.daemon.counters import Counters
from edgeface.daemon.frame_rate import FrameRateLimiter
from edgeface.gallery.contents import Templates
from edgeface.health import BackupStatus, GalleryHealth, Health, SyncStatus
from edgeface.interfaces import Camera, EventPublisher
from edgeface.platform.machine import temperature, throttling
from edgeface.platform.memory import trim_heap
from edgeface.platform.systemd import Systemd
from edgeface.types import Event, Frame, NoFrame

log = logging.getLogger(__name__)

INTERVAL, SNAPSHOT = 30.0, 1.0


class HealthReporter:
    """Beats once a frame or gap; no beat, no watchdog message, and systemd restarts the service.

    ``health`` is a second old at most while the loop goes round; any thread may read it. ``trouble`` tells how the gallery is,
    and why events are not kept.
    """

    def __init__(
        self,
        publisher: EventPublisher,
        camera: Camera,
        name: str,
        model: str,
        gallery: Callable[[], Templates],
        pace: FrameRateLimiter,
        before: "HealthReporter | None" = None,
        sharing: Callable[[], SyncStatus] = SyncStatus,
        trouble: Callable[[], tuple[GalleryHealth, str | None]] = lambda: (GalleryHealth(), None),
        backed: Callable[[], BackupStatus] = BackupStatus,
    ) -> None:
        self._sharing, self._trouble, self._backed = sharing, trouble, backed
        self._troubled = trouble()
        self._publisher, self._camera, self._name, self._model, self._gallery = publisher, camera, name, model, gallery
        self._pace = pace
        self._systemd: Systemd = before._systemd if before else Systemd()
        self.counters: Counters = before.counters if before else Counters()
        self._process = psutil.Process()
        self._process.cpu_percent()
        self._cpu = 0.0
        self._recent: deque[float] = deque(maxlen=30)
        self._state: Literal["starting", "ok", "lost"] = "starting"
        self._reason: str | None = None
        self._slowed = False
        self._told = -INTERVAL
        self._known: Templates = before._known if before else gallery()  # so that the first beat tells what a reload changed
        self.health = self._health(time.monotonic())

    def ready(self) -> None:
        """Everything is built: the service is up, whether or not the camera is."""
        trim_heap()
        self._systemd.notify(READY=1)

    def reloading(self) -> None:
        """The settings are being read again; ``ready`` ends it."""
        self._systemd.notify(RELOADING=1, MONOTONIC_USEC=time.monotonic_ns() // 1000)

    def stopping(self) -> None:
        """The service is on its way down."""
        self._systemd.notify(STOPPING=1)

    def beat(self, moment: Frame | NoFrame, seconds: float | None = None, faces: int = 0, events: Sequence[Event] = ()) -> None:
        """The loop has come round: a frame took so long, if it was searched, had so many faces, and led to these events."""
        state, reason = self._state, self._reason
        if isinstance(moment, Frame):
            self.counters.observed(faces, seconds)
            self._recent.append(moment.time)
            state, reason = "ok", None
        elif moment.lost is not None:
            state, reason = "lost", moment.lost
            self._recent.clear()
        self.counters.published(events)
        if not (isinstance(moment, NoFrame) and moment.stuck):
            self._systemd.notify(WATCHDOG=1)
        known = self._gallery()
        slowed = self._pace.reason is not None
        troubled = self._trouble()
        changed = state != self._state or known is not self._known or slowed != self._slowed or troubled != self._troubled
        self._slowed, self._troubled = slowed, troubled
        if known is not self._known:
            self._publisher.people(known.people)
        self._state, self._reason, self._known = state, reason, known
        tell = changed or moment.time - self._told >= INTERVAL
        if tell:
            trim_heap()
            self._cpu = self._process.cpu_percent() / 100.0
        if tell or events or moment.time - self.health.time >= SNAPSHOT:
            before, self.health = self.health.throttling, self._health(moment.time)
            if self.health.throttling != before:
                log.warning("the board is slowed down by: %s", ", ".join(self.health.throttling) or "nothing any more")
        if tell:
            self._told = moment.time
            self._publisher.health(self.health)
            self._systemd.notify(STATUS=f"camera {state}, {self._fps():.1f} frames/s, {len(known.people)} people")

    def _fps(self) -> float:
        recent = self._recent
        return (len(recent) - 1) / (recent[-1] - recent[0]) if len(recent) > 1 and recent[-1] > recent[0] else 0.0

    def _health(self, now: float) -> Health:
        limits = throttling()
        return Health(
            version=__version__,
            uptime=now - self.counters.started,
            fps=self._fps(),
            frames_seen=self.counters.frames,
            frames_dropped=self.counters.dropped + self._camera.dropped,
            camera=self._name,
            camera_state=self._state,
            camera_reason=self._reason,
            model=self._model,
            people=len(self._known.people),
            templates=len(self._known.vectors),
            rss_mb=self._process.memory_info().rss / 1e6,
            cpu=self._cpu,
            temperature=temperature(),
            throttled=None if limits is None else bool(limits.now),
            throttling=() if limits is None else limits.now,
            throttled_before=() if limits is None else limits.before,
            fps_limit=self._pace.fps,
            slowed=self._pace.reason,
            frames_skipped=self.counters.skipped,
            time=now,
            faces_seen=self.counters.faces,
            events=dict(self.counters.events),
            last_event=self._last_event(),
            observe=self.counters.durations,
            link=self._publisher.link,
            sharing=self._sharing(),
            gallery=self._troubled[0],
            events_unkept=self._troubled[1],
            backed=self._backed(),
        )

    def _last_event(self) -> Event | None:
        """The latest event; as in the gallery, nothing is kept of it once its person is forgotten."""
        event = self.counters.last_event
        gone = event and event.person_id and all(person.id != event.person_id for person in self._known.people)
        return None if gone else event
