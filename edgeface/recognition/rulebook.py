"""Applies people's rules to events: says what is withheld, and adds groups and whether the person is expected."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from edgeface.config import schema
from edgeface.gallery.rules import NONE, Rules
from edgeface.types import EventType
from edgeface.wire.events import Event, Withheld


class Rulebook:
    def __init__(self, settings: schema.RulesSettings) -> None:
        self._settings = settings
        self._before: Mapping[str, Rules] = {}

    def apply(self, events: Iterable[Event], rules: Mapping[str, Rules]) -> list[Event]:
        """Return the events as they may be told; ``withheld`` says why an event may not be told.

        To be called in every round of the loop: whoever is forgotten leaves by the rules of the round before. An event that
        replaces one of an ignored or muted person does not name that person, as theirs was not told either.
        """
        before, self._before = self._before, rules
        if rules is not before and before.keys() - rules.keys():
            rules = {**before, **rules}
        return [self._apply(event, rules) if rules else event for event in events]

    def _apply(self, event: Event, rules: Mapping[str, Rules]) -> Event:
        wrong = event.corrected
        if wrong and self._withheld(rules.get(wrong.person_id, NONE), event.wall):
            event = replace(event, corrected=None)
        theirs = rules.get(event.person_id or "")
        if theirs is None:
            return event
        arrived = event.event_type is EventType.RECOGNIZED
        return replace(
            event,
            groups=theirs.groups or None,
            allowed=theirs.allowed(event.wall) if arrived else None,
            withheld=self._withheld(theirs, event.wall),
        )

    def _withheld(self, rules: Rules, wall: float) -> Withheld | None:
        if rules.ignored:
            return "ignored"
        if rules.muted(wall):
            return "muted"
        return "hours" if self._settings.outside_hours == "withhold" and rules.allowed(wall) is False else None
