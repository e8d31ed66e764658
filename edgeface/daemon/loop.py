"""Runs the loop: a frame becomes observations, these become events, and the events are published."""

import math
import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgeface.config.schema import Config
from edgeface.daemon.backup_task import BackupTask
from edgeface.daemon.expiry import Expiry
from edgeface.daemon.frame_rate import FrameRateLimiter
from edgeface.daemon.health_reporter import HealthReporter
from edgeface.daemon.logging import log_event
from edgeface.daemon.turns import Turns
from edgeface.enrollment.enroller import Enroller
from edgeface.gallery.event_keeper import EventKeeper
from edgeface.gallery.store import Gallery
from edgeface.interfaces import Camera, EventPublisher, Tick
from edgeface.mqtt.commands import Commands
from edgeface.operations.context import OperationContext
from edgeface.operations.jobs import JobQueue
from edgeface.operations.live_view import LiveView
from edgeface.operations.pause import Pause
from edgeface.operations.signing import Grants
from edgeface.platform.memory import HeapTrimmer
from edgeface.recognition.camera_monitor import CameraMonitor
from edgeface.recognition.pipeline import Pipeline
from edgeface.recognition.presence import Presence
from edgeface.recognition.rulebook import Rulebook
from edgeface.recognition.strangers import Strangers
from edgeface.sync.follower import Follower
from edgeface.types import EventType, Frame, Image, NoFrame, Seen
from edgeface.vision.embedding import Embedder
from edgeface.vision.motion import MotionGate
from edgeface.wire.events import Event

SHARING = 0.5
"""Seconds after a search for which a camera counts as one that shares the loop's time."""


