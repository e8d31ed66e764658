"""People and their templates: one encrypted SQLite file that belongs to one model and survives a kill at any moment."""

import base64
import secrets
import time
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from hashlib import blake2s
from itertools import compress
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta, Struct

from edgeface.errors import GalleryError
from edgeface.gallery.contents import Contents, Templates
from edgeface.gallery.damage import TABLES, Damage, summary
from edgeface.gallery.database import Database, PersonRecord, TemplateKind, TemplateRecord
from edgeface.gallery.event_store import PATIENCE, EventStore, KeptEvent, Verdict
from edgeface.gallery.names import clean_name, quoted
from edgeface.gallery.scan import scan
from edgeface.gallery.sqlite import FULL, READ_ONLY, is_read_only, lacks_room
from edgeface.gallery.versions import RevisionStore
from edgeface.health import GalleryHealth
from edgeface.types import EventType, Image, Person, Vector
from edgeface.vision.images import encode_png

Moment = Annotated[float, Meta(ge=0, le=1e11)]
"""Seconds since the Unix epoch."""
MAX_IMPORT_BYTES = 256 * 2**20
EXPORT_VERSION = 1
NOBODY = """
SELECT id FROM people WHERE NOT EXISTS (SELECT 1 FROM templates WHERE person_id = people.id AND kind != 'negative')
"""
"""Whoever has no template, not even a damaged one: a verdict has taken the only one back."""
PROBES_AT_ONCE = 64
"""Faces that are held against all templates at once."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did to a person: ``added`` templates, negative ones too, to somebody who was ``new`` or there already."""

    person: Person
    new: bool
    added: int


class Trait(Struct, frozen=True, array_like=True, order=True):
    """A template as another device gets it: the unit vector as little-endian float32, and the event that it came from."""

    vector: Annotated[bytes, Meta(max_length=8192)]
    quality: Annotated[float, Meta(ge=0, le=1)]
    source: Annotated[str, Meta(pattern=r"^([0-9A-HJKMNP-TV-Z]{26})?\Z")]


class Copy(Struct, frozen=True, array_like=True):
    """A person with all that is kept of them, as another device gets it; templates in the order of their bytes."""

    name: str
    enrolled: Moment
    templates: Annotated[tuple[Trait, ...], Meta(min_length=1, max_length=10_000)]
    negatives: Annotated[tuple[Trait, ...], Meta(max_length=10_000)]


class _Template(Struct, frozen=True):
    vector: Annotated[str, Meta(max_length=8192)]
    quality: Annotated[float, Meta(ge=0, le=1)]


class _Exported(Struct, frozen=True):
    id: Annotated[str, Meta(pattern=r"^p_[0-9a-f]{16}\Z")]
    name: str
    enrolled: Moment
    templates: Annotated[list[_Template], Meta(min_length=1, max_length=10_000)]
    negatives: Annotated[list[_Template], Meta(max_length=10_000)] = []


class _Header(Struct, frozen=True):
    edgeface_gallery: int | None = None


class _Export(Struct, frozen=True):
    edgeface_gallery: Annotated[int, Meta(ge=EXPORT_VERSION, le=EXPORT_VERSION)]
    model: str
    dimensions: Annotated[int, Meta(ge=8, le=2048)]
    people: list[_Exported]


class Copies(Mapping[str, Copy]):
    """People by id, each made when asked for, within a transaction; ``stamp`` changes with whatever is kept of a person."""

    def __init__(self, contents: Contents) -> None:
        self._contents, everybody = contents, contents.everybody()
        self._everybody = {person_id: held for person_id, held in everybody.items() if person_id not in contents.broken}

    def __getitem__(self, person_id: str) -> Copy:
        held = self._everybody[person_id]
        traits = (
            tuple(sorted(Trait(record.vector, record.quality, source) for _, record, source in faces))
            for faces in self._contents.faces(held)
        )
        return Copy(held.person.name, held.person.enrolled, *traits)

    def __contains__(self, person_id: object) -> bool:
        return person_id in self._everybody

    def __iter__(self) -> Iterator[str]:
        return iter(self._everybody)

    def __len__(self) -> int:
        return len(self._everybody)

    def name(self, person_id: str) -> str:
        """What a person is called."""
        return self._everybody[person_id].person.name

    def stamp(self, person_id: str) -> bytes:
        """What tells this copy of a person from an earlier one."""
        return self._everybody[person_id].sealed


