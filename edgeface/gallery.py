"""People and their templates: one encrypted SQLite file that belongs to one model and survives a kill at any moment."""

import base64
import secrets
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2s
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from edgeface.database import Database, PersonRecord, TemplateRecord
from edgeface.errors import GalleryError
from edgeface.events import PATIENCE, EventStore, KeptEvent, Verdict
from edgeface.imaging import encode_png
from edgeface.names import clean_name, quoted
from edgeface.revisions import RevisionStore
from edgeface.types import EventType, Image, Person, Vector

Moment = Annotated[float, Meta(ge=0, le=1e11)]
"""Seconds since the Unix epoch."""
MAX_IMPORT_BYTES = 256 * 2**20
EXPORT_VERSION = 1
NOBODY = "SELECT id FROM people WHERE id NOT IN (SELECT person_id FROM templates WHERE kind = 'template')"
"""Whoever has no template: a verdict has taken the only one back."""


@dataclass(frozen=True, slots=True, eq=False)
class Templates:
    """Every template: ``vectors`` has shape (n, dimensions); ``owners[i]`` indexes ``people``.

    ``negatives``, shape (m, dimensions), are faces that were taken for somebody who they are not: ``not_owners[i]``.
    """

    people: tuple[Person, ...]
    owners: NDArray[np.intp]
    vectors: NDArray[np.float32]
    not_owners: NDArray[np.intp] = field(default_factory=lambda: np.empty(0, np.intp))
    negatives: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))


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


