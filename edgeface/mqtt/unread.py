"""Topics that are not read for a while, because a message on them was too large to be read."""

import time
from collections.abc import Iterable

from paho.mqtt.client import topic_matches_sub


class Unread:
    """What is subscribed to again only after a pause, which is twice as long each time.

    A message that the broker keeps would come again with the subscription, and be the end of each connection.
    """

    FIRST_PAUSE, LONGEST_PAUSE = 60.0, 3600.0

    def __init__(self) -> None:
        self._until: dict[str, tuple[float, str]] = {}
        self._pauses: dict[str, float] = {}

    def __contains__(self, subscription: str) -> bool:
        return subscription in self._until

    @property
    def reason(self) -> str | None:
        """Why something is not read, if it is not."""
        return next((reason for _, reason in self._until.values()), None)

    def add(self, subscriptions: Iterable[str], topic: str, reason: str) -> str | None:
        """Leave those out that a topic belongs to; what to tell, or nothing if it belongs to none."""
        for name in subscriptions:
            if topic_matches_sub(name, topic):
                pause = self._pauses[name] = min(self.LONGEST_PAUSE, 2 * self._pauses.get(name, self.FIRST_PAUSE / 2))
                told = f"{reason}; nothing is read of {name} for {pause:.0f} s"
                self._until[name] = time.monotonic() + pause, told
                return told
        return None

    def take_due(self) -> list[str]:
        """What may be read again."""
        due = [name for name, (until, _) in self._until.items() if time.monotonic() > until]
        for name in due:
            del self._until[name]
        return due
