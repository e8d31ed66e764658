"""Keeps the rules of people in the gallery's file, a sealed record a person, and tells who is to be forgotten."""

from collections.abc import Mapping

from edgeface.gallery import retention
from edgeface.gallery.damage import Damage
from edgeface.gallery.database import Database
from edgeface.gallery.retention import Clocks
from edgeface.gallery.rules import NONE, RuleRecord, Rules


class RuleStore:
    """Everybody's rules. Called within transactions."""

    def __init__(self, database: Database) -> None:
        self._database, self.clocks = database, Clocks()
        self._opened: dict[str, tuple[bytes, RuleRecord]] = {}
        self._all: Mapping[str, Rules] = {}

    def all(self) -> Mapping[str, Rules]:
        """Return the rules of everybody who has some, by id: the same object while nothing changes."""
        self._database.look_anew("rule")
        before, self._opened = self._opened, {}
        for row, person_id, sealed in self._database.rule_rows():
            known = before.get(person_id)
            if known is None or known[0] != sealed:
                record = self._database.opened(Damage("rule", row, person_id), sealed, RuleRecord, "rule", person_id)
                known = (sealed, record) if record else None
            if known:
                self._opened[person_id] = known
        if self._opened != before:
            self._all = {person_id: record.rules for person_id, (_, record) in self._opened.items()}
        return self._all

    def record(self, person_id: str) -> RuleRecord | None:
        self.all()
        return self._opened.get(person_id, (b"", None))[1]

    def put(self, person_id: str, rules: Rules) -> None:
        """Replace the rules of a person, who must be there.

        A record without rules stays where there were some, so that other devices take them back, too.
        """
        if rules == NONE and person_id not in self.all():
            return
        expires = None
        if rules.expires is not None:
            expires = retention.forward(self._database, self.clocks) + rules.expires - self.clocks.wall()
        self._database.put_rules(person_id, RuleRecord(rules, expires))

    def expired(self) -> list[str]:
        """Return who is to be forgotten: by a wall clock that the network has set, or by the gallery's clock."""
        self.all()
        waiting = {one: record for one, (_, record) in self._opened.items() if record.rules.expires is not None}
        if not waiting:
            return []
        now, wall = retention.forward(self._database, self.clocks), self.clocks.wall() if self.clocks.is_set() else 0.0
        return [
            person_id
            for person_id, record in waiting.items()
            if wall >= (record.rules.expires or 0.0) or (record.expires is not None and now >= record.expires)
        ]
