"""Tells when a camera is lost and when it is back."""

from edgeface.recognition.event_id import new_event_id
from edgeface.types import Event, EventType, Frame, NoFrame


class CameraMonitor:
    """Notices when the camera is lost and when it is back."""

    def __init__(self, camera: str) -> None:
        self._camera = camera
        self._lost_at: float | None = None

    def update(self, moment: Frame | NoFrame) -> list[Event]:
        """Return the event for a change of the camera's state, if this moment brings one."""
        if isinstance(moment, NoFrame):
            if moment.lost is None or self._lost_at is not None:
                return []
            self._lost_at = moment.time
            return [self._event(EventType.CAMERA_LOST, moment, reason=moment.lost)]
        if self._lost_at is None:
            return []
        seconds, self._lost_at = moment.time - self._lost_at, None
        return [self._event(EventType.CAMERA_BACK, moment, seconds=seconds)]

    def _event(
        self, kind: EventType, moment: Frame | NoFrame, *, reason: str | None = None, seconds: float | None = None
    ) -> Event:
        return Event(kind, new_event_id(moment.wall), moment.wall, moment.time, self._camera, reason=reason, seconds=seconds)
