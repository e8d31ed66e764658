"""Who is there, as the subscribers are told."""

import time
from collections.abc import Sequence, Set

from edgeface.types import EventType, Person
from edgeface.wire.events import Event
from edgeface.wire.presence import PresencePayload, presence_payload


class PresenceState:
    """Keeps up who is there by the events that are published, and by who may be recognised. It has no lock."""

    def __init__(self) -> None:
        self.people: dict[str, str] = {}
        self._present: dict[str, str | None] = {}
        self._last = "", 0.0

    @property
    def present(self) -> Set[str]:
        """The ids of those who are there, as far as they are known."""
        return set(filter(None, self._present.values()))

    def take_over(self, before: "PresenceState") -> None:
        """Go on with who is there, and who was last."""
        self._present, self._last = dict(before._present), before._last

    def change(self, people: Sequence[Person]) -> Set[str]:
        """Keep up who may be recognised: who is gone is not there any more. Returns who is new or gone."""
        before, self.people = self.people, {person.id: person.name for person in people}
        gone = before.keys() - self.people.keys()
        self._present = {key: person_id for key, person_id in self._present.items() if person_id not in gone}
        return (before.keys() ^ self.people.keys()) - self._present.keys()

    def note(self, event: Event) -> None:
        """Take note of an event that is of somebody."""
        key = event.person_id or str(event.track_id)
        if event.event_type is EventType.LEFT:
            self._present.pop(key, None)
            return
        self._present[key] = event.person_id
        if event.person_id:
            self.people.setdefault(event.person_id, event.name or "")
            self._last = event.person_id, event.wall

    def payload(self) -> PresencePayload:
        """What is told of it."""
        people = sorted((person_id, self.people[person_id]) for person_id in self.present & self.people.keys())
        unknown = sum(person_id is None for person_id in self._present.values())
        who, when = self._last
        last = (who, self.people[who], when) if who in self.people else None
        return presence_payload(people, unknown, last, time.time())
