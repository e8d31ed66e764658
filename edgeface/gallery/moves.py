"""Gives templates, rules and events of one person to another, and undoes that."""

from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import msgspec

from edgeface.errors import GalleryError
from edgeface.gallery.bin import Bin, Change, EventState, TakenEvent, TakenPerson, TakenTemplate, What
from edgeface.gallery.contents import Contents
from edgeface.gallery.database import Database
from edgeface.gallery.event_store import EventStore, KeptEvent
from edgeface.gallery.names import other_case, quoted
from edgeface.gallery.records import PersonRecord, TemplateKind, TemplateRow
from edgeface.gallery.rule_store import RuleStore
from edgeface.gallery.rules import MAX_GROUPS, NONE, RuleRecord
from edgeface.wire.doubt import Doubt


@dataclass(frozen=True, slots=True, eq=False)
class Stores:
    """The stores of one gallery. ``change`` begins a transaction; ``named`` returns the id of a name, created when new."""

    database: Database
    contents: Contents
    events: EventStore
    rules: RuleStore
    bin: Bin
    change: Callable[[], AbstractContextManager[None]]
    named: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Undone:
    """A change that was undone: how many templates are back, and how many were not to be found any more."""

    change: Change
    back: int
    lost: int


class Moves:
    """Changes whose templates are, each change whole or not at all.

    A change returns the id by which it can be undone, or ``None`` if the settings keep none. It raises ``GalleryError`` if
    somebody is gone meanwhile, or something of theirs is damaged.
    """

    def __init__(self, stores: Stores) -> None:
        self._stores, self._database, self._bin = stores, stores.database, stores.bin

    def merge(self, person_id: str, into: str, contradicted: Collection[bytes] = ()) -> str | None:
        """Give all that is a person's to another, without negative templates that are ``contradicted`` by the other's face.

        Those are also negative templates of an event that gave either a template.
        """
        with self._stores.change():
            origin, name = self._whole(person_id), self._whole(into).record.name
            own, theirs = (self._database.templates("template", one) for one in (person_id, into))
            sources = {row.source for row in (*own, *theirs)} - {""}
            taken = self._take("template", own, into)
            for owner in (person_id, into):
                negatives = self._database.templates("negative", owner)
                wrong = [row for row in negatives if row.source in sources or row.record.vector in contradicted]
                taken += self._take("negative", wrong, "")
                if owner == person_id:
                    taken += self._take("negative", [row for row in negatives if row not in wrong], into)
            before = self._stores.rules.record(into)
            after = _joined(origin.rules, before)
            if after and after != before:
                self._database.put_rules(into, after)
            events = self._merge_events(person_id, into, {one.source for one in taken if not one.landed})
            rules = (before, after) if after and after != before else None
            change_id = self._put("merged", origin, (into, name), taken, events, rules)
            if change_id:
                self._database.remove_person(person_id)
            else:
                self._database.erase_person(person_id)
        return change_id

    def move(self, person_id: str, vectors: Collection[bytes], to: str) -> str | None:
        """Give some templates of a person to another."""
        with self._stores.change():
            return self._move("moved", person_id, vectors, to)

    def split(self, person_id: str, vectors: Collection[bytes], name: str) -> str | None:
        """Give some templates of a person to a new one of this name, which must be usable."""
        with self._stores.change():
            if any(held.person.name == name for held in self._stores.contents.people().values()):
                raise GalleryError(f"{quoted(name)} is already enrolled")
            return self._move("split", person_id, vectors, self._stores.named(name))

    def keep_dropped(self, person_id: str, row: int) -> str | None:
        """Keep a template that is about to be erased, within a transaction of the caller."""
        rows = [one for one in self._database.templates("template", person_id) if one.row == row]
        taken = [TakenTemplate(person_id, "template", one.source, one.record, False, self._face(one)) for one in rows]
        return self._put("dropped", self._taken(person_id), ("", ""), taken) if taken else None

    def undo(self, change_id: str | None) -> Undone:
        """Undo a change, or the latest one, as far as nothing that it changed has been changed since."""
        with self._stores.change():
            kept = self._bin.find(change_id)
            change, rules = kept.change, self._stores.rules
            busy = self._busy(change)
            self._bring_back(change.origin)
            back = [one for one in change.templates if one not in busy and self._give_back(one, change.target)]
            if not back:
                raise GalleryError(f"what {kept.id} changed has been changed again since: nothing of it can be undone")
            known = {event.event_id: event for event in self._stores.events.all()}
            for taken in change.events:
                if (event := known.get(taken.event_id)) and _state(event) == taken.after:
                    self._judge(event, taken.before)
            if change.rules and rules.record(change.target) == change.rules[1]:
                self._database.put_rules(change.target, change.rules[0] or RuleRecord(NONE))
            if change.target and not self._database.count(change.target):
                self._merge_events(change.target, change.origin.person_id, ())
                self._database.erase_person(change.target)
            self._bin.erase([kept.id])
        return Undone(change, len(back), len(change.templates) - len(back))

    def empty_bin(self) -> int:
        """Erase the changes that could be undone; return how many. Raise ``TraceError`` if the log keeps a trace."""
        with self._stores.change():
            changes = [change_id for _, change_id, *_ in self._database.bin_rows()]
            self._bin.erase(changes)
        self._database.wipe("the bin is empty")
        return len(changes)

    def _move(self, what: What, person_id: str, vectors: Collection[bytes], to: str) -> str | None:
        origin, name = self._whole(person_id), self._whole(to).record.name
        rows = [row for row in self._database.templates("template", person_id) if row.record.vector in vectors]
        if len(rows) != len(set(vectors)):
            raise GalleryError(f"{origin.record.name}'s views are not what they were; look again")
        sources = {row.source for row in rows} - {""}
        against = [row for row in self._database.templates("negative", to) if row.source in sources]
        taken = [*self._take("negative", against, ""), *self._take("template", rows, to)]
        theirs = (one for one in self._stores.events.all() if one.event_id in sources and one.person_id == person_id)
        events = [self._judge(event, EventState(to, event.verdict, event.doubt)) for event in theirs]
        return self._put(what, origin, (to, name), taken, events)

    def _whole(self, person_id: str) -> TakenPerson:
        """Return a person of whom nothing is damaged."""
        self._stores.contents.read()
        if person_id in self._stores.contents.broken:
            raise GalleryError(f"something of {person_id} is damaged; edgeface gallery check tells what cures it")
        return self._taken(person_id)

    def _taken(self, person_id: str) -> TakenPerson:
        held = self._stores.contents.people().get(person_id)
        if held is None:
            raise GalleryError(f"{person_id} is no longer enrolled")
        record = PersonRecord(held.person.name, held.person.enrolled)
        return TakenPerson(person_id, record, self._stores.rules.record(person_id))

    def _take(self, kind: TemplateKind, rows: Collection[TemplateRow], target: str) -> list[TakenTemplate]:
        """Take templates from their person, for the target, or for nobody."""
        there = {row.record.vector for row in self._database.templates(kind, target)} if target and rows else set()
        taken = []
        for row in rows:
            face, landed = self._face(row), bool(target) and row.record.vector not in there
            self._database.drop_template(row.row)
            if landed:
                self._add(kind, row._replace(owner=target), face)
            taken.append(TakenTemplate(row.owner, kind, row.source, row.record, landed, None if landed else face))
        return taken

    def _put(
        self,
        what: What,
        origin: TakenPerson,
        target: tuple[str, str],
        templates: Iterable[TakenTemplate],
        events: Iterable[TakenEvent] = (),
        rules: tuple[RuleRecord | None, RuleRecord] | None = None,
    ) -> str | None:
        wall = self._bin.clocks.wall()
        return self._bin.put(Change(what, wall, origin, *target, tuple(templates), tuple(events), rules))

    def _merge_events(self, person_id: str, into: str, acquitted: Collection[str]) -> list[TakenEvent]:
        """Have events name the other person; take back the verdicts on ``acquitted`` ones, which were rejected as either."""
        changed = []
        for event in self._stores.events.all():
            who = into if event.person_id == person_id else event.person_id
            taken_back = event.event_id in acquitted and who == into and event.verdict == "rejected"
            doubt = _renamed(event.doubt, person_id, into)
            after = EventState(who, None if taken_back else event.verdict, doubt)
            if after != _state(event):
                changed.append(self._judge(event, after))
        return changed

    def _judge(self, event: KeptEvent, after: EventState) -> TakenEvent:
        self._stores.events.judge(replace(event, doubt=after.doubt), after.person_id, after.verdict)
        return TakenEvent(event.event_id, _state(event), after)

    def _busy(self, change: Change) -> list[TakenTemplate]:
        """Return the templates of a change whose event has been judged anew since: somebody has, or is not, that face."""
        return [
            one
            for one in change.templates
            if one.source
            and one.kind == "template"
            and not one.landed
            and self._stores.contents.rows_from(one.source, one.owner)
        ]

    def _bring_back(self, person: TakenPerson) -> None:
        """Enroll a person again who was merged away."""
        if self._database.has_person(person.person_id):
            return
        name, names = person.record.name, [held.person.name for held in self._stores.contents.people().values()]
        if name in names or other_case(name, names):
            raise GalleryError(f"{quoted(name)} is enrolled anew meanwhile; rename that person first")
        self._database.add_person(person.person_id, person.record)
        if person.rules:
            self._database.put_rules(person.person_id, person.rules)

    def _give_back(self, taken: TakenTemplate, target: str) -> bool:
        """Give a template back to its person; return false if the target does not have it any more."""
        if not self._database.has_person(taken.owner):
            return False
        face, record = taken.face, taken.record
        if taken.landed:
            row = next(
                (one for one in self._database.templates(taken.kind, target) if one.record.vector == record.vector), None
            )
            if row is None:
                return False
            face = self._face(row)
            self._database.drop_template(row.row)
        own = self._database.templates(taken.kind, taken.owner)
        if all(row.record.vector != record.vector for row in own):
            self._add(taken.kind, TemplateRow(0, taken.owner, taken.source, record), face)
        return True

    def _face(self, row: TemplateRow) -> bytes | None:
        return self._database.face(row.row, row.owner) if self._database.has_table("faces") else None

    def _add(self, kind: TemplateKind, new: TemplateRow, face: bytes | None) -> None:
        row = self._database.add_template(new.owner, kind, new.source, new.record)
        if face is not None:
            self._database.keep_face(row, new.owner, face)


def _state(event: KeptEvent) -> EventState:
    return EventState(event.person_id, event.verdict, event.doubt)


def _renamed(doubt: Doubt | None, person_id: str, into: str) -> Doubt | None:
    if doubt is None or not doubt.names(person_id):
        return doubt
    names = (into if one == person_id else one for one in (doubt.person_id, doubt.other_id))
    return msgspec.structs.replace(doubt, **dict(zip(("person_id", "other_id"), names, strict=True)))


def _joined(one: RuleRecord | None, other: RuleRecord | None) -> RuleRecord | None:
    """Return the second's rules, with the groups of both, and with the first's hours if the second has none."""
    if one is None:
        return other
    rules = other.rules if other else NONE
    groups = tuple(sorted([*dict.fromkeys([*rules.groups, *one.rules.groups])][:MAX_GROUPS]))
    joined = msgspec.structs.replace(rules, groups=groups, hours=rules.hours or one.rules.hours)
    return RuleRecord(joined, other.expires if other else None) if joined != rules else other
