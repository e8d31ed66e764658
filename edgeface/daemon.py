"""The daemon: a frame becomes observations, observations become events, events are published."""

import logging
import signal
from dataclasses import dataclass

from edgeface.commands import Commands
from edgeface.events import EventKeeper
from edgeface.gallery import Gallery
from edgeface.heartbeat import Heartbeat
from edgeface.interfaces import Camera, Publisher
from edgeface.pipeline import Pipeline
from edgeface.presence import Presence, new_event_id
from edgeface.types import Event, EventType, Frame, Gap

log = logging.getLogger(__name__)


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

    def run(self) -> None:
        """Watch until the camera ends or ``stop`` is called; always says goodbye to the subscribers."""
        self.publisher.open(self.gallery.people())
        self.heartbeat.ready()
        try:
            watch(
                self.camera,
                self.pipeline,
                self.outage,
                self.presence,
                self.publisher,
                self.commands,
                self.keeper,
                self.heartbeat,
            )
        finally:
            self.heartbeat.stopping()
            self.camera.close()
            self.publisher.close()
            self.gallery.close()

    def stop(self) -> None:
        """End ``run`` from a signal handler or another thread."""
        self.camera.close()

    def stop_on_signals(self) -> None:
        """Let SIGTERM and SIGINT end ``run`` cleanly."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stop())


def watch(
    camera: Camera,
    pipeline: Pipeline,
    outage: Outage,
    presence: Presence,
    publisher: Publisher,
    commands: Commands,
    keeper: EventKeeper,
    heartbeat: Heartbeat,
) -> None:
    """The loop: from the newest frame to its events, until the camera ends."""
    moment: Frame | Gap | None = None
    for moment in camera.frames():
        image = moment.image if isinstance(moment, Frame) else None
        observations = [] if image is None else pipeline.observe(image)
        events = [*outage.update(moment), *presence.update(moment, observations, pipeline.match)]
        for event in events:
            log.info("%s %s", event.event_type, event.name or event.reason or "")
            publisher.publish(event, image)
        keeper.update(moment, events)
        commands.serve(moment)
        heartbeat.beat(moment)
    commands.close()
    if moment is not None:
        for event in presence.close(moment):
            publisher.publish(event)
