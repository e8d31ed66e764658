"""Holds events until the broker has confirmed them, within bounds, and drops those that are too old."""

import math
import time
from collections import deque
from collections.abc import Set
from typing import NamedTuple

from paho.mqtt.client import MQTTMessageInfo

from edgeface.wire.events import Event


class _InFlight(NamedTuple):
    """An event that was sent at ``since``, in monotonic seconds, and may not be confirmed."""

    sent: MQTTMessageInfo
    event: Event
    since: float


class Outbox:
    """Holds the events that the broker has not confirmed, oldest first.

    At most ``bound`` of them wait, and none for longer than ``max_age`` seconds; ``dropped`` counts the others. The owner holds
    its lock at every call.
    """

    MAX_IN_FLIGHT = 20
    """Events that may be sent and not confirmed before the others wait in the bounded queue."""

    def __init__(self, bound: int, max_age: float) -> None:
        self._bound, self._max_age = bound, max_age
        self._waiting: deque[Event] = deque()
        self._in_flight: list[_InFlight] = []
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._waiting) + len(self._unconfirmed())

    @property
    def unconfirmed_since(self) -> float:
        """Return the monotonic time at which the oldest unconfirmed event was sent; infinity if there is none."""
        return min((each.since for each in self._unconfirmed()), default=math.inf)

    def take_over(self, before: "Outbox") -> None:
        """Copy the events that another outbox still has, sent or not, and its count of dropped ones."""
        self._waiting = deque([*(each.event for each in before._unconfirmed()), *before._waiting])
        self.dropped = before.dropped

    def add(self, event: Event) -> None:
        self._waiting.append(event)
        self._trim()

    def due(self) -> Event | None:
        """Drop events that are too old; return the event to send next, unless too many are unconfirmed."""
        while self._waiting and time.monotonic() - self._waiting[0].time > self._max_age:
            self._drop()
        return self._waiting[0] if self._waiting and len(self._unconfirmed()) < self.MAX_IN_FLIGHT else None

    def sent(self, sent: MQTTMessageInfo) -> None:
        self._in_flight = [*self._unconfirmed(), _InFlight(sent, self._waiting.popleft(), time.monotonic())]

    def recall(self) -> None:
        """Queue the events again, before the others, that a lost connection left unconfirmed."""
        self._waiting.extendleft(each.event for each in reversed(self._unconfirmed()))
        self._in_flight.clear()
        self._trim()

    def forget(self, people: Set[str]) -> None:
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
