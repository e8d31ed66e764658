"""Changes people and their templates in a gallery, each change whole or not at all."""

import secrets
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2s
from itertools import chain, compress

import numpy as np
from msgspec import UNSET

from edgeface.errors import GalleryError
from edgeface.gallery import export
from edgeface.gallery.contents import nearest_to_forgotten
from edgeface.gallery.damage import Damage
from edgeface.gallery.event_store import KeptEvent, Verdict
from edgeface.gallery.moves import Moves, Stores
from edgeface.gallery.names import clean_name, quoted
from edgeface.gallery.reader import GalleryReader
from edgeface.gallery.records import TEMPLATE_KINDS, PersonRecord, TemplateKind, TemplateRecord
from edgeface.gallery.rules import NONE, Rules
from edgeface.gallery.shared import SharedPeople, SharedPerson, SharedTemplate
from edgeface.gallery.sqlite import LOOP_LOCK_TIMEOUT_S
from edgeface.types import EventType, Image, Person, Vector
from edgeface.vision.images import encode_png

TEMPLATES_AT_ONCE = 1024  # templates that are compared at once with the faces that a forgotten person may have left


@dataclass(frozen=True, slots=True)
class Imported:
    """A person to whom an import has ``added`` templates, negative ones too; ``new`` if they were not enrolled before."""

    person: Person
    new: bool
    added: int


@dataclass(frozen=True, slots=True)
class View:
    """A template of a person, by its id; ``source`` is the event that it came from, or empty; ``face`` whether one is kept."""

    id: str
    row: int
    quality: float
    source: str
    face: bool