class Gallery:
    """The gallery in the file ``path``, created with its folder when missing; only templates of ``model`` go in or out.

    What is kept of a face is encrypted with the key in ``key_file`` (by default gallery.key beside it), which is made together
    with a new gallery, or with systemd's credential ``gallery-key`` where there is one. With ``keep_faces`` the chips of those
    who are enrolled are kept, too, so that ``reembed`` can make templates of another model of them. One that is ``serving`` is
    open for long: where it cannot be opened now, it will be as soon as it can, and until then every method raises.

    A record that is damaged is left out, and told by ``damage``; the others are as they were.

    Raises:
        GalleryError: the file is no gallery, is damaged, cannot be opened, belongs to another model or to another key; not
            if it is ``serving``.
        ConfigError: its path or that of its key can never be one.
    """

    def __init__(
        self,
        path: Path,
        model: str,
        dimensions: int = 128,
        key_file: Path | None = None,
        *,
        keep_faces: bool = False,
        serving: bool = False,
    ) -> None:
        self._path, self._model, self._dimensions, self._keep_faces = path, model, dimensions, keep_faces
        self.serving = serving
        self._own_changes = 0
        self._database = Database(path, model, key_file or path.parent / "gallery.key", serving=serving)
        self._contents = Contents(self._database, dimensions)
        self.events = EventStore(self._database)
        self.revisions = RevisionStore(self._database)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    @property
    def version(self) -> tuple[int, int]:
        """Changes whenever the gallery does, by this process or another."""
        return self._database.foreign_changes, self._own_changes

    @property
    def health(self) -> GalleryHealth:
        """Whether it can be changed, and is whole, as far as it was read."""
        with suppress(OSError):
            if lacks_room(self._path):
                return GalleryHealth("full", FULL)
            if is_read_only(self._path):
                return GalleryHealth("read_only", READ_ONLY)
        damaged = self._database.damaged
        return GalleryHealth("damaged", summary(damaged)) if damaged else GalleryHealth()

    def let_go(self, error: GalleryError) -> None:
        """Close the file because of an error, and open it anew later."""
        self._database.let_go(error)

    def damage(self) -> list[Damage]:
        """Every record that does not open, of whatever kind."""
        with self._database.errors(), self._database.transaction("DEFERRED"):
            return self._damage()

    def _damage(self) -> list[Damage]:
        self._database.people()  # of whom there may be templates alone, if those are not what is damaged
        found = set(scan(self._database))
        owners = {damage.owner for damage in found if damage.kind == "template"}
        nameless = {one for one in self._database.damaged if one.kind == "person" and (one.row or one.owner not in owners)}
        return sorted(found | nameless)

    def people(self) -> list[Person]:
        """Everybody, by name."""
        with self._database.errors(), self._database.transaction("DEFERRED"):
            return self._people()

    def templates(self) -> Templates:
        """Every template, read in one snapshot; the same object while nothing of it changes."""
        with self._database.errors(), self._database.transaction("DEFERRED"):
            return self._contents.templates()

    def catch_up(self, most: int) -> bool:
        """Read what has changed, of ``most`` people at most; false if there is more, for ``templates`` to read at once."""
        with self._database.errors(), self._database.transaction("DEFERRED"):
            return self._contents.read(most)

    def templates_before(self, event_id: str, person_id: str) -> Templates:
        """Every template but what ``learn`` takes back of an earlier verdict on this event, if it is about this person now."""
        with self._database.errors(), self._database.transaction("DEFERRED"):
            return self._contents.templates_without(event_id, person_id)

    def find(self, reference: str) -> Person:
        """The person with this id or name.

        Raises:
            GalleryError: there is none.
        """
        wanted = unicodedata.normalize("NFC", reference.strip())
        with self._database.errors(), self._database.transaction("DEFERRED"):
            held = self._contents.people()
            named = (person_id for person_id, one in held.items() if one.person.name == wanted)
            person_id = wanted if wanted in held else min(named, default="")
            if number := self._database.count(person_id):
                return replace(held[person_id].person, templates=number)
        raise GalleryError(f"nobody called {quoted(reference)} is enrolled; see the list of people")

    def enroll(self, name: str, vectors: Sequence[Vector], qualities: Sequence[float], chips: Sequence[Image] = ()) -> Person:
        """Add templates to the person of this name, who is created when new; all of it or nothing.

        ``chips`` are what the templates were made of, and kept only if this gallery keeps faces.

        Raises:
            GalleryError: the name is empty, too long or not printable, there is no template, one is not a unit vector, or the
                change cannot be written.
        """
        name, templates = clean_name(name), list(zip(vectors, qualities, strict=True))
        if not templates:
            raise GalleryError(f"{name!r} needs one template at least")
        with self._change():
            person_id = self._names().get(name)
            if person_id is None:
                person_id = f"p_{secrets.token_hex(8)}"
                self._database.add_person(person_id, PersonRecord(name, time.time()))
            self._add(person_id, "template", templates)
            if self._keep_faces:
                rows = {row.record.vector: row.row for row in self._database.templates("template", person_id)}
                for vector, chip in zip(vectors, chips, strict=True):
                    self._database.keep_face(rows[np.asarray(vector, "<f4").tobytes()], person_id, encode_png(chip))
        return self.find(person_id)

    def faces(self) -> int:
        """How many templates' faces are kept."""
        with self._database.errors():
            there = self._database.has_table("faces")
            return int(self._database.execute("SELECT count(*) FROM faces").fetchone()[0]) if there else 0

    def erase_faces(self) -> None:
        """Erase the faces that are kept; the templates stay.

        Raises:
            GalleryError: the gallery cannot be written.
        """
        if self.faces():
            with self._change():
                self._database.execute("DELETE FROM faces")
            self._database.wipe("the faces are erased")

    def rename(self, reference: str, name: str) -> Person:
        """Give a person another name.

        Raises:
            GalleryError: there is no such person, or the name is not usable or taken.
        """
        person, name = self.find(reference), clean_name(name)
        with self._change():
            if self._names().get(name, person.id) != person.id:
                raise GalleryError(f"{quoted(name)} is already enrolled")
            if not self._database.count(person.id):
                raise GalleryError(f"{person.name!r} is no longer enrolled")
            self._put_name(person.id, PersonRecord(name, person.enrolled))
        self._database.wipe(f"{person.name} is {name} now")
        return self.find(person.id)

    def forget(self, reference: str) -> Person:
        """Erase a person with their templates and events, and what is kept of others' faces that is nearest to theirs.

        Nothing of it stays in the file, nor in its write-ahead log.

        Raises:
            GalleryError: there is no such person, or the change cannot be written.
        """
        person = self.find(reference)
        with self._change():
            self._forget_likenesses([person.id])
            self._database.erase_person(person.id)
        self._database.wipe(f"{person.name} is forgotten")
        return person

    def drop(self, record: str) -> Person | None:
        """Erase one template, by its ``template_id``, or one damaged record, by its id; whose it was, if anybody's.

        Raises:
            GalleryError: there is no such record, it is a person's only template or name, or the change cannot be written.
        """
        wanted = record.strip()
        with self._change():
            rows = (
                (row, held.person.id, _template_id(held.person.id, record.vector))
                for held in self._contents.everybody().values()
                for row, record, _ in self._contents.faces(held)[0]
            )
            sound = (Damage("template", row, owner) for row, owner, one in rows if one == wanted)
            found = next(sound, None) or next((damage for damage in self._damage() if damage.id == wanted), None)
            if found is None:
                raise GalleryError(f"there is no template {record!r}; edgeface gallery check tells them")
            kept = {person.id: person.templates for person in self._people()}
            if found.kind == "person" and found.owner in kept:
                raise GalleryError(f"{record} is the name of {found.owner}: edgeface people rename {found.owner} NAME")
            named = self._database.execute("SELECT count(*) FROM people WHERE id = ?", (found.owner,)).fetchone()[0]
            if found.kind == "template" and named and kept.get(found.owner) == 1:
                raise GalleryError(f"{record} is the only template: edgeface people forget {found.owner}")
            table = TABLES[found.kind]
            self._database.erase(f"DELETE FROM {table} WHERE rowid = ?", (found.row,))
            self._database.touch(found.owner)
            if self._database.execute(f"SELECT count(*) FROM {table} WHERE rowid = ?", (found.row,)).fetchone()[0]:
                raise GalleryError(f"{self._path}: {record} cannot be erased; edgeface gallery restore brings a copy back")
        self._database.wipe(f"{record} is erased")
        return next((person for person in self.people() if person.id == found.owner), None)

    def learn(self, event: KeptEvent, person_id: str, verdict: Verdict, *, keep: bool) -> None:
        """Write a verdict about an event down: the person does look like it ("confirmed") or does not ("rejected").

        With ``keep`` its embedding becomes a template or a negative one; an earlier verdict on the event is taken back, and
        with it whoever had no other template.

        Raises:
            GalleryError: the event is gone, or the change cannot be written.
        """
        with self._change():
            for row in self._contents.rows_from(event.event_id, person_id):
                self._database.drop_template(row)
            if keep:
                kind: TemplateKind = "template" if verdict == "confirmed" else "negative"
                self._add(person_id, kind, [(event.embedding, event.quality)], source=event.event_id)
            self.events.judge(event, person_id, verdict)

    def introduce(self, name: str, events: Sequence[tuple[KeptEvent, bool]]) -> Person:
        """Write down that the faces of these events are the person of this name, who is created when new.

        Those marked true become templates, which a later verdict on their event takes back.

        Raises:
            GalleryError: the name is not usable, an event is gone, or the change cannot be written.
        """
        name = clean_name(name)
        with self._change():
            person_id = self._names().get(name)
            if person_id is None:
                person_id = f"p_{secrets.token_hex(8)}"
                self._database.add_person(person_id, PersonRecord(name, time.time()))
            for event, keep in events:
                if keep:
                    self._add(person_id, "template", [(event.embedding, event.quality)], source=event.event_id)
                self.events.judge(event, person_id, "confirmed")
        return self.find(person_id)

    def export(self) -> bytes:
        """Everybody with their templates as one JSON document. It holds biometric data in the clear."""
        with self._database.errors(), self._database.transaction("DEFERRED"):
            people = [
                _Exported(
                    held.person.id,
                    held.person.name,
                    held.person.enrolled,
                    *([_exported(record) for _, record, _ in faces] for faces in self._contents.faces(held)),
                )
                for held in self._contents.everybody().values()
            ]
        people.sort(key=lambda person: (person.name, person.id))
        document = _Export(EXPORT_VERSION, self._model, self._dimensions, people)
        return msgspec.json.format(msgspec.json.encode(document), indent=2)

    def import_(self, data: bytes) -> list[Imported]:
        """Add what ``export`` gave; a person who is there already (same id) gains the templates that are new.

        Raises:
            GalleryError: the document is not an export, is of another model, or holds a name that is taken by another person.
        """
        if len(data) > MAX_IMPORT_BYTES:
            raise GalleryError(f"the export is over {MAX_IMPORT_BYTES // 2**20} MB")
        try:
            version = msgspec.json.decode(data, type=_Header).edgeface_gallery
            if version is not None and version != EXPORT_VERSION:
                raise GalleryError(
                    f"written by another version of edgeface (export {version}, this one reads {EXPORT_VERSION})"
                )
            document = msgspec.json.decode(data, type=_Export)
            decoded = [[self._imported(kind) for kind in (p.templates, p.negatives)] for p in document.people]
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise GalleryError(f"not an export of a gallery: {error}") from None
        if document.model != self._model:
            raise GalleryError(f"the export is of the model {document.model[:19]!r}, this gallery of {self._model[:19]!r}")
        done: list[tuple[str, bool, int]] = []
        with self._change():
            names = self._names()
            there = set(names.values())
            for person, (templates, negatives) in zip(document.people, decoded, strict=True):
                name = clean_name(person.name)
                new = person.id not in there
                if new and name in names:
                    raise GalleryError(f"{quoted(name)} is already enrolled as another person; rename one of the two first")
                if new:
                    there.add(person.id)
                    self._database.add_person(person.id, PersonRecord(name, person.enrolled))
                    names[name] = person.id
                elif names.get(person.id) == person.id and name not in names:  # their own was damaged
                    self._put_name(person.id, PersonRecord(name, person.enrolled))
                    names[name] = person.id
                added = self._add(person.id, "template", templates) + self._add(person.id, "negative", negatives)
                done.append((person.id, new, added))
        people = {person.id: person for person in self.people()}
        return [Imported(people[person_id], new, added) for person_id, new, added in done]

    def exchange(self, decide: Callable[["Copies"], Mapping[str, Copy | None]]) -> None:
        """Put other copies in the place of people, by id, or forget them (``None``), as ``decide`` says of those who are there.

        All of it or nothing, together with what ``decide`` writes to ``revisions``. What is forgotten stays in the write-ahead
        log until ``wipe``.

        Raises:
            GalleryError: the gallery cannot be written, or another process is writing to it.
        """
        with self._database.errors(), self._database.patience(PATIENCE), self._database.change():
            wanted = decide(Copies(self._contents))
            forgotten = [person_id for person_id, copy in wanted.items() if copy is None]
            self._forget_likenesses(forgotten)
            for person_id in forgotten:
                self._database.erase_person(person_id)
            for person_id, copy in wanted.items():
                if copy:
                    self._put(person_id, copy)
        self._own_changes += bool(wanted)

    def wipe(self, *, whatever: bool = False) -> bool:
        """Empty the write-ahead log, in which what was erased lingers; false while another process reads it.

        Nothing is done where this process has erased nothing, unless ``whatever`` others may have.
        """
        with self._database.errors():
            return not (whatever or self._database.unwiped) or self._database.wipe_log()

    def copies(self, people: Collection[str] | None = None) -> dict[str, Copy]:
        """Everybody, or those of these people who are there, by id, as another device gets them."""
        with self._database.errors(), self._database.transaction("DEFERRED"):
            there = Copies(self._contents)
            return {person_id: there[person_id] for person_id in (there if people is None else people) if person_id in there}

    def check(self, copy: Copy) -> None:
        """See that a copy that came in is as one of ours would be.

        Raises:
            GalleryError: it is not.
        """
        if clean_name(copy.name) != copy.name:
            raise GalleryError("a name that is not as it is kept")
        for trait in (*copy.templates, *copy.negatives):
            self._vector(trait.vector)

    @property
    def broken(self) -> set[str]:
        """The ids of people of whom something was damaged when they were read last: ``copies`` has none of them.

        Where a damaged record does not tell whose it is, that may be anybody.
        """
        return self._contents.broken

    def _put(self, person_id: str, copy: Copy) -> None:
        self._put_name(person_id, PersonRecord(copy.name, copy.enrolled))
        kinds: tuple[tuple[TemplateKind, tuple[Trait, ...]], ...]
        kinds = ("template", copy.templates), ("negative", copy.negatives)
        for damage in self._database.damaged:
            if damage.owner == person_id and damage.kind in ("template", "negative"):
                self._database.drop_template(damage.row)
        for kind, traits in kinds:
            wanted = set(traits)
            for row in self._database.templates(kind, person_id):  # what stays keeps its face
                there = Trait(row.record.vector, row.record.quality, row.source)
                if there in wanted:
                    wanted.remove(there)
                else:
                    self._database.drop_template(row.row)
            for trait in sorted(wanted):
                self._database.add_template(person_id, kind, trait.source, TemplateRecord(trait.vector, trait.quality))

    def _put_name(self, person_id: str, record: PersonRecord) -> None:
        if not self._database.change_person(person_id, record):
            self._database.add_person(person_id, record)

    @contextmanager
    def _change(self) -> Iterator[None]:
        with self._database.errors(), self._database.change():
            yield
            self._clear_away()
        self._own_changes += 1

    def _clear_away(self) -> None:
        """Whoever has no template is nobody; faces that were unknown until they were given that name are so again."""
        if nobody := {row[0] for row in self._database.execute(NOBODY).fetchall()}:
            for event in self.events.all():
                if event.person_id in nobody and event.event_type == EventType.UNKNOWN:
                    self.events.judge(event, None, None)
            self._database.erase(f"DELETE FROM people WHERE id IN ({NOBODY})")

    def _people(self) -> list[Person]:
        """Whoever has a template, a damaged one too, by name."""
        count = "SELECT person_id, count(*) FROM templates WHERE kind != 'negative' GROUP BY person_id"
        counts = dict(self._database.execute(count).fetchall())
        known = self._contents.people().items()
        people = [held.person if held.read else replace(held.person, templates=counts[i]) for i, held in known if i in counts]
        return sorted(people, key=lambda person: (person.name, person.id))

    def _names(self) -> dict[str, str]:
        """The id of each name; within a transaction that keeps others from taking one."""
        return {held.person.name: person_id for person_id, held in self._contents.people().items()}

    def _add(self, person_id: str, kind: TemplateKind, templates: Iterable[tuple[Vector, float]], source: str = "") -> int:
        """Insert those that are not there yet; how many."""
        there = {row.record.vector for row in self._database.templates(kind, person_id)}
        before = len(there)
        for vector, quality in templates:
            blob = np.asarray(vector, "<f4").tobytes()
            self._vector(blob)
            if blob not in there:
                there.add(blob)
                self._database.add_template(person_id, kind, source, TemplateRecord(blob, float(quality)))
        return len(there) - before

    def _forget_likenesses(self, forgotten: Collection[str]) -> None:
        """Erase events and others' negative templates to which a template of these people is the nearest of all."""
        if not forgotten:
            return
        known, negatives, events = self._contents.templates(), self._contents.negative_rows(), self.events.all()
        theirs = np.array([person.id in forgotten for person in known.people], bool)[known.owners]
        faces = np.concatenate([known.negatives, *(event.embedding[np.newaxis] for event in events)])
        near = [
            theirs[index]
            for start in range(0, len(faces) if theirs.any() else 0, PROBES_AT_ONCE)
            for index in (faces[start : start + PROBES_AT_ONCE] @ known.vectors.T).argmax(axis=1)
        ]
        for row in compress(negatives.tolist(), near):
            self._database.drop_template(row)
        for event in compress(events, near[len(negatives) :]):
            self._database.execute("DELETE FROM events WHERE id = ?", (event.event_id,))

    def _imported(self, templates: list[_Template]) -> list[tuple[Vector, float]]:
        return [(self._vector(base64.b64decode(t.vector, validate=True)), t.quality) for t in templates]

    def _vector(self, blob: bytes) -> Vector:
        vector = np.frombuffer(blob, "<f4").astype(np.float32)
        sound = len(vector) == self._dimensions and bool((np.abs(vector) < 1.1).all())  # false for what is not a number, too
        if not sound or abs(float(np.linalg.norm(vector)) - 1) > 1e-2:
            raise GalleryError(f"{self._path}: holds a template that is not a unit vector of {self._dimensions} numbers")
        return vector


def _exported(record: TemplateRecord) -> _Template:
    return _Template(base64.b64encode(record.vector).decode(), record.quality)


def template_id(person_id: str, vector: Vector) -> str:
    """Eight digits that tell a person's template from all others, and nothing of the face."""
    return _template_id(person_id, np.asarray(vector, "<f4").tobytes())


def _template_id(person_id: str, vector: bytes) -> str:
    return blake2s(vector, digest_size=4, key=person_id.encode()).hexdigest()
