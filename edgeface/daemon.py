"""The daemon: a frame becomes observations, observations become events, events are published."""

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from edgeface.backup_task import BackupTask
from edgeface.commands import Commands
from edgeface.events import EventKeeper
from edgeface.frugal import Thrift
from edgeface.gallery import Gallery
from edgeface.heartbeat import Heartbeat
from edgeface.interfaces import Camera, Publisher
from edgeface.logs import log_event
from edgeface.motion import Gate
from edgeface.pace import Pace
from edgeface.pipeline import Pipeline
from edgeface.presence import Presence, new_event_id
from edgeface.sync import Follower
from edgeface.types import Event, EventType, Frame, Gap, Image, Observation
from edgeface.window import Desk, Window


class Outage:
    """Notices when the camera is lost and when it is back."""

    def __init__(self, camera: str) -> None:
        self._camera = camera
        self._lost_at: float | None = None

    def update(self, moment: Frame | Gap) -> list[Event]:
        """The event for a change of the camera's state, if this moment is one."""
        if isinstance(moment, Gap):
            if moment.lost is None or self._lost_at is not None:
                return []
            self._lost_at = moment.time
            return [self._event(EventType.CAMERA_LOST, moment, reason=moment.lost)]
        if self._lost_at is None:
            return []
        seconds, self._lost_at = moment.time - self._lost_at, None
        return [self._event(EventType.CAMERA_BACK, moment, seconds=seconds)]

    def _event(self, kind: EventType, moment: Frame | Gap, *, reason: str | None = None, seconds: float | None = None) -> Event:
        return Event(kind, new_event_id(moment.wall), moment.wall, moment.time, self._camera, reason=reason, seconds=seconds)


class Wishes:
    """What the operating system asks for; a signal handler only notes it, and the loop obeys between two frames."""

    def __init__(self) -> None:
        self.stop = self.reload = False

    def listen(self) -> None:
        """Note SIGTERM and SIGINT as a wish to stop, SIGHUP as one to read the settings again, or to stop with its terminal."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._note)

    def _note(self, number: int, _frame: object) -> None:
        if number == signal.SIGHUP and not os.isatty(0):
            self.reload = True
        else:
            self.stop = True


@dataclass(frozen=True, slots=True)
class Daemon:
    """The parts of a running daemon, as ``build.daemon`` puts them together."""

    camera: Camera
    pipeline: Pipeline
    outage: Outage
    presence: Presence
    publisher: Publisher
    heartbeat: Heartbeat
    commands: Commands
    keeper: EventKeeper
    gallery: Gallery
    desk: Desk
    gate: Gate
    pace: Pace
    wishes: Wishes = field(default_factory=Wishes)
    window: Window = field(default_factory=Window)
    follower: Follower | None = None
    backup: BackupTask | None = None
    thrift: Thrift = field(default_factory=Thrift)

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
            self.publisher.health(self.heartbeat.health)  # so that nobody counts as forgotten
        self.publisher.open(self.pipeline.templates.people)
        self.heartbeat.ready()

    def watch(self) -> None:
        """The loop: from the newest frame to its events, until the camera ends or there is a wish.

        After a wish for a reload it goes on where it was when called again.
        """
        moment: Frame | Gap | None = None
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
            events = [*self.outage.update(moment), *self.presence.update(moment, observations, self.pipeline.matcher)]
            self.publish(events, image)
            self.keeper.update(moment, events)
            self.window.show(moment, self.presence.sights, took if searched else None)
            self.window.serve(moment, self.desk)
            self.commands.serve(moment)
            if self.follower:
                self.follower.update(moment)
            if self.backup:
                self.backup.update(self.pipeline.templates)
            self.heartbeat.beat(moment, took if searched else None, len(observations), events)
            if due:
                self.thrift.update(searched)
            if self.wishes.stop:
                break
            if self.wishes.reload:
                return
        self.commands.close()
        self.window.close()
        if moment is not None:
            self.publish(self.presence.close(moment))

    def publish(self, events: Sequence[Event], image: Image | None = None) -> None:
        """Log events and send them to the subscribers, with the picture that they are of."""
        for event in events:
            log_event(event)
            self.publisher.publish(event, image)

    def close(self) -> None:
        """Say goodbye, to the subscribers first: a camera may take its time."""
        self.heartbeat.stopping()
        self.publisher.close()
        if self.backup:
            self.backup.close()
        self.camera.close()
        self.gallery.close()

    def stop(self) -> None:
        """End ``run`` from a signal handler or another thread."""
        self.wishes.stop = True