class Signals:
    """The requests of signals: a handler only notes them, and the loop obeys between two frames."""

    def __init__(self) -> None:
        self.stop = self.reload = False

    def ask_reload(self) -> None:
        self.reload = True

    def listen(self) -> None:
        """Note SIGTERM and SIGINT as a request to stop, and SIGHUP as one to reload, or to stop if it comes from a terminal."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._note)

    def _note(self, number: int, _frame: object) -> None:
        if number == signal.SIGHUP and not os.isatty(0):
            self.reload = True
        else:
            self.stop = True


class Daemon:
    """The parts of a running daemon, which ``assemble`` builds by the table ``PARTS``, and its loop.

    The parts of one camera are those of the first; ``beside`` has, by name, a daemon of each further camera, which has parts
    of its own for it, shares all others with the first, and does not run.
    """

    model: Path
    file: Path | None
    signals: Signals
    jobs: JobQueue
    turns: Turns
    live: LiveView
    trimmer: HeapTrimmer
    embedder: Embedder
    gallery: Gallery
    backup: BackupTask
    pipeline: Pipeline
    publisher: EventPublisher
    webhook: EventPublisher | None
    follower: Follower | None
    enroller: Enroller
    context: OperationContext
    commands: Commands | None
    pause: Pause
    grants: Grants | None
    camera: Camera
    camera_monitor: CameraMonitor
    presence: Presence
    strangers: Strangers
    gate: MotionGate
    frame_rate: FrameRateLimiter
    beside: Mapping[str, "Daemon"]
    rulebook: Rulebook
    expiry: Expiry
    event_keeper: EventKeeper
    reporter: HealthReporter

    def __init__(self, config: Config) -> None:
        self.config = config
        self._searched = -math.inf

    @property
    def each(self) -> dict[str, "Daemon"]:
        """The daemons of all cameras, by the camera's name."""
        return {self.config.camera.name: self, **self.beside}

    def run(self) -> None:
        self.open()
        try:
            self.watch()
        finally:
            self.close()

    def open(self) -> None:
        if self.pipeline.health.state == "unreadable":
            self.publisher.health(self.reporter.health)  # else subscribers would take everybody for forgotten
        self.publisher.open(self.pipeline.announced)
        if self.webhook:
            self.webhook.open(self.pipeline.announced)
        self.reporter.ready()

    def watch(self) -> None:
        """Run the loop until the camera ends or a signal comes.

        After a signal to reload, the next call goes on with the same camera and presence.
        """
        moment: Frame | NoFrame | None = None
        each = self.each
        for name, moment in self.turns.moments({name: one.camera for name, one in each.items()}):
            watch = each[name]
            seen = self._look(watch, moment)
            events = watch.recognize(moment, seen)
            events = self.publish(self.strangers.tell(events), moment)
            self._run_tasks(Tick(moment, seen, events, name), watch)
            if self.signals.stop:
                break
            if self.signals.reload:
                return
        if self.commands:
            self.commands.close()
        self.jobs.close()
        for watch in each.values():
            watch.live.close()
            if moment is not None:
                events = watch.presence.close(moment)
                self.publish(events, moment)
                self.event_keeper.on_tick(Tick(moment, events=events))

    def recognize(self, moment: Frame | NoFrame, seen: Seen) -> list[Event]:
        """Return the events of a moment of this camera."""
        events = self.camera_monitor.update(moment)
        small = self.pipeline.too_small(seen.faces or ())
        events += self.presence.update(moment, seen.observations, self.pipeline.matcher, small)
        if isinstance(moment, NoFrame) and moment.paused:
            events += self.presence.close(moment)
            self.live.close()
        return events

    def _look(self, watch: "Daemon", moment: Frame | NoFrame) -> Seen:
        """Search this moment's frame, if there is one, it is due, and something moves in it."""
        if not isinstance(moment, Frame) or not watch.frame_rate.due(moment.time):
            return Seen()
        began = time.perf_counter()
        if not watch.gate.wants(moment):
            return Seen(due=True)
        found = self.pipeline.search(moment.image, watch.config.camera)
        living = watch.config.liveness.mode != "off"
        observations = self.pipeline.observe(moment.image, found.watched, living=living)
        watch.gate.searched(moment.time, len(observations))
        took = time.perf_counter() - began
        watch._searched = moment.time
        sharing = sum(moment.time - one._searched < SHARING for one in self.each.values())
        watch.frame_rate.took(moment.time, took, sharing)
        return Seen(observations, took, due=True, faces=found.faces, masked=found.masked)

    def _run_tasks(self, tick: Tick, watch: "Daemon") -> None:
        """Let each task do the share of its work that is due; none waits for anything."""
        self.event_keeper.on_tick(tick)
        watch.live.show(tick.moment, watch.presence.tracked_faces, tick.seen.seconds)
        if self.commands:
            self.commands.serve()
        self.jobs.on_tick(tick, self.context)
        if self.follower:
            self.follower.on_tick(tick)
        self.expiry.on_tick(tick, self.pipeline.rules)
        self.backup.update(self.pipeline.templates)
        self.reporter.on_tick(tick)
        if tick.seen.due:
            self.trimmer.update(tick.seen.seconds is not None)

    def publish(self, events: Sequence[Event], moment: Frame | NoFrame) -> list[Event]:
        """Tell the events, as people's rules allow, and return them as they were told or withheld."""
        ruled = self.rulebook.apply(events, self.pipeline.rules)
        for event in ruled:
            if event.withheld is None:
                self._tell(event, moment.image if isinstance(moment, Frame) else None)
            elif event.withheld != "ignored":
                self.publisher.note(event)
        return ruled

    def _tell(self, event: Event, image: Image | None) -> None:
        if not self.publisher.shows_events:
            log_event(event)
        if event.event_type is EventType.UNSURE and not self.config.events.publish_unsure:
            return
        self.publisher.publish(event, image)
        if self.webhook:
            self.webhook.publish(event, image)

    def close(self) -> None:
        """Close every part, the publisher first, as a camera may take long."""
        self.reporter.stopping()
        self.publisher.close()
        if self.webhook:
            self.webhook.close()
        if self.follower:
            self.follower.close()
        self.backup.close()
        for one in self.each.values():
            one.camera.close()
        self.turns.close()
        self.gallery.close()
