"""Merges other devices' changes into our gallery, and finds the people whose copy here is newer."""

import logging
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np

from edgeface.errors import GalleryError
from edgeface.gallery.audit import Audit
from edgeface.gallery.names import MAX_NAME
from edgeface.gallery.shared import SharedPeople, SharedPerson
from edgeface.gallery.store import Gallery
from edgeface.gallery.versions import LEAP, NEVER, Revision, merge
from edgeface.platform.text import JOINERS
from edgeface.sync.messages import ForeignKeyError, ForeignModelError, PersonSealer, digest

What = Literal["added", "changed", "forgotten"]
Opened = dict[str, tuple[Revision, str, SharedPerson | None]]  # of each message, by name: revision, person id, person

log = logging.getLogger(__name__)
MAX_FOREIGN = 10_000
FOREIGN = {
    ForeignKeyError: "sealed with another key: give all devices the same one (edgeface gallery key), "
    "then clear the topic of the old",
    ForeignModelError: "of another network: those devices need the same model as this one",
}
NOTICED_AT_ONCE = 500  # people whose edits are noticed at once: an import of thousands would hold up the daemon's loop


@dataclass(frozen=True, slots=True)
class Change:
    """A change of this gallery that another device's copy has caused; ``device`` is the device of the edit."""

    person_id: str
    name: str
    what: What
    device: str


