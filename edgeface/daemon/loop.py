"""The daemon: a frame becomes observations, observations become events, events are published."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from edgeface.config.schema import Config
from edgeface.daemon.backup_task import BackupTask
from edgeface.daemon.frame_rate import FrameRateLimiter
from edgeface.daemon.health_reporter import HealthReporter
from edgeface.daemon.logging import log_event
from edgeface.daemon.look import Look
from edgeface.daemon.signals import Signals
from edgeface.enrollment.enroller import Enroller
from edgeface.gallery.event_keeper import EventKeeper
from edgeface.gallery.store import Gallery
from edgeface.interfaces import Camera, EventPublisher, Task, Tick
from edgeface.mqtt.commands import Commands
from edgeface.operations.context import OperationContext
from edgeface.operations.jobs import JobQueue
from edgeface.operations.live_view import LiveView
from edgeface.platform.memory import HeapTrimmer
from edgeface.recognition.camera_monitor import CameraMonitor
from edgeface.recognition.pipeline import Pipeline
from edgeface.recognition.presence import Presence
from edgeface.sync.follower import Follower
from edgeface.types import Frame, NoFrame
from edgeface.vision.embedding import Embedder
from edgeface.vision.motion import MotionGate
from edgeface.wire.events import Event


class _Call(NamedTuple):
    """A task that is one call of a part."""

    on_tick: Callable[[Tick], None]


class Daemon:
    """The parts of a running daemon, as ``assemble`` puts them together by the table ``PARTS``, and the loop over them."""

    model: Path
    signals: Signals
    jobs: JobQueue
    live: LiveView
    trimmer: HeapTrimmer
    embedder: Embedder
    gallery: Gallery
    backup: BackupTask
    pipeline: Pipeline
    publisher: EventPublisher
    follower: Follower | None
    enroller: Enroller
    context: OperationContext
    commands: Commands | None
    camera: Camera
    camera_monitor: CameraMonitor
    presence: Presence
    gate: MotionGate
    frame_rate: FrameRateLimiter
    look: Look
    keeper: EventKeeper
    reporter: HealthReporter

    def __init__(self, config: Config) -> None:
        self.config = config

    def run(self) -> None:
        """Watch until the camera ends or ``stop`` is called; always says goodbye to the subscribers."""
        self.open()
        try:
            self.watch()
        finally:
            self.close()

    def open(self) -> None:
        """Start to publish, and tell systemd."""
        if self.pipeline.health.state == "unreadable":
            self.publisher.health(self.reporter.health)  # so that nobody counts as forgotten
        self.publisher.open(self.pipeline.templates.people)
        self.reporter.ready()

    def watch(self) -> None:
        """The loop: from the newest frame to its events, until the camera ends or a signal came.

        After a signal for a reload it goes on where it was when called again.
        """
        moment: Frame | NoFrame | None = None
        tasks = self._tasks()
        for moment in self.camera.frames():
            seen = self.look.at(moment)
            events = self.camera_monitor.update(moment)
            events += self.presence.update(moment, seen.observations, self.pipeline.matcher)
            self.publish(events, moment)
            tick = Tick(moment, seen, events)
            for task in tasks:
                task.on_tick(tick)
            if self.signals.stop:
                break
            if self.signals.reload:
                return
        if self.commands:
            self.commands.close()
        self.jobs.close()
        self.live.close()
        if moment is not None:
            self.publish(self.presence.close(moment), moment)

    def _tasks(self) -> list[Task]:
        """What is done in each round, in this order."""
        commands = self.commands
        tasks: list[Task | None] = [
            self.keeper,
            _Call(lambda tick: self.live.show(tick.moment, self.presence.sights, tick.seen.seconds)),
            _Call(lambda _tick: commands.serve()) if commands else None,
            _Call(lambda tick: self.jobs.on_tick(tick, self.context)),
            self.follower,
            _Call(lambda _tick: self.backup.update(self.pipeline.templates)),
            self.reporter,
            _Call(lambda tick: self.trimmer.update(tick.seen.seconds is not None) if tick.seen.due else None),
        ]
        return [task for task in tasks if task]

    def publish(self, events: Sequence[Event], moment: Frame | NoFrame) -> None:
        """Log events and send them to the subscribers, with the picture that they are of."""
        for event in events:
            log_event(event)
            self.publisher.publish(event, moment.image if isinstance(moment, Frame) else None)

    def close(self) -> None:
        """Say goodbye, to the subscribers first: a camera may take its time."""
        self.reporter.stopping()
        self.publisher.close()
        if self.follower:
            self.follower.close()
        self.backup.close()
        self.camera.close()
        self.gallery.close()

    def stop(self) -> None:
        """End ``run`` from a signal handler or another thread."""
        self.signals.stop = True
