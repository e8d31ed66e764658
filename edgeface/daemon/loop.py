"""The daemon: a frame becomes observations, observations become events, events are published."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from edgeface.daemon.backup_task import BackupTask
from edgeface.daemon.frame_rate import FrameRateLimiter
from edgeface.daemon.health_reporter import HealthReporter
from edgeface.daemon.logging import log_event
from edgeface.daemon.signals import Signals
from edgeface.gallery.event_keeper import EventKeeper
from edgeface.gallery.store import Gallery
from edgeface.interfaces import Camera, EventPublisher
from edgeface.mqtt.commands import Commands
from edgeface.operations.context import OperationContext
from edgeface.operations.jobs import JobQueue
from edgeface.operations.live_view import LiveView
from edgeface.platform.memory import HeapTrimmer
from edgeface.recognition.camera_monitor import CameraMonitor
from edgeface.recognition.pipeline import Pipeline
from edgeface.recognition.presence import Presence
from edgeface.sync.follower import Follower
from edgeface.types import Event, Frame, Image, NoFrame, Observation
from edgeface.vision.motion import MotionGate


@dataclass(frozen=True, slots=True)
class Daemon:
    """The parts of a running daemon, as ``build.daemon`` puts them together."""

    camera: Camera
    pipeline: Pipeline
    camera_monitor: CameraMonitor
    presence: Presence
    publisher: EventPublisher
    reporter: HealthReporter
    commands: Commands | None
    keeper: EventKeeper
    gallery: Gallery
    context: OperationContext
    gate: MotionGate
    pace: FrameRateLimiter
    signals: Signals = field(default_factory=Signals)
    jobs: JobQueue = field(default_factory=JobQueue)
    live: LiveView = field(default_factory=LiveView)
    follower: Follower | None = None
    backup: BackupTask | None = None
    trimmer: HeapTrimmer = field(default_factory=HeapTrimmer)

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
        """The loop: from the newest frame to its events, until the camera ends or there is a wish.

        After a wish for a reload it goes on where it was when called again.
        """
        moment: Frame | NoFrame | None = None
        for moment in self.camera.frames():
            began = time.perf_counter()
            image = moment.image if isinstance(moment, Frame) else None
            observations: list[Observation] = []
            due = isinstance(moment, Frame) and self.pace.due(moment.time)
            searched = isinstance(moment, Frame) and due and self.gate.wants(moment)
            if searched and image is not None:
                observations = self.pipeline.observe(image)
                self.gate.searched(moment.time, len(observations))
            took = time.perf_counter() - began
            if searched:
                self.pace.took(moment.time, took)
            events = [*self.camera_monitor.update(moment), *self.presence.update(moment, observations, self.pipeline.matcher)]
            self.publish(events, image)
            self.keeper.update(moment, events)
            self.live.show(moment, self.presence.sights, took if searched else None)
            if self.commands:
                self.commands.serve()
            self.jobs.on_tick(moment, self.context)
            if self.follower:
                self.follower.update(moment)
            if self.backup:
                self.backup.update(self.pipeline.templates)
            self.reporter.beat(moment, took if searched else None, len(observations), events)
            if due:
                self.trimmer.update(searched)
            if self.signals.stop:
                break
            if self.signals.reload:
                return
        if self.commands:
            self.commands.close()
        self.jobs.close()
        self.live.close()
        if moment is not None:
            self.publish(self.presence.close(moment))

    def publish(self, events: Sequence[Event], image: Image | None = None) -> None:
        """Log events and send them to the subscribers, with the picture that they are of."""
        for event in events:
            log_event(event)
            self.publisher.publish(event, image)

    def close(self) -> None:
        """Say goodbye, to the subscribers first: a camera may take its time."""
        self.reporter.stopping()
        self.publisher.close()
        if self.backup:
            self.backup.close()
        self.camera.close()
        self.gallery.close()

    def stop(self) -> None:
        """End ``run`` from a signal handler or another thread."""
        self.signals.stop = True
