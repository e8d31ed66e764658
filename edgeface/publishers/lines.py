"""Events as JSON lines on standard output, for a daemon without a broker."""

import errno
import logging
import sys
from collections.abc import Mapping, Sequence, Set

import msgspec

from edgeface.config import schema
from edgeface.health import Health, Link
from edgeface.interfaces import Publisher
from edgeface.types import Event, Image, Person, Request
from edgeface.wire.events import event_payload

log = logging.getLogger(__name__)


class LinePublisher:
    """Prints the payload of each event on a line of its own."""

    def __init__(self, settings: schema.Config, model: str) -> None:
        self._device, self._model = settings.device.id, model

    @property
    def link(self) -> Link:
        """There is no broker."""
        return Link()

    def open(self, people: Sequence[Person]) -> None:
        """Nothing to start."""

    def people(self, people: Sequence[Person]) -> None:
        """Only events are printed."""

    def publish(self, event: Event, image: Image | None = None) -> None:
        """Print one event; where there is no room for it, the daemon goes on without."""
        try:
            sys.stdout.write(msgspec.json.encode(event_payload(event, self._device, self._model)).decode() + "\n")
            sys.stdout.flush()
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            log.warning("standard output: %s; an event is not printed", error.strerror)

    def health(self, health: Health) -> None:
        """Health is for the log here: standard output holds events alone."""
        log.debug("%.1f frames/s, %d seen, %d dropped", health.fps, health.frames_seen, health.frames_dropped)

    def requests(self) -> Sequence[Request]:
        """Commands come over MQTT alone."""
        return ()

    def respond(self, verb: str, response: bytes) -> None:
        """There is nothing to answer."""

    def shared(self, connection: int = -1) -> tuple[int, Mapping[str, bytes]]:
        """Nothing is shared without a broker."""
        return 0, {}

    def share(self, name: str, payload: bytes) -> None:
        """There is nobody to share with."""

    def take_over(self, before: Publisher) -> None:
        """Nothing ever waits to be printed."""

    @property
    def retained(self) -> Set[tuple[str, str]]:
        """Nothing is kept of lines."""
        return frozenset()

    def close(self, heir: Publisher | None = None) -> None:
        """Nothing to stop."""