class Gallery(GalleryReader):
    """A gallery that can be changed. A change that is refused or cannot be written raises ``GalleryError`` and does nothing."""

    @cached_property
    def moves(self) -> Moves:
        stores = self._database, self._contents, self.events, self._rules, self.bin
        return Moves(Stores(*stores, self._change, self._named))

    def enroll(self, name: str, vectors: Sequence[Vector], qualities: Sequence[float], chips: Sequence[Image] = ()) -> Person:
        """Add templates, and ``chips`` if faces are kept, to the person of this name, created when new; all of them or none."""
        name, templates = clean_name(name), [_record(*one) for one in zip(vectors, qualities, strict=True)]
        if not templates:
            raise GalleryError(f"{name!r} needs one template at least")
        with self._change():
            person_id = self._named(name)
            self._add(person_id, "template", templates)
            if self._keep_faces:
                rows = {row.record.vector: row.row for row in self._database.templates("template", person_id)}
                for template, chip in zip(templates, chips, strict=True):
                    self._database.keep_face(rows[template.vector], person_id, encode_png(chip))
        return self.find(person_id)

    def views(self, person_id: str) -> list[View]:
        """Return a person's templates that are not damaged, the oldest first."""
        with self._database.errors(), self._database.transaction("DEFERRED"):
            held, faces = self._contents.everybody().get(person_id), self._database.owners_of_faces()
            return [
                View(template_id(person_id, np.frombuffer(record.vector, "<f4")), row, record.quality, source, row in faces)
                for row, record, source in (self._contents.faces(held)[0] if held else ())
            ]

    def kept_face(self, person_id: str, template: str = "") -> bytes | None:
        """Return the PNG of the face of a person's template, or of any of them, if it is kept."""
        for view in self.views(person_id):
            if view.face and template in ("", view.id):
                with self._database.errors():
                    return self._database.face(view.row, person_id)
        return None

    def people_with_faces(self) -> set[str]:
        with self._database.errors():
            return set(self._database.owners_of_faces().values())

    def erase_faces(self) -> None:
        if self.faces() or self.bin.count():
            with self._change():
                self._database.erase_faces()
                self.bin.forget_faces()
            self._database.wipe("the faces are erased")

    def rename(self, reference: str, name: str) -> Person:
        """Give a person another name. Raise ``GalleryError`` if there is no such person, or the name is not usable or taken."""
        person, name = self.find(reference), clean_name(name)
        with self._change():
            names = self._names()
            if names.get(name, person.id) != person.id:
                raise GalleryError(f"{quoted(name)} is already enrolled")
            self._check_case(name, names, person.id)
            if not self._database.count(person.id):
                raise GalleryError(f"{person.name!r} is no longer enrolled")
            self._put_name(person.id, PersonRecord(name, person.enrolled))
        self._database.wipe(f"{person.name} is {name} now")
        return self.find(person.id)

    def forget(self, reference: str) -> Person:
        """Erase a person with all that is, or may be, theirs from the file and its write-ahead log."""
        person = self.find(reference)
        with self._change():
            self._erase_nearest([person.id])
            self._database.erase_person(person.id)
        self._database.wipe(f"{person.name} is forgotten")
        return person

    def erase(
        self, people: Collection[str], event_ids: Collection[str], rejected: Collection[str], changes: Collection[str] = ()
    ) -> tuple[list[Person], int, int]:
        """Erase people as ``forget`` does, events with what was learned from them, rejected faces and changes, all at once.

        Return the people, and how many of the events and rejected faces, were there.
        """
        with self._change():
            known = [person for person in self._people() if person.id in people]
            dropped = self._drop_faces(event_ids, rejected)
            erased = sum(self.events.erase(event_id) for event_id in event_ids)
            self._erase_nearest([person.id for person in known])
            for person in known:
                self._database.erase_person(person.id)
            self.bin.erase(changes)
        self._database.wipe("what shows this face is erased")
        return known, erased, dropped

    def _drop_faces(self, event_ids: Collection[str], rejected: Collection[str]) -> int:
        """Erase rejected faces, by their ids, and what was learned from events; return how many of the first there were."""
        dropped = 0
        for person_id, held in self._contents.everybody().items():
            for templates, negative in zip(self._contents.faces(held), (False, True), strict=True):
                for row, record, source in templates:
                    named = negative and template_id(person_id, np.frombuffer(record.vector, "<f4")) in rejected
                    if named or source in event_ids:
                        self._database.drop_template(row)
                    dropped += named
        return dropped

    def drop(self, record: str) -> tuple[Person | None, str | None]:
        """Erase a template or damaged record by its id; return whose it was, and the id by which a template can come back.

        Raise ``GalleryError`` if it is somebody's only template or name.
        """
        change = None
        with self._change():
            found = self._record(record)
            kept = {person.id: person.templates for person in self._people()}
            if found.kind == "person" and found.owner in kept:
                raise GalleryError(f"{record} is the name of {found.owner}: edgeface people rename {found.owner} NAME")
            if found.kind == "template" and self._database.has_person(found.owner) and kept.get(found.owner) == 1:
                raise GalleryError(f"{record} is the only template: edgeface people forget {found.owner}")
            if found.kind == "template" and found not in self._database.damaged and self._database.has_person(found.owner):
                change = self.moves.keep_dropped(found.owner, found.row)
            if not self._database.drop_record(found):
                raise GalleryError(f"{self._path}: {record} cannot be erased; edgeface gallery restore brings a copy back")
        self._database.wipe(f"{record} is erased")
        return next((person for person in self.people() if person.id == found.owner), None), change

    def learned(self) -> dict[str, str]:
        """Return the id of each template that was learned from an event, with the event's id."""
        with self._database.errors(), self._database.transaction("DEFERRED"):
            return {
                template_id(held.person.id, np.frombuffer(record.vector, "<f4")): source
                for held in self._contents.everybody().values()
                for _, record, source in self._contents.faces(held)[0]
                if source
            }

    def kept_faces(self, templates: Collection[str]) -> dict[str, bytes]:
        """Return the faces that are kept of these templates, as PNG."""
        with self._database.errors(), self._database.transaction("DEFERRED"):
            named = (
                (template_id(row.owner, np.frombuffer(row.record.vector, "<f4")), png) for row, png in self._database.faces()
            )
            return {template: png for template, png in named if template in templates}

    def owner_of(self, templates: Collection[str]) -> tuple[Person, list[Vector]]:
        """Return whose these templates are, by their ids, and their vectors; raise ``GalleryError`` if it is not one person."""
        wanted = {template.strip() for template in templates}
        with self._database.errors(), self._database.transaction("DEFERRED"):
            for held in self._contents.everybody().values():
                vectors = {template_id(held.person.id, vector): vector for vector in self._contents.faces(held)[0].vectors}
                if wanted & vectors.keys():
                    if missing := wanted - vectors.keys():
                        raise GalleryError(f"{held.person.name} has no view {min(missing)[:40]!r}; see edgeface people views")
                    return held.person, [vector.copy() for one, vector in vectors.items() if one in wanted]
        raise GalleryError(f"there is no view {min(wanted, default='')[:40]!r}; see edgeface people views PERSON")

    def expire_bin(self) -> None:
        """Erase changes that can be undone no longer."""
        if self.bin.count():
            with self._database.errors(), self._database.lock_timeout(LOOP_LOCK_TIMEOUT_S), self._database.change():
                self.bin.expire()

    def _record(self, wanted: str) -> Damage:
        """Return the place of a template or damaged record."""
        rows = (
            (template_id(held.person.id, np.frombuffer(record.vector, "<f4")), Damage("template", row, held.person.id))
            for held in self._contents.everybody().values()
            for row, record, _ in self._contents.faces(held)[0]
        )
        for name, place in chain(rows, ((damage.id, damage) for damage in self._damage())):
            if name == wanted.strip():
                return place
        raise GalleryError(f"there is no template {wanted!r}; edgeface gallery check tells them")

    def learn(self, event: KeptEvent, person_id: str, verdict: Verdict, *, keep: bool) -> None:
        """Write down that an event's face is this person ("confirmed") or is not ("rejected").

        With ``keep`` the event's embedding becomes a template or a negative one. An earlier verdict on the event is taken back,
        and with it a person who had no other template.
        """
        with self._change():
            for row in self._contents.rows_from(event.event_id, person_id):
                self._database.drop_template(row)
            if keep:
                kind: TemplateKind = "template" if verdict == "confirmed" else "negative"
                self._add(person_id, kind, [_record(event.embedding, event.quality)], source=event.event_id)
            self.events.judge(event, person_id, verdict)

    def introduce(self, name: str, events: Sequence[tuple[KeptEvent, bool]], rules: Rules | None = None) -> Person:
        """Confirm that events are the person of this name, created when new; those that are marked true give templates.

        Earlier verdicts are taken back as by ``learn``. With ``rules`` the person has these from then on.
        """
        name = clean_name(name)
        with self._change():
            person_id = self._named(name)
            judged = [one for one, _ in events if one.verdict and (one.verdict, one.person_id) != ("confirmed", person_id)]
            for row in {row for one in judged for row in self._contents.rows_from(one.event_id, person_id)}:
                self._database.drop_template(row)
            if rules is not None:
                self._rules.put(person_id, rules)
            for event, keep in events:
                if keep:
                    self._add(person_id, "template", [_record(event.embedding, event.quality)], source=event.event_id)
                self.events.judge(event, person_id, "confirmed")
        return self.find(person_id)

    def rule(self, reference: str, change: Callable[[Rules], Rules]) -> tuple[Person, Rules]:
        """Change the rules of a person; return both. Raise ``GalleryError`` if there is no such person."""
        person = self.find(reference)
        with self._change():
            if not self._database.has_person(person.id):
                raise GalleryError(f"{person.name!r} is no longer enrolled, or their name is damaged")
            rules = change(self._rules.all().get(person.id, NONE))
            self._rules.put(person.id, rules)
        self._database.wipe(f"the rules of {person.name} are changed")
        return person, rules

    def expired(self) -> list[str]:
        """Return the ids of people who are to be forgotten by now."""
        with self._database.errors(), self._database.lock_timeout(LOOP_LOCK_TIMEOUT_S), self._database.change():
            return self._rules.expired()

    def export(self) -> bytes:
        """Return everybody with their templates as one JSON document. It holds biometric data in the clear."""
        people = []
        with self._database.errors(), self._database.transaction("DEFERRED"):
            rules = {person_id: theirs for person_id, theirs in self._rules.all().items() if theirs != NONE}
            for person_id, held in self._contents.everybody().items():
                templates, negatives = (
                    [export.ExportedTemplate(one.vector, one.quality) for _, one, _ in faces]
                    for faces in self._contents.faces(held)
                )
                name, enrolled, theirs = held.person.name, held.person.enrolled, rules.get(person_id, UNSET)
                people.append(export.ExportedPerson(person_id, name, enrolled, templates, negatives, theirs))
        return export.encode(people, self._model, self._dimensions)

    def import_(self, data: bytes) -> list[Imported]:
        """Add people from an export; a person who is there already (same id) gains the templates that are new."""
        document = export.decode(data, self._model)
        done: list[tuple[str, bool, int]] = []
        with self._change():
            names = self._names()
            there = set(names.values())
            for person in document:
                name = clean_name(person.name)
                new = person.id not in there
                if new and name in names:
                    raise GalleryError(f"{quoted(name)} is already enrolled as another person; rename one of the two first")
                if new or (names.get(person.id) == person.id and name not in names):  # their own was damaged
                    self._put_name(person.id, PersonRecord(name, person.enrolled))
                    there.add(person.id)
                    names[name] = person.id
                added = self._add(person.id, "template", [TemplateRecord(t.vector, t.quality) for t in person.templates])
                added += self._add(person.id, "negative", [TemplateRecord(t.vector, t.quality) for t in person.negatives])
                if person.rules and person.id not in self._rules.all():
                    self._rules.put(person.id, person.rules)
                done.append((person.id, new, added))
        people = {person.id: person for person in self.people()}
        return [Imported(people[person_id], new, added) for person_id, new, added in done]

    def exchange(self, decide: Callable[[SharedPeople], Mapping[str, SharedPerson | None]]) -> None:
        """Replace people, by id, or forget them (``None``), as ``decide`` answers when it is given everybody.

        All of it or nothing, together with changes of ``revisions``. Erased records stay in the write-ahead log until ``wipe``.
        """
        with self._database.errors(), self._database.lock_timeout(LOOP_LOCK_TIMEOUT_S), self._database.change():
            wanted = decide(SharedPeople(self._contents, self._rules.all()))
            forgotten = [person_id for person_id, copy in wanted.items() if copy is None]
            self._erase_nearest(forgotten)
            for person_id in forgotten:
                self._database.erase_person(person_id)
            for person_id, copy in wanted.items():
                if copy:
                    self._put(person_id, copy)
        self._own_changes += bool(wanted)

    def _put(self, person_id: str, person: SharedPerson) -> None:
        self._put_name(person_id, PersonRecord(person.name, person.enrolled))
        if person.rules is not None and person.rules != self._rules.all().get(person_id):
            self._rules.put(person_id, person.rules)
        for damage in self._database.damaged:
            if damage.owner == person_id and damage.kind in TEMPLATE_KINDS:
                self._database.drop_template(damage.row)
        for kind, templates in zip(TEMPLATE_KINDS, (person.templates, person.negatives), strict=True):
            wanted = set(templates)
            for row in self._database.templates(kind, person_id):  # a template that stays keeps its face
                there = SharedTemplate(row.record.vector, row.record.quality, row.source)
                if there in wanted:
                    wanted.remove(there)
                else:
                    self._database.drop_template(row.row)
            for new in sorted(wanted):
                self._database.add_template(person_id, kind, new.source, TemplateRecord(new.vector, new.quality))

    @contextmanager
    def _change(self) -> Iterator[None]:
        with self._database.errors(), self._database.change():
            yield
            self._clear_away()
            self.bin.expire()
        self._own_changes += 1

    def _clear_away(self) -> None:
        """Erase people who have no template; faces that were unknown until they were given that name are unknown again."""
        if nobody := self._database.people_without_templates():
            for event in self.events.all():
                if event.person_id in nobody and event.event_type != EventType.RECOGNIZED:
                    self.events.judge(event, None, None)
            self._database.erase_people_without_templates()

    def _names(self) -> dict[str, str]:
        """Return the id of each name; called within a transaction, which keeps others from taking one."""
        return {held.person.name: person_id for person_id, held in self._contents.people().items()}

    def _named(self, name: str) -> str:
        """Return the id of the person of this name, who is created when new."""
        names = self._names()
        if person_id := names.get(name):
            return person_id
        self._check_case(name, names)
        person_id = f"p_{secrets.token_hex(8)}"
        self._database.add_person(person_id, PersonRecord(name, time.time()))
        return person_id

    def _put_name(self, person_id: str, record: PersonRecord) -> None:
        if not self._database.change_person(person_id, record):
            self._database.add_person(person_id, record)

    def _add(self, person_id: str, kind: TemplateKind, templates: Sequence[TemplateRecord], source: str = "") -> int:
        """Insert the templates that are not there yet; return how many."""
        self._contents.unit_vectors([template.vector for template in templates])
        there = {row.record.vector for row in self._database.templates(kind, person_id)}
        before = len(there)
        for template in templates:
            if template.vector not in there:
                there.add(template.vector)
                self._database.add_template(person_id, kind, source, template)
        return len(there) - before

    def _erase_nearest(self, forgotten: Collection[str]) -> None:
        """Erase events, others' negative templates and changes in the bin that are nearest to these people, or name them."""
        if not forgotten:
            return
        known, rows, events = self._contents.templates(), self._contents.negative_rows(), self.events.all()
        binned = list(self.bin.vectors())
        theirs = np.array([person.id in forgotten for person in known.people], bool)[known.owners]
        parts = (slice(start, start + TEMPLATES_AT_ONCE) for start in range(0, len(theirs), TEMPLATES_AT_ONCE))
        shown = [*(event.embedding for event in events), *(vector for _, vector in binned)]
        faces = np.concatenate([known.negatives, *(vector[np.newaxis] for vector in shown)])
        near = nearest_to_forgotten(faces, ((known.vectors[part], theirs[part]) for part in parts))
        for row in compress(rows.tolist(), near):
            self._database.drop_template(row)
        self.bin.forget(forgotten, {one for one, _ in compress(binned, near[len(rows) + len(events) :])})
        for event, nearest in zip(events, near[len(rows) : len(rows) + len(events)].tolist(), strict=True):
            doubted = event.doubt is not None and any(map(event.doubt.names, forgotten))
            if doubted or (nearest and event.shows_face):
                self.events.erase(event.event_id)


def _record(vector: Vector, quality: float) -> TemplateRecord:
    return TemplateRecord(np.asarray(vector, "<f4").tobytes(), float(quality))


def template_id(person_id: str, vector: Vector) -> str:
    """Return eight digits that tell a person's template from all others, and nothing of the face."""
    return blake2s(np.asarray(vector, "<f4").tobytes(), digest_size=4, key=person_id.encode()).hexdigest()
