"""Feeds systemd's watchdog, and publishes the daemon's health and its people."""

import logging
import math
import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import psutil

from edgeface import __version__
from edgeface.daemon.backup_task import BackupTask
from edgeface.daemon.expiry import Expiry
from edgeface.daemon.frame_rate import FrameRateLimiter
from edgeface.daemon.turns import Turns
from edgeface.gallery.contents import Templates
from edgeface.gallery.event_keeper import EventKeeper
from edgeface.health import BrokerStatus, CameraHealth, Health, Histogram
from edgeface.interfaces import Camera, EventPublisher, Tick
from edgeface.platform.machine import temperature, throttling
from edgeface.platform.memory import trim_heap
from edgeface.platform.systemd import Systemd
from edgeface.recognition.camera_monitor import CameraMonitor
from edgeface.recognition.pipeline import Pipeline
from edgeface.sync.follower import Follower
from edgeface.types import EventType, Frame, NoFrame, Person
from edgeface.wire.events import Event

log = logging.getLogger(__name__)

INTERVAL, SNAPSHOT = 30.0, 1.0
"""Seconds between two publications of health, and after which ``health`` is taken anew."""
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Upper bounds, in seconds, of the histogram of search times; a last class is open."""


STATES = ("lost", "paused", "starting", "ok")
"""The states of a camera, the worst first."""


class Counters:
    """Counts frames, faces and events from the daemon's start on, across reloads."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.frames = self.skipped = self.faces = self.masked = self.dropped = self.withheld = 0
        self.events: Counter[str] = Counter()
        self.unnamed: Counter[str] = Counter()
        self.liveness: Counter[str] = Counter()
        self.last_event: Event | None = None
        self._classes = [0] * (len(BOUNDS) + 1)
        self._seconds = 0.0

    def count_frame(self, faces: int, seconds: float | None) -> None:
        """Count a frame, its faces, and the seconds that the search took, ``None`` if it was not searched."""
        self.frames += 1
        if seconds is None:
            self.skipped += 1
            return
        self.faces += faces
        self._classes[bisect_left(BOUNDS, seconds)] += 1
        self._seconds += seconds

    def count_events(self, events: Iterable[Event]) -> None:
        for event in events:
            if event.withheld:
                self.withheld += 1
                continue
            self.events[str(event.event_type)] += 1
            if event.doubt is not None:
                self.unnamed[str(event.doubt.reason)] += 1
            if event.event_type in (EventType.LEFT, EventType.UNSURE) and event.liveness_class:
                self.liveness[str(event.liveness_class)] += 1
            if event.event_type is not EventType.UNSURE:
                self.last_event = event

    @property
    def durations(self) -> Histogram:
        return Histogram(BOUNDS, tuple(self._classes), self._seconds)


class GalleryParts(NamedTuple):
    pipeline: Pipeline
    event_keeper: EventKeeper
    follower: Follower | None
    backup: BackupTask
    expiry: Expiry | None = None


class Links(NamedTuple):
    """Holds what events go to: the broker or standard output, and a webhook, if there is one."""

    publisher: EventPublisher
    webhook: EventPublisher | None = None


class Watched:
    """A camera, with what the reporter notes of it."""

    def __init__(self, camera: Camera, monitor: CameraMonitor, frame_rate: FrameRateLimiter) -> None:
        self.camera, self.monitor, self.frame_rate = camera, monitor, frame_rate
        self.stuck = False
        self.frame_size: tuple[int, int] | None = None
        self._recent: deque[float] = deque(maxlen=30)

    def note(self, moment: Frame | NoFrame) -> None:
        self.stuck = isinstance(moment, NoFrame) and moment.stuck
        if isinstance(moment, Frame):
            self._recent.append(moment.time)
            self.frame_size = moment.image.shape[1], moment.image.shape[0]
        elif moment.lost is not None or moment.paused:
            self._recent.clear()

    @property
    def fps(self) -> float:
        recent = self._recent
        return (len(recent) - 1) / (recent[-1] - recent[0]) if len(recent) > 1 and recent[-1] > recent[0] else 0.0

    def health(self) -> CameraHealth:
        return CameraHealth(
            name=self.monitor.camera,
            state=self.monitor.state,
            reason=self.monitor.reason,
            fps=round(self.fps, 2),
            fps_limit=round(self.frame_rate.fps, 2) if math.isfinite(self.frame_rate.fps) else None,
            slowed=self.frame_rate.reason,
            frame_size=self.frame_size,
        )


