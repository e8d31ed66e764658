"""Tells when a camera is lost and when it is back."""

from typing import Literal

from edgeface.recognition.event_id import new_event_id
from edgeface.types import EventType, Frame, NoFrame, Paused
from edgeface.wire.events import Event


class CameraMonitor:
    """Knows whether the camera gives frames, and notices when it is lost and back; ``reason`` says why it is lost.

    A camera that was lost before a pause is back with the first frame after it.
    """

    def __init__(self, camera: str) -> None:
        self.camera = camera
        self.state: Literal["starting", "ok", "lost", "paused"] = "starting"
        self.reason: str | None = None
        self.paused: Paused | None = None
        self._lost_at: float | None = None

    def update(self, moment: Frame | NoFrame) -> list[Event]:
        if isinstance(moment, Frame):
            self.state, self.reason, self.paused = "ok", None, None
            lost_at, self._lost_at = self._lost_at, None
            return [] if lost_at is None else [self._event(EventType.CAMERA_BACK, moment, seconds=moment.time - lost_at)]
        if moment.paused:
            self.state, self.reason = "paused", None
        elif self.paused:
            self.state = "starting"
        self.paused = moment.paused
        if moment.lost is None:
            return []
        self.state, self.reason = "lost", moment.lost
        if self._lost_at is not None:
            return []
        self._lost_at = moment.time
        return [self._event(EventType.CAMERA_LOST, moment, reason=moment.lost)]

    def _event(
        self, kind: EventType, moment: Frame | NoFrame, *, reason: str | None = None, seconds: float | None = None
    ) -> Event:
        return Event(kind, new_event_id(moment.wall), moment.wall, moment.time, self.camera, reason=reason, seconds=seconds)
