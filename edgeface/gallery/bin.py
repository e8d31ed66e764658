"""Keeps what changes took from people, sealed, so that each can be undone until its time is over."""

import secrets
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np
from msgspec import Struct

from edgeface.errors import GalleryError
from edgeface.gallery import retention
from edgeface.gallery.damage import Damage
from edgeface.gallery.database import Database
from edgeface.gallery.event_store import Verdict
from edgeface.gallery.file_format import need
from edgeface.gallery.records import PersonRecord, TemplateKind, TemplateRecord
from edgeface.gallery.retention import Clocks
from edgeface.gallery.rules import DAY, RuleRecord
from edgeface.types import Vector
from edgeface.wire.doubt import Doubt

MAX_CHANGES = 500
What = Literal["dropped", "moved", "split", "merged"]


class TakenTemplate(Struct, frozen=True, array_like=True):
    """A template that a change took from ``owner``.

    It is the target's now if it ``landed`` there; else its face, if one was kept, is here as a PNG.
    """

    owner: str
    kind: TemplateKind
    source: str
    record: TemplateRecord
    landed: bool
    face: bytes | None = None


class EventState(Struct, frozen=True, array_like=True):
    """Holds what a change of people changes of an event."""

    person_id: str | None
    verdict: Verdict | None
    doubt: Doubt | None


class TakenEvent(Struct, frozen=True, array_like=True):
    event_id: str
    before: EventState
    after: EventState


class TakenPerson(Struct, frozen=True, array_like=True):
    person_id: str
    record: PersonRecord
    rules: RuleRecord | None


class Change(Struct, frozen=True, array_like=True):
    """A change: what it took from ``origin``, as they were before, and whose it is now; a ``target`` "" is nobody.

    ``rules`` are those of the target before and after, if the change has changed them.
    """

    what: What
    wall: float
    origin: TakenPerson
    target: str
    target_name: str
    templates: tuple[TakenTemplate, ...]
    events: tuple[TakenEvent, ...] = ()
    rules: tuple[RuleRecord | None, RuleRecord] | None = None

    @property
    def people(self) -> set[str]:
        return {self.origin.person_id, self.target} - {""}

    @property
    def views(self) -> int:
        return sum(template.kind == "template" for template in self.templates)


@dataclass(frozen=True, slots=True)
class KeptChange:
    """A change that can be undone until ``until``, by the wall clock."""

    id: str
    change: Change
    until: float


class Bin:
    """The changes that can be undone for some ``days``, by default none, the oldest first.

    Methods are called within transactions, unless they say otherwise.
    """

    def __init__(self, database: Database) -> None:
        self._database, self.days, self.clocks = database, 0.0, Clocks()

    def put(self, change: Change) -> str | None:
        """Keep a change, and return its id; ``None`` if the settings keep none. The oldest over ``MAX_CHANGES`` goes."""
        if not self.days:
            return None
        need(self._database, "bin")
        change_id, now = f"c_{secrets.token_hex(4)}", retention.forward(self._database, self.clocks)
        sealed = self._database.sealer.seal(change, "change", change_id)
        people = " ".join(sorted(change.people))
        self._database.execute("INSERT INTO bin VALUES (?, ?, ?, ?)", (change_id, people, now, sealed))
        self.erase([old for _, old, *_ in self._database.bin_rows()[:-MAX_CHANGES]])
        return change_id

    def changes(self) -> list[KeptChange]:
        """Return the changes that are not damaged, in a transaction of its own."""
        with self._database.errors(), self._database.transaction("DEFERRED"):
            return self.all()

    def count(self) -> int:
        """Return how many changes there are, in a transaction of its own."""
        with self._database.errors(), self._database.transaction("DEFERRED"):
            return len(self._database.bin_rows())

    def all(self) -> list[KeptChange]:
        return [KeptChange(change_id, one, one.wall + self.days * DAY) for change_id, one in self._opened() if one]

    def find(self, change_id: str | None) -> KeptChange:
        """Return a change, or the latest one. Raise ``GalleryError`` if there is none, or a later one must be undone first."""
        self.expire()
        known = self.all()
        if not known:
            raise GalleryError("there is nothing to undo")
        found = next((one for one in known if one.id == change_id.strip()), None) if change_id else known[-1]
        if found is None:
            raise GalleryError(f"there is no change {(change_id or '')[:40]!r} to undo; see edgeface people bin")
        for later in known[known.index(found) + 1 :]:
            if later.change.people & found.change.people:
                raise GalleryError(f"a later change concerns the same people: undo {later.id} first")
        return found

    def erase(self, changes: Collection[str]) -> None:
        self._database.empty_bin(changes)

    def expire(self) -> None:
        """Erase changes whose time, or whose person's, is over."""
        opened, rows = dict(self._opened()), self._database.bin_rows()
        if not rows:
            return
        now, wall = retention.forward(self._database, self.clocks), self.clocks.wall() if self.clocks.is_set() else 0.0
        over = [
            change_id
            for _, change_id, _, since, _ in rows
            if not 0 <= now - since < self.days * DAY or _is_over(opened[change_id], now, wall)
        ]
        self.erase(over)

    def forget(self, people: Collection[str], near: Collection[str]) -> None:
        """Erase changes that may hold something of forgotten people: those that concern them, ``near`` ones, and damaged ones.

        A change concerns also whom a forgotten person was merged with.
        """
        forgotten, there, opened = set(people), self._database.people_ids(), list(self._opened())
        gone = {*near, *(change_id for change_id, change in opened if change is None)}
        before = -1
        while len(gone) != before:
            before = len(gone)
            for change_id, change in opened:
                if change and (change_id in gone or forgotten & change.people):
                    gone.add(change_id)
                    forgotten |= change.people - there
        self.erase(gone)

    def forget_faces(self) -> None:
        """Erase the faces that are kept with changes."""
        for change_id, change in self._opened():
            if change and any(template.face for template in change.templates):
                bare = tuple(msgspec.structs.replace(template, face=None) for template in change.templates)
                sealed = self._database.sealer.seal(msgspec.structs.replace(change, templates=bare), "change", change_id)
                self._database.execute("UPDATE bin SET sealed = ? WHERE id = ?", (sealed, change_id))

    def vectors(self) -> Iterator[tuple[str, Vector]]:
        """Yield each template that is kept, with the id of its change."""
        for change_id, change in self._opened():
            for template in change.templates if change else ():
                yield change_id, np.frombuffer(template.record.vector, "<f4").astype(np.float32)

    def _opened(self) -> Iterator[tuple[str, Change | None]]:
        self._database.look_anew("change")
        for row, change_id, _, _, sealed in self._database.bin_rows():
            change = self._database.opened(Damage("change", row, ""), sealed, Change, "change", change_id)
            yield change_id, change


def _is_over(change: Change | None, now: float, wall: float) -> bool:
    """Return whether the person whom a change took something from was to be forgotten by now."""
    rules = change.origin.rules if change else None
    if rules is None or rules.rules.expires is None:
        return False
    return wall >= rules.rules.expires or (rules.expires is not None and now >= rules.expires)
