"""Prints events for a daemon without a broker: as JSON lines, or on a terminal in words."""

import errno
import logging
import sys

import msgspec

from edgeface.config import schema
from edgeface.health import Health
from edgeface.interfaces import EventPublisher
from edgeface.types import Image
from edgeface.wire.description import describe
from edgeface.wire.events import Event, EventPayload, event_payload

log = logging.getLogger(__name__)


class LinePublisher(EventPublisher):
    def __init__(self, settings: schema.Config, model: str) -> None:
        self._device, self._model = settings.device.id, model
        self._in_words = sys.stdout.isatty()
        self.shows_events = self._in_words and sys.stderr.isatty()

    def publish(self, event: Event, image: Image | None = None) -> None:
        """Print one event; on a full disk, the daemon goes on without it."""
        line = self._line(event_payload(event, self._device, self._model))
        try:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            log.warning("standard output: %s; an event is not printed", error.strerror)

    def health(self, health: Health) -> None:
        """Log the frame rate; standard output holds only events."""
        log.debug("%.1f frames/s, %d seen, %d dropped", health.fps, health.frames_seen, health.frames_dropped)

    def _line(self, payload: EventPayload) -> str:
        if self._in_words:
            return describe(msgspec.to_builtins(payload), place=False)
        return msgspec.json.encode(payload).decode()
