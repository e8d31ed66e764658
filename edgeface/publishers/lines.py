"""Prints events as JSON lines, for a daemon without a broker."""

import errno
import logging
import sys

import msgspec

from edgeface.config import schema
from edgeface.health import Health
from edgeface.interfaces import EventPublisher
from edgeface.types import Image
from edgeface.wire.events import Event, event_payload

log = logging.getLogger(__name__)


class LinePublisher(EventPublisher):
    def __init__(self, settings: schema.Config, model: str) -> None:
        self._device, self._model = settings.device.id, model

    def publish(self, event: Event, image: Image | None = None) -> None:
        """Print one event; on a full disk, the daemon goes on without it."""
        try:
            sys.stdout.write(msgspec.json.encode(event_payload(event, self._device, self._model)).decode() + "\n")
            sys.stdout.flush()
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            log.warning("standard output: %s; an event is not printed", error.strerror)

    def health(self, health: Health) -> None:
        """Log the frame rate; standard output holds only events."""
        log.debug("%.1f frames/s, %d seen, %d dropped", health.fps, health.frames_seen, health.frames_dropped)