class Replica:
    """Merges messages into the gallery, and knows which people the broker lacks.

    Every edit of this gallery, by any process, is noticed by its content, and becomes a revision of its own. Two people of one
    name, as when galleries first meet, become one if a cosine between their templates is ``same`` or more; otherwise the one
    with the greater id gets a number added to their name. Both are edits like others, and give the same on every device.
    """

    def __init__(self, gallery: Gallery, sealer: PersonSealer, device: str, same: float, audit: Audit) -> None:
        self._gallery, self._sealer, self._device, self._same, self._audit = gallery, sealer, device, same, audit
        self._ours: dict[str, Revision] = {}
        self._theirs: dict[str, Revision] = {}
        self._foreign: dict[str, type[Exception]] = {}
        self._people: dict[str, str] = {}
        self._lost: set[str] = set()
        self._names: dict[str, str] = {}
        self._digests: dict[str, tuple[bytes, bytes]] = {}
        self._lacking: list[str] | None = None
        self._version: tuple[int, int] | None = None
        self._noticed, self._unwiped = True, False
        self.received = self.ignored = self.shared = 0

    @property
    def topic(self) -> str:
        return self._sealer.topic

    def connected(self) -> None:
        """Forget what the broker keeps: the connection is new."""
        self._theirs.clear()
        self._foreign.clear()
        self._lacking = None

    def take(self, messages: Mapping[str, bytes]) -> list[Change]:
        """Merge the payloads that the broker keeps now, by name; an empty payload is one that the broker has removed.

        Raise ``GalleryError`` if the gallery cannot be written for the moment; the same messages may be given again.
        """
        opened: Opened = {}
        for name, payload in messages.items():
            self._foreign.pop(name, None)
            self._theirs.pop(name, None)
            if payload:
                self._open(name, payload, opened)
        changes: list[Change] = []
        newer = any(revision > self._ours.get(name, NEVER) or name in self._lost for name, (revision, *_) in opened.items())
        version = self._gallery.version  # before the exchange: later changes of others are still to be noticed
        if newer or version != self._version:
            self._gallery.exchange(lambda there: self._merge(there, opened, changes))
            self._version = version if self._noticed else None
            self._unwiped |= bool(changes)
            self.shared = sum(bool(revision.digest) for revision in self._ours.values())
            self._lacking = None
        if messages:
            self._theirs |= {name: revision for name, (revision, *_) in opened.items()}
            self._lacking = None
        if self._unwiped:
            self._unwiped = not self._gallery.wipe()
        for change in changes:
            log.info("sync: %s %s, by %s", change.person_id, change.what, change.device)
            self._audit.note("sync", by={"mqtt": True, "device": change.device}, person=change.person_id, what=change.what)
        self.received += len(changes)
        return changes

    def due(self) -> list[str]:
        """Return the names of people whom the broker lacks, or of whom it has an older copy."""
        if self._lacking is None:
            self._lacking = [name for name, revision in self._ours.items() if revision > self._theirs.get(name, NEVER)]
        return self._lacking

    def payloads(self, names: Iterable[str]) -> dict[str, bytes]:
        """Return these names' payloads, without people edited since ``take``. Raise ``GalleryError`` as ``take`` does."""
        names, wall, found = list(names), time.time(), {}
        people = self._gallery.shared([self._people[name] for name in names if name in self._people])
        for name in names:
            revision, person_id = self._ours[name], self._people.get(name, "")
            person = people.get(person_id) if revision.digest else None
            if digest(person) == revision.digest:
                found[name] = self._sealer.seal(name, revision, person_id, person, wall)
        return found

    @property
    def trouble(self) -> str | None:
        """Why this device and others on the topic do not follow each other."""
        count = Counter(self._foreign.values())
        return next(
            (f"{count[kind]} of the people on {self.topic} are {why}" for kind, why in FOREIGN.items() if count[kind]), None
        )

    def _open(self, name: str, payload: bytes, opened: Opened) -> None:
        try:
            revision, person_id, person = self._sealer.open(name, payload)
            if person:
                self._gallery.check(person)
            opened[name] = revision, person_id, person
        except (ForeignKeyError, ForeignModelError) as error:
            if len(self._foreign) < MAX_FOREIGN:
                self._foreign[name] = type(error)
        except (ValueError, GalleryError) as error:
            self.ignored += 1
            log.debug("sync: %s/%s is ignored: %s", self.topic, name, error)

    def _merge(self, there: SharedPeople, opened: Opened, changes: list[Change]) -> dict[str, SharedPerson | None]:
        """Return who is to be replaced by whom, or forgotten, by id; called within the gallery's transaction."""
        key, store = self._sealer.key, self._gallery.revisions
        kept = store.all(key)
        self._refuse_leaps(kept, opened)
        broken = self._gallery.broken
        self._lost = {self._sealer.name(person_id) for person_id in broken}
        ours = self._edited(kept, there, opened, broken)
        valid = merge(ours, {name: revision for name, (revision, *_) in opened.items()})
        wanted: dict[str, SharedPerson | None] = {}
        for name, (revision, told, person) in opened.items():
            before = ours.get(name, NEVER)
            lost = name in self._lost
            if (revision > before and revision.digest != before.digest) or (lost and revision >= before):
                person_id = told or self._people[name]
                wanted[person_id] = person
                self._people[name] = person_id
                what: What = "forgotten" if not person else "changed" if person_id in there or lost else "added"
                gone = there.name(person_id) if person_id in there else person_id
                changes.append(Change(person_id, person.name if person else gone, what, revision.device))
        namesakes = self._namesakes(there, wanted)
        for person_id, person in namesakes.items():  # edits of our own, on the valid copies
            name = self._sealer.name(person_id)
            valid[name] = valid.get(name, NEVER).next(self._device, digest(person))
        wanted |= namesakes
        for name, revision in valid.items():
            if kept.get(name) != revision:
                store.put(key, name, revision)
        self._ours = valid
        return {one: person for one, person in wanted.items() if person or one in there or one in broken}

    def _refuse_leaps(self, kept: Mapping[str, Revision], opened: Opened) -> None:
        for name, (revision, *_) in list(opened.items()):
            if revision.counter - kept.get(name, NEVER).counter > LEAP:
                self.ignored += 1
                log.warning("sync: %s/%s is ignored: its counter, %d, is too far ahead", self.topic, name, revision.counter)
                del opened[name]

    def _edited(
        self, kept: Mapping[str, Revision], there: SharedPeople, opened: Collection[str], broken: Collection[str]
    ) -> dict[str, Revision]:
        """Return the revisions of this gallery as it is now: the ``kept`` ones, and new ones of people edited since then.

        Edits of people who are not ``opened`` may be left for the next time. A damaged copy is no edit, nor is its absence.
        """
        everybody = (*there, *broken)
        self._names = {person_id: self._names.get(person_id) or self._sealer.name(person_id) for person_id in everybody}
        self._people = {name: person_id for person_id, name in self._names.items()}
        self._digests = {person_id: known for person_id, known in self._digests.items() if person_id in there}
        found, left, self._noticed = dict(kept), NOTICED_AT_ONCE, True
        for person_id in there:
            name, stamp, known = self._names[person_id], there.stamp(person_id), self._digests.get(person_id)
            if known is None or known[0] != stamp:
                if not left and name not in opened:
                    self._noticed = False
                    continue
                left = max(0, left - 1)
                known = self._digests[person_id] = stamp, digest(there[person_id])
            before = kept.get(name, NEVER)
            if known[1] != before.digest:
                found[name] = before.next(self._device, known[1])
        for name in kept.keys() - self._people.keys():
            if kept[name].digest:
                found[name] = kept[name].next(self._device, b"")
        return found

    def _namesakes(self, there: SharedPeople, come: Mapping[str, SharedPerson | None]) -> dict[str, SharedPerson | None]:
        """Return replacements for people who now have the name of somebody else, by id."""
        names = {person_id: there.name(person_id) for person_id in there if person_id not in come} if come else {}
        names |= {person_id: person.name for person_id, person in come.items() if person}
        doubtful = {person.name for person in come.values() if person}
        wanted: dict[str, SharedPerson | None] = {}
        by_name: dict[str, list[str]] = {}
        for person_id in sorted(person_id for person_id, name in names.items() if name in doubtful):
            by_name.setdefault(names[person_id], []).append(person_id)
        for first, *others in by_name.values():
            for other in others:
                one, two = wanted.get(first) or come.get(first) or there[first], come.get(other) or there[other]
                if _similarity(one, two) >= self._same:
                    wanted[first], wanted[other] = _joined(one, two), None
                else:
                    names[other] = _numbered(two.name, set(names.values()))
                    wanted[other] = msgspec.structs.replace(two, name=names[other])
        return wanted


def _similarity(one: SharedPerson, other: SharedPerson) -> float:
    """Return the greatest cosine between a template of one person and one of another."""
    first, second = (np.stack([np.frombuffer(t.vector, "<f4") for t in person.templates]) for person in (one, other))
    return float((first @ second.T).max())


def _joined(one: SharedPerson, other: SharedPerson) -> SharedPerson:
    templates, negatives = (
        tuple(sorted({template.vector: template for template in (*second, *first)}.values()))
        for first, second in ((one.templates, other.templates), (one.negatives, other.negatives))
    )
    return SharedPerson(one.name, min(one.enrolled, other.enrolled), templates, negatives, one.rules or other.rules)


def _numbered(name: str, taken: set[str]) -> str:
    """Return the name with the first number, from 2 on, that nobody has."""
    number, short = 2, name[: MAX_NAME - 8].rstrip(f" {JOINERS}")
    while (found := f"{short} ({number})") in taken:
        number += 1
    return found
