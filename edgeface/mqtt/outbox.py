"""Events on their way to a broker: news that is never late, in a bounded queue, until the broker has confirmed it."""

import math
import time
from collections import deque
from collections.abc import Set
from typing import NamedTuple

from paho.mqtt.client import MQTTMessageInfo

from edgeface.wire.events import Event


class _InFlight(NamedTuple):
    """An event that the broker has not confirmed, and since when it should have."""

    sent: MQTTMessageInfo
    event: Event
    since: float


class Outbox:
    """Keeps the events that the broker does not have yet, oldest first.

    At most ``bound`` of them wait, and none for longer than ``max_age`` seconds; ``dropped`` counts the others. It has no lock:
    whoever owns it takes theirs.
    """

    MAX_IN_FLIGHT = 20
    """Events that a broker may leave unconfirmed before the others wait in the bounded queue."""

    def __init__(self, bound: int, max_age: float) -> None:
        self._bound, self._max_age = bound, max_age
        self._waiting: deque[Event] = deque()
        self._in_flight: list[_InFlight] = []
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._waiting) + len(self._unconfirmed())

    @property
    def unconfirmed_since(self) -> float:
        """The monotonic time of the oldest event that was sent and is not confirmed; infinite if there is none."""
        return min((each.since for each in self._unconfirmed()), default=math.inf)

    def take_over(self, before: "Outbox") -> None:
        """Go on with a copy of what another still has, sent or not, and with its count."""
        self._waiting = deque([*(each.event for each in before._unconfirmed()), *before._waiting])
        self.dropped = before.dropped

    def add(self, event: Event) -> None:
        """Have an event wait, in the place of the oldest where there is no room."""
        self._waiting.append(event)
        self._trim()

    def due(self) -> Event | None:
        """Drop what is too old to be news; returns what is to be sent next, unless too many are unconfirmed."""
        while self._waiting and time.monotonic() - self._waiting[0].time > self._max_age:
            self._drop()
        return self._waiting[0] if self._waiting and len(self._unconfirmed()) < self.MAX_IN_FLIGHT else None

    def sent(self, sent: MQTTMessageInfo) -> None:
        """Take note that the event that was due is on its way."""
        self._in_flight = [*self._unconfirmed(), _InFlight(sent, self._waiting.popleft(), time.monotonic())]

    def recall(self) -> None:
        """Have what a lost connection left unconfirmed wait again, before the rest."""
        self._waiting.extendleft(each.event for each in reversed(self._unconfirmed()))
        self._in_flight.clear()
        self._trim()

    def forget(self, people: Set[str]) -> None:
        """Drop what waits of these people."""
        kept = deque(event for event in self._waiting if event.person_id not in people)
        self.dropped += len(self._waiting) - len(kept)
        self._waiting = kept

    def _trim(self) -> None:
        while len(self._waiting) > self._bound:
            self._drop()

    def _drop(self) -> None:
        self._waiting.popleft()
        self.dropped += 1

    def _unconfirmed(self) -> list[_InFlight]:
        return [each for each in self._in_flight if not each.sent.is_published()]