class Gallery:
    """The gallery in the file ``path``, created with its folder when missing; only templates of ``model`` go in or out.

    What is kept of a face is encrypted with the key in ``key_file`` (by default gallery.key beside it), which is made together
    with a new gallery, or with systemd's credential ``gallery-key`` where there is one. With ``keep_faces`` the chips of those
    who are enrolled are kept, too, so that ``reembed`` can make templates of another model of them.

    Raises:
        GalleryError: the file is no gallery, is damaged, cannot be opened, belongs to another model or to another key.
    """

    def __init__(
        self, path: Path, model: str, dimensions: int = 128, key_file: Path | None = None, *, keep_faces: bool = False
    ) -> None:
        self._path, self._model, self._dimensions, self._keep_faces = path, model, dimensions, keep_faces
        self._own_changes = 0
        self._database = Database(path, model, key_file or path.parent / "gallery.key")
        self.events = EventStore(self._database)
        self.revisions = RevisionStore(self._database)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    @property
    def version(self) -> tuple[int, int]:
        """Changes whenever the gallery does, by this process or another."""
        return self._database.foreign_changes, self._own_changes

    def people(self) -> list[Person]:
        """Everybody, by name."""
        with self._database.errors(), self._database.transaction("DEFERRED"):
            return self._people()

    def templates(self) -> Templates:
        """Every template, read in one snapshot."""
        return self.templates_before(None, None)

    def templates_before(self, event_id: str | None, person_id: str | None) -> Templates:
        """Every template but what ``learn`` takes back of an earlier verdict on this event, if it is about this person now."""
        with self._database.errors(), self._database.transaction("DEFERRED"):
            people = tuple(self._people())
            index = {person.id: number for number, person in enumerate(people)}
            nobody = {row[0] for row in self._database.execute(NOBODY).fetchall()}
            arrays: list[NDArray[Any]] = []
            for kind in ("template", "negative"):
                rows = [
                    row
                    for row in self._database.templates(kind)
                    if row.owner not in nobody and (row.source != event_id or (kind == "negative" and row.owner != person_id))
                ]
                vectors = [self._vector(row.record.vector) for row in rows]
                arrays.append(np.array([index[row.owner] for row in rows], np.intp))
                arrays.append(np.stack(vectors) if vectors else np.empty((0, self._dimensions), np.float32))
        return Templates(people, *arrays)

    def find(self, reference: str) -> Person:
        """The person with this id or name.

        Raises:
            GalleryError: there is none.
        """
        wanted = unicodedata.normalize("NFC", reference.strip())
        people = self.people()
        for person in (*(p for p in people if p.id == wanted), *(p for p in people if p.name == wanted)):
            return person
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
            self.wipe()

    def rename(self, reference: str, name: str) -> Person:
        """Give a person another name.

        Raises:
            GalleryError: there is no such person, or the name is not usable or taken.
        """
        person, name = self.find(reference), clean_name(name)
        with self._change():
            if self._names().get(name, person.id) != person.id:
                raise GalleryError(f"{quoted(name)} is already enrolled")
            if not self._database.change_person(person.id, PersonRecord(name, person.enrolled)):
                raise GalleryError(f"{person.name!r} is no longer enrolled")
        return self.find(person.id)

    def forget(self, reference: str) -> Person:
        """Erase a person with their templates and events, and what is kept of others' faces that is nearest to theirs.

        Nothing of it stays in the file, nor in its write-ahead log.

        Raises:
            GalleryError: there is no such person, or the change cannot be written.
        """
        person = self.find(reference)
        with self._change():
            self._forget_likenesses(person.id)
            self._database.erase_person(person.id)
        with self._database.errors():
            wiped = self._database.wipe_log()
        if not wiped:
            raise GalleryError(
                f"{person.name} is forgotten, but {self._path}-wal keeps a trace until the program that reads it now ends"
            )
        return person

    def drop(self, template: str) -> Person:
        """Erase one template, by its ``template_id``; the person who has one less then.

        Raises:
            GalleryError: there is no such template, it is the person's only one, or the change cannot be written.
        """
        with self._change():
            rows = self._database.templates("template")
            ids = ((template_id(row.owner, self._vector(row.record.vector)), row) for row in rows)
            row = next((row for one, row in ids if one == template.strip()), None)
            if row is None:
                raise GalleryError(f"there is no template {template!r}; edgeface gallery check tells them")
            if sum(other.owner == row.owner for other in rows) == 1:
                raise GalleryError(f"{template} is the only template: edgeface people forget {row.owner}")
            self._database.execute("DELETE FROM templates WHERE id = ?", (row.row,))
        with self._database.errors():
            self._database.wipe_log()
        return self.find(row.owner)

    def learn(self, event: KeptEvent, person_id: str, verdict: Verdict, *, keep: bool) -> None:
        """Write a verdict about an event down: the person does look like it ("confirmed") or does not ("rejected").

        With ``keep`` its embedding becomes a template or a negative one; an earlier verdict on the event is taken back, and
        with it whoever had no other template.

        Raises:
            GalleryError: the event is gone, or the change cannot be written.
        """
        with self._change():
            self._database.execute(
                "DELETE FROM templates WHERE source = ? AND (kind = 'template' OR person_id = ?)", (event.event_id, person_id)
            )
            if keep:
                kind = "template" if verdict == "confirmed" else "negative"
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
            rows = {kind: self._database.templates(kind) for kind in ("template", "negative")}
            people = [
                _Exported(
                    person.id,
                    person.name,
                    person.enrolled,
                    *([_exported(row.record) for row in rows[kind] if row.owner == person.id] for kind in rows),
                )
                for person in self._people()
            ]
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
                added = self._add(person.id, "template", templates) + self._add(person.id, "negative", negatives)
                done.append((person.id, new, added))
        return [Imported(self.find(person_id), new, added) for person_id, new, added in done]

    def exchange(self, decide: Callable[[Mapping[str, Copy]], Mapping[str, Copy | None]]) -> None:
        """Put other copies in the place of people, by id, or forget them (``None``), as ``decide`` says of those who are there.

        All of it or nothing, together with what ``decide`` writes to ``revisions``. What is forgotten stays in the write-ahead
        log until ``wipe``.

        Raises:
            GalleryError: the gallery cannot be written, or another process is writing to it.
        """
        with self._database.errors(), self._database.patience(PATIENCE), self._database.change():
            wanted = decide(self._copies())
            for person_id, copy in wanted.items():
                if copy:
                    self._put(person_id, copy)
            for person_id in [person_id for person_id, copy in wanted.items() if copy is None]:
                self._forget_likenesses(person_id)
                self._database.erase_person(person_id)
        self._own_changes += bool(wanted)

    def wipe(self) -> bool:
        """Empty the write-ahead log, in which the forgotten linger; false while another process reads it."""
        with self._database.errors(), self._database.patience(PATIENCE):
            return self._database.wipe_log()

    def copies(self) -> dict[str, Copy]:
        """Everybody, by id, as another device gets them."""
        with self._database.errors(), self._database.transaction("DEFERRED"):
            return self._copies()

    def check(self, copy: Copy) -> None:
        """See that a copy that came in is as one of ours would be.

        Raises:
            GalleryError: it is not.
        """
        if clean_name(copy.name) != copy.name:
            raise GalleryError("a name that is not as it is kept")
        for trait in (*copy.templates, *copy.negatives):
            self._vector(trait.vector)

    def _copies(self) -> dict[str, Copy]:
        traits: dict[str, dict[str, list[Trait]]] = {"template": {}, "negative": {}}
        for kind, of in traits.items():
            for row in self._database.templates(kind):
                of.setdefault(row.owner, []).append(Trait(row.record.vector, row.record.quality, row.source))
        return {
            person_id: Copy(record.name, record.enrolled, *(tuple(sorted(of.get(person_id, ()))) for of in traits.values()))
            for person_id, record in self._database.people().items()
            if person_id in traits["template"]
        }

    def _put(self, person_id: str, copy: Copy) -> None:
        record = PersonRecord(copy.name, copy.enrolled)
        if not self._database.change_person(person_id, record):
            self._database.add_person(person_id, record)
        for kind, traits in (("template", copy.templates), ("negative", copy.negatives)):
            wanted = set(traits)
            for row in self._database.templates(kind, person_id):  # what stays keeps its face
                there = Trait(row.record.vector, row.record.quality, row.source)
                if there in wanted:
                    wanted.remove(there)
                else:
                    self._database.execute("DELETE FROM templates WHERE id = ?", (row.row,))
            for trait in sorted(wanted):
                self._database.add_template(person_id, kind, trait.source, TemplateRecord(trait.vector, trait.quality))

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
            self._database.execute(f"DELETE FROM people WHERE id IN ({NOBODY})")

    def _people(self) -> list[Person]:
        """Whoever has a template, by name."""
        count = "SELECT person_id, count(*) FROM templates WHERE kind = 'template' GROUP BY person_id"
        counts = dict(self._database.execute(count).fetchall())
        records = self._database.people().items()
        people = [Person(i, record.name, counts[i], record.enrolled) for i, record in records if i in counts]
        return sorted(people, key=lambda person: (person.name, person.id))

    def _names(self) -> dict[str, str]:
        """The id of each name; within a transaction that keeps others from taking one."""
        return {record.name: person_id for person_id, record in self._database.people().items()}

    def _add(self, person_id: str, kind: str, templates: Iterable[tuple[Vector, float]], source: str = "") -> int:
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

    def _forget_likenesses(self, person_id: str) -> None:
        """Erase events and others' negative templates to which this person's templates are the nearest of all."""
        rows = self._database.templates("template")
        owners, vectors = [row.owner for row in rows], np.stack([self._vector(row.record.vector) for row in rows])

        def theirs(face: Vector) -> bool:
            return owners[int(np.argmax(vectors @ face))] == person_id

        for event in self.events.all():
            if theirs(event.embedding):
                self._database.execute("DELETE FROM events WHERE id = ?", (event.event_id,))
        for negative in self._database.templates("negative"):
            if theirs(self._vector(negative.record.vector)):
                self._database.execute("DELETE FROM templates WHERE id = ?", (negative.row,))

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
    return blake2s(np.asarray(vector, "<f4").tobytes(), digest_size=4, key=person_id.encode()).hexdigest()
