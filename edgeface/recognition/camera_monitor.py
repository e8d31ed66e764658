"""Tells when a camera is lost and when it is back."""

from typing import Literal

from edgeface.recognition.event_id import new_event_id
from edgeface.types import EventType, Frame, NoFrame
from edgeface.wire.events import Event


class CameraMonitor:
    """Knows whether the camera gives frames, and notices when it is lost and back; ``reason`` says why it is lost."""

    def __init__(self, camera: str) -> None:
        self.camera = camera
        self.state: Literal["starting", "ok", "lost"] = "starting"
        self.reason: str | None = None
        self._lost_at = 0.0

    def update(self, moment: Frame | NoFrame) -> list[Event]:
        before = self.state
        if isinstance(moment, Frame):
            self.state, self.reason = "ok", None
            seconds = moment.time - self._lost_at
            return [self._event(EventType.CAMERA_BACK, moment, seconds=seconds)] if before == "lost" else []
        if moment.lost is None:
            return []
        self.state, self.reason = "lost", moment.lost
        if before == "lost":
            return []
        self._lost_at = moment.time
        return [self._event(EventType.CAMERA_LOST, moment, reason=moment.lost)]

    def _event(
        self, kind: EventType, moment: Frame | NoFrame, *, reason: str | None = None, seconds: float | None = None
    ) -> Event:
        return Event(kind, new_event_id(moment.wall), moment.wall, moment.time, self.camera, reason=reason, seconds=seconds)
