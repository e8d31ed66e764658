"""Runs the loop: a frame becomes observations, these become events, and the events are published."""

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from edgeface.config.schema import Config
from edgeface.daemon.backup_task import BackupTask
from edgeface.daemon.frame_rate import FrameRateLimiter
from edgeface.daemon.health_reporter import HealthReporter
from edgeface.daemon.logging import log_event
from edgeface.enrollment.enroller import Enroller
from edgeface.gallery.event_keeper import EventKeeper
from edgeface.gallery.store import Gallery
from edgeface.interfaces import Camera, EventPublisher, Tick
from edgeface.mqtt.commands import Commands
from edgeface.operations.context import OperationContext
from edgeface.operations.jobs import JobQueue
from edgeface.operations.live_view import LiveView
from edgeface.platform.memory import HeapTrimmer
from edgeface.recognition.camera_monitor import CameraMonitor
from edgeface.recognition.pipeline import Pipeline
from edgeface.recognition.presence import Presence
from edgeface.sync.follower import Follower
from edgeface.types import Frame, NoFrame, Seen
from edgeface.vision.embedding import Embedder
from edgeface.vision.motion import MotionGate
from edgeface.wire.events import Event


class Signals:
    """The requests of signals: a handler only notes them, and the loop obeys between two frames."""

    def __init__(self) -> None:
        self.stop = self.reload = False

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
    """The parts of a running daemon, which ``assemble`` builds by the table ``PARTS``, and its loop."""

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
    webhook: EventPublisher | None
    follower: Follower | None
    enroller: Enroller
    context: OperationContext
    commands: Commands | None
    camera: Camera
    camera_monitor: CameraMonitor
    presence: Presence
    gate: MotionGate
    frame_rate: FrameRateLimiter
    event_keeper: EventKeeper
    reporter: HealthReporter

    def __init__(self, config: Config) -> None:
        self.config = config

    def run(self) -> None:
        self.open()
        try:
            self.watch()
        finally:
            self.close()

    def open(self) -> None:
        if self.pipeline.health.state == "unreadable":
            self.publisher.health(self.reporter.health)  # else subscribers would take everybody for forgotten
        self.publisher.open(self.pipeline.templates.people)
        if self.webhook:
            self.webhook.open(self.pipeline.templates.people)
        self.reporter.ready()

    def watch(self) -> None:
        """Run the loop until the camera ends or a signal comes.

        After a signal to reload, the next call goes on with the same camera and presence.
        """
        moment: Frame | NoFrame | None = None
        for moment in self.camera.frames():
            seen = self._look(moment)
            events = self.camera_monitor.update(moment)
            events += self.presence.update(moment, seen.observations, self.pipeline.matcher)
            self.publish(events, moment)
            self._run_tasks(Tick(moment, seen, events))
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

    def _look(self, moment: Frame | NoFrame) -> Seen:
        """Search this moment's frame, if there is one, it is due, and something moves in it."""
        if not isinstance(moment, Frame) or not self.frame_rate.due(moment.time):
            return Seen()
        began = time.perf_counter()
        if not self.gate.wants(moment):
            return Seen(due=True)
        faces = self.pipeline.detector.detect(moment.image)
        observations = self.pipeline.observe(moment.image, faces)
        self.gate.searched(moment.time, len(observations))
        took = time.perf_counter() - began
        self.frame_rate.took(moment.time, took)
        return Seen(observations, took, due=True, faces=faces)

    def _run_tasks(self, tick: Tick) -> None:
        """Let each task do the share of its work that is due; none waits for anything."""
        self.event_keeper.on_tick(tick)
        self.live.show(tick.moment, self.presence.tracked_faces, tick.seen.seconds)
        if self.commands:
            self.commands.serve()
        self.jobs.on_tick(tick, self.context)
        if self.follower:
            self.follower.on_tick(tick)
        self.backup.update(self.pipeline.templates)
        self.reporter.on_tick(tick)
        if tick.seen.due:
            self.trimmer.update(tick.seen.seconds is not None)

    def publish(self, events: Sequence[Event], moment: Frame | NoFrame) -> None:
        for event in events:
            log_event(event)
            image = moment.image if isinstance(moment, Frame) else None
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
        self.camera.close()
        self.gallery.close()