class HealthReporter:
    """Gives the publisher the daemon's health and the people who may be recognized, and systemd's watchdog a sign of life.

    Without ticks the watchdog restarts the service. Any thread may read ``health``, which is at most ``SNAPSHOT`` seconds old
    while the loop runs.
    """

    def __init__(
        self,
        links: Links,
        watched: Sequence[Watched],
        gallery: GalleryParts,
        turns: Turns | None = None,
        before: "HealthReporter | None" = None,
    ) -> None:
        (self._publisher, self._webhook), self._gallery, self._turns = links, gallery, turns
        self._first, self._each = watched[0], {one.monitor.camera: one for one in watched}
        self._systemd: Systemd = before._systemd if before else Systemd()
        self.counters: Counters = before.counters if before else Counters()
        self._process = psutil.Process()
        self._process.cpu_percent()
        self._cpu = 0.0
        self._published_at = -INTERVAL
        # The old templates, so that the first tick publishes what a reload changed.
        self._known: Templates = before._known if before else gallery.pipeline.templates
        self._announced: Sequence[Person] = before._announced if before else gallery.pipeline.announced
        self._latest = self._state()
        self.health = self._health(time.monotonic())

    def ready(self) -> None:
        """Tell systemd that the service is up, whether or not the camera is."""
        trim_heap()
        self._systemd.notify(READY=1)

    def reloading(self) -> None:
        self._systemd.notify(RELOADING=1, MONOTONIC_USEC=time.monotonic_ns() // 1000)

    def stopping(self) -> None:
        self._systemd.notify(STOPPING=1)

    def on_tick(self, tick: Tick) -> None:
        moment = tick.moment
        if isinstance(moment, Frame):
            self.counters.count_frame(len(tick.seen.observations), tick.seen.seconds)
            self.counters.masked += tick.seen.masked
        (self._each[tick.camera] if tick.camera else self._first).note(moment)
        self.counters.count_events(tick.events)
        if not all(one.stuck for one in self._each.values()):
            self._systemd.notify(WATCHDOG=1)
        known, state = self._gallery.pipeline.templates, self._state()
        announced = self._gallery.pipeline.announced
        if announced is not self._announced:
            for link in filter(None, (self._publisher, self._webhook)):
                link.people(announced)
        due = (
            known is not self._known
            or announced is not self._announced
            or state != self._latest
            or moment.time - self._published_at >= INTERVAL
        )
        self._known, self._announced, self._latest = known, announced, state
        if due:
            trim_heap()
            self._cpu = self._process.cpu_percent() / 100.0
        if due or tick.events or moment.time - self.health.time >= SNAPSHOT:
            limits, self.health = self.health.throttling, self._health(moment.time)
            if self.health.throttling != limits:
                log.warning("the board is slowed down by: %s", ", ".join(self.health.throttling) or "nothing any more")
        if due:
            self._published_at = moment.time
            self._publisher.health(self.health)
            status = f"camera {self.health.camera_state}, {self.health.fps:.1f} frames/s, {len(known.people)} people"
            self._systemd.notify(STATUS=status)

    def _state(self) -> tuple[object, ...]:
        """Return the states whose change is published at once."""
        cameras = [(one.monitor.state, one.monitor.paused, one.frame_rate.reason is not None) for one in self._each.values()]
        return (*cameras, self._gallery.pipeline.health, self._gallery.event_keeper.trouble)

    def _health(self, now: float) -> Health:
        limits, (pipeline, event_keeper, follower, backup, expiry) = throttling(), self._gallery
        each, worst = list(self._each.values()), self._worst()
        dropped = sum(one.camera.dropped for one in each) + (self._turns.dropped if self._turns else 0)
        return Health(
            version=__version__,
            uptime=now - self.counters.started,
            fps=sum(one.fps for one in each),
            frames_seen=self.counters.frames,
            frames_dropped=self.counters.dropped + dropped,
            camera=self._first.monitor.camera,
            camera_state=worst.monitor.state,
            camera_reason=self._of(worst, worst.monitor.reason),
            model=pipeline.embedder.card.digest,
            people=len(self._known.people),
            templates=len(self._known.vectors),
            rss_mb=self._process.memory_info().rss / 1e6,
            cpu=self._cpu,
            temperature=temperature(),
            throttled=None if limits is None else bool(limits.now),
            throttling=() if limits is None else limits.now,
            throttled_before=() if limits is None else limits.before,
            fps_limit=sum(one.frame_rate.fps for one in each),
            slowed=next((self._of(one, one.frame_rate.reason) for one in each if one.frame_rate.reason), None),
            frames_skipped=self.counters.skipped,
            time=now,
            faces_seen=self.counters.faces,
            faces_masked=self.counters.masked,
            frame_size=self._first.frame_size,
            events=dict(self.counters.events),
            unnamed=dict(self.counters.unnamed),
            liveness=dict(self.counters.liveness),
            last_event=self._last_event(),
            observe=self.counters.durations,
            link=self._publisher.link,
            webhook=self._webhook.link if self._webhook else BrokerStatus(),
            sharing=follower.sharing if follower else None,
            gallery=pipeline.health,
            events_unkept=event_keeper.trouble,
            backed=backup.state,
            events_withheld=self.counters.withheld,
            paused=self._first.monitor.paused,
            cameras=tuple(one.health() for one in each) if len(each) > 1 else (),
            undoable=expiry.undoable if expiry else 0,
        )

    def _worst(self) -> Watched:
        return min(self._each.values(), key=lambda one: STATES.index(one.monitor.state))

    def _of(self, one: Watched, reason: str | None) -> str | None:
        """Return a reason with the name of its camera, where there are several."""
        return f"{one.monitor.camera}: {reason}" if reason and len(self._each) > 1 else reason

    def _last_event(self) -> Event | None:
        """Return the latest event, unless its person has been forgotten, or is ignored now."""
        event = self.counters.last_event
        gone = event and event.person_id and all(person.id != event.person_id for person in self._announced)
        return None if gone else event
