"""Holds messages of a broker until the daemon's loop takes them, within bounds, and drops those beyond."""

import logging
import re
from contextlib import suppress
from queue import Empty, Full, Queue

from edgeface.types import MAX_REQUEST_BYTES, Request

log = logging.getLogger(__name__)


class Inbox:
    """Holds commands, and the newest payload of each topic of the shared gallery.

    Any thread may add and take commands; for the shared gallery, the owner holds its lock.
    """

    MAX_REQUESTS, LONGEST_VERB = 8, 64
    """Commands that may wait, and the length of a command's name."""
    MAX_SHARED, MAX_SHARED_BYTES = 20_000, 32 * 2**20
    """Topics of the shared gallery whose payloads may wait, and the bytes of those payloads."""
    SHARED_NAME = re.compile(r"[0-9a-f]{32}")
    """The last level of a topic of the shared gallery."""

    def __init__(self) -> None:
        self._requests: Queue[Request] = Queue(self.MAX_REQUESTS)
        self._shared: dict[str, bytes] = {}
        self._shared_bytes = 0

    def take_over(self, before: "Inbox") -> None:
        """Take over the commands of another inbox, and those that it still gets."""
        self._requests = before._requests

    def add_request(self, verb: str, payload: bytes) -> None:
        try:
            if len(verb) <= self.LONGEST_VERB:
                self._requests.put_nowait(Request(verb, payload[: MAX_REQUEST_BYTES + 1]))
        except Full:
            log.debug("mqtt: too many commands at once; %s is dropped", verb)

    def take_requests(self) -> list[Request]:
        found: list[Request] = []
        with suppress(Empty):
            while True:
                found.append(self._requests.get_nowait())
        return found

    def add_shared(self, name: str, payload: bytes) -> None:
        """Queue a payload of the shared gallery, in the place of an older one of the same topic."""
        before = self._shared.get(name)
        total = self._shared_bytes + len(payload) - len(before or b"")
        room = total <= self.MAX_SHARED_BYTES and (before is not None or len(self._shared) < self.MAX_SHARED)
        if room and self.SHARED_NAME.fullmatch(name):
            self._shared[name], self._shared_bytes = payload, total

    def take_shared(self) -> dict[str, bytes]:
        """Take the payloads of the shared gallery since the last call, by topic."""
        found, self._shared, self._shared_bytes = self._shared, {}, 0
        return found
