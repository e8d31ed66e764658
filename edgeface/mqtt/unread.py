"""Leaves topics unread for a while after a message that was too large."""

import time
from collections.abc import Iterable

from paho.mqtt.client import topic_matches_sub


class Unread:
    """The topics that are subscribed to again only after a pause, which doubles each time.

    A retained message would come again with each subscription, and end each connection.
    """

    FIRST_PAUSE, LONGEST_PAUSE = 60.0, 3600.0

    def __init__(self) -> None:
        self._until: dict[str, tuple[float, str]] = {}
        self._pauses: dict[str, float] = {}

    def __contains__(self, subscription: str) -> bool:
        return subscription in self._until

    @property
    def reason(self) -> str | None:
        return next((reason for _, reason in self._until.values()), None)

    def add(self, subscriptions: Iterable[str], topic: str, reason: str) -> str | None:
        """Leave out the subscription that a topic belongs to; return a notice, or ``None`` if there is no such subscription."""
        for name in subscriptions:
            if topic_matches_sub(name, topic):
                pause = self._pauses[name] = min(self.LONGEST_PAUSE, 2 * self._pauses.get(name, self.FIRST_PAUSE / 2))
                notice = f"{reason}; nothing is read of {name} for {pause:.0f} s"
                self._until[name] = time.monotonic() + pause, notice
                return notice
        return None

    def take_due(self) -> list[str]:
        due = [name for name, (until, _) in self._until.items() if time.monotonic() > until]
        for name in due:
            del self._until[name]
        return due
