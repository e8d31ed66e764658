"""Keeps who is present at which camera, as subscribers are told."""

import time
from collections.abc import Sequence, Set

from edgeface.types import EventType, Person
from edgeface.wire.events import Event, LastPerson, PresencePayload
from edgeface.wire.fields import SCHEMA, NamedPerson, timestamp


class PresenceState:
    """Updates who is present at which camera from published events and from the people in the gallery. It has no lock."""

    def __init__(self) -> None:
        self.people: dict[str, str] = {}
        self._present: dict[tuple[str, str], str | None] = {}
        self._last: dict[str, tuple[float, str]] = {}

    @property
    def present(self) -> Set[str]:
        return set(filter(None, self._present.values()))

    def take_over(self, before: "PresenceState") -> None:
        """Copy who is present, and who was last, from another state."""
        self._present, self._last = dict(before._present), dict(before._last)

    def change(self, people: Sequence[Person]) -> Set[str]:
        """Take the people in the gallery; those who are gone are not present any more. Return the ids of all new or gone."""
        before, self.people = self.people, {person.id: person.name for person in people}
        gone = before.keys() - self.people.keys()
        self._present = {key: person_id for key, person_id in self._present.items() if person_id not in gone}
        return (before.keys() ^ self.people.keys()) - self._present.keys()

    def note(self, event: Event) -> None:
        key = event.camera, event.person_id or str(event.track_id)
        if event.event_type is EventType.LEFT:
            self._present.pop(key, None)
            return
        if event.event_type in (EventType.UNSURE, EventType.PRESENTATION_ATTACK):
            return
        self._present[key] = event.person_id
        if event.person_id:
            self.people.setdefault(event.person_id, event.name or "")
            self._last[event.camera] = event.wall, event.person_id

    def payload(self, camera: str | None = None) -> PresencePayload:
        """Return who is present at one camera, or at any."""
        there = [person_id for (place, _), person_id in self._present.items() if camera in (None, place)]
        known = sorted(set(filter(None, there)) & self.people.keys())
        people = [NamedPerson(person_id, self.people[person_id]) for person_id in known]
        unknown = there.count(None)
        when, who = max((last for place, last in self._last.items() if camera in (None, place)), default=(0.0, ""))
        last = LastPerson(who, self.people[who], timestamp(when)) if who in self.people else None
        return PresencePayload(schema=SCHEMA, ts=timestamp(time.time()), people=people, unknown=unknown, last=last)
