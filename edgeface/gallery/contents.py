"""Keeps people and templates decrypted, and after a change reads only the changed people again."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, compress

import numpy as np
from numpy.typing import NDArray

from edgeface.errors import GalleryError
from edgeface.gallery.damage import Damage
from edgeface.gallery.database import OF_PERSON, Database
from edgeface.gallery.records import PersonRecord, TemplateKind, TemplateRecord
from edgeface.types import Person

READ_BEFORE_JOINING = 1000  # people whose templates are read before they are put into the matrices


@dataclass(frozen=True, slots=True, eq=False)
class Templates:
    """Every template: ``vectors`` has shape (n, dimensions); ``owners[i]`` indexes ``people``, who are in no order.

    ``negatives``, shape (m, dimensions), are faces that somebody rejected as the person ``not_owners[i]``. ``lengths`` are the
    norms of the sums of each person's templates; they are computed if they are not given.
    """

    people: tuple[Person, ...]
    owners: NDArray[np.intp]
    vectors: NDArray[np.float32]
    not_owners: NDArray[np.intp] = field(default_factory=lambda: np.empty(0, np.intp))
    negatives: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))
    lengths: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))

    def __post_init__(self) -> None:
        if len(self.lengths) != len(self.people):
            sums = np.zeros((len(self.people), self.vectors.shape[1]), np.float32)
            np.add.at(sums, self.owners, self.vectors)
            object.__setattr__(self, "lengths", np.linalg.norm(sums, axis=1))

    def by_name(self) -> "Templates":
        order = sorted(range(len(self.people)), key=lambda index: (self.people[index].name, self.people[index].id))
        rank = np.empty(len(order), np.intp)
        rank[order] = np.arange(len(order))
        people = tuple(self.people[index] for index in order)
        owners, not_owners = rank[self.owners], rank[self.not_owners]
        return Templates(people, owners, self.vectors, not_owners, self.negatives, self.lengths[order])


def nearest_to_forgotten(
    faces: NDArray[np.float32], templates: Iterable[tuple[NDArray[np.float32], NDArray[np.bool_]]]
) -> NDArray[np.bool_]:
    """Return which of ``faces``, shape (n, dimensions), have a forgotten person's template as the nearest of all.

    ``templates`` come in parts, each of shape (m, dimensions), with which of its rows are a forgotten person's.
    """
    best, forgotten = np.full(len(faces), -np.inf, np.float32), np.zeros(len(faces), bool)
    for vectors, theirs in templates:
        cosines = faces @ vectors.T
        nearest, highest = cosines.argmax(axis=1), cosines.max(axis=1)
        nearer = highest > best
        best[nearer], forgotten[nearer] = highest[nearer], theirs[nearest[nearer]]
    return forgotten


@dataclass(slots=True, eq=False)
class Faces:
    """Templates of one kind, each person's the oldest first; ``vectors`` has shape (n, dimensions)."""

    vectors: NDArray[np.float32]
    rows: NDArray[np.int64]
    qualities: NDArray[np.float64]
    sources: tuple[str, ...]

    def __iter__(self) -> Iterator[tuple[int, TemplateRecord, str]]:
        rest = self.rows.tolist(), self.qualities.tolist(), self.sources
        for vector, row, quality, source in zip(self.vectors, *rest, strict=True):
            yield row, TemplateRecord(np.asarray(vector, "<f4").tobytes(), quality), source

    def part(self, start: int, end: int) -> "Faces":
        part = slice(start, end)
        return Faces(self.vectors[part], self.rows[part], self.qualities[part], self.sources[part])

    def joined(self, keep: NDArray[np.bool_], more: Sequence["Faces"]) -> "Faces":
        """Return the templates to keep and ``more`` after them, in arrays of their own."""
        kept = int(keep.sum())
        vectors = np.empty((kept + sum(len(faces.rows) for faces in more), self.vectors.shape[1]), np.float32)
        np.compress(keep, self.vectors, axis=0, out=vectors[:kept])  # the only copy: this array may be most of the memory
        if more:
            np.concatenate([faces.vectors for faces in more], out=vectors[kept:])
        rows = np.concatenate([self.rows[keep], *(faces.rows for faces in more)])
        qualities = np.concatenate([self.qualities[keep], *(faces.qualities for faces in more)])
        return Faces(vectors, rows, qualities, (*compress(self.sources, keep), *chain(*(faces.sources for faces in more))))

    def same(self, other: "Faces") -> bool:
        pairs = ((self.rows, other.rows), (self.qualities, other.qualities), (self.vectors, other.vectors))
        return self.sources == other.sources and all(np.array_equal(*pair) for pair in pairs)


@dataclass(slots=True, eq=False)
class Held:
    """A person as they were read. ``sealed`` is their record in the file, which every change of the person changes.

    Until their templates are ``read``, ``person`` has none, and ``count`` and ``sum``, of the templates' rows, are 0. The
    templates are at ``place`` in the matrices, or ``fresh``: read since the matrices were made.
    """

    sealed: bytes
    person: Person
    place: int | None = None
    fresh: tuple[Faces, Faces] | None = None
    read: bool = False
    count: int = 0
    sum: int = 0


class Contents:
    """The people of a database, with their templates in one matrix. Methods are called within a transaction.

    Every change of a person seals their record anew, so the records alone tell who has changed. Templates that another program
    writes, or that a damaged index hides, change number, last or sum of the templates' rows: then everybody is read again.
    """

    def __init__(self, database: Database, dimensions: int) -> None:
        self._database, self._dimensions = database, dimensions
        self._nothing = Faces(np.empty((0, dimensions), np.float32), np.empty(0, np.int64), np.empty(0), ())
        self._held: dict[str, Held] = {}
        self._orphans: set[str] = set()
        self._last, self._strays = 0, (0, 0, 0)
        self._checked = False
        self._order: list[Held] = []
        self._matrices = [self._nothing, self._nothing]
        self._bounds = [np.zeros(1, np.intp), np.zeros(1, np.intp)]
        self._lengths = np.empty(0, np.float32)
        self._known: Templates | None = None

    def people(self) -> Mapping[str, Held]:
        """Return everybody by id, without reading templates. A person whose record is damaged has their id as their name."""
        rows = self._database.people_rows()
        there: dict[str, Held] = {}
        for row, person_id, sealed in chain(rows, ((0, one, b"") for one in self._orphans if one not in there)):
            held = self._held.get(person_id)
            if held is None or held.sealed != sealed:
                if not isinstance(person_id, str):
                    continue
                self._database.look_anew_at(person_id)
                record = self._database.opened(Damage("person", row, person_id), sealed, PersonRecord, "person", person_id)
                name, enrolled = (record.name, record.enrolled) if record else (person_id, 0.0)
                held = Held(sealed, Person(person_id, name, 0, enrolled), held.place if held and not held.fresh else None)
                self._known = None
            there[person_id] = held
        if len(there) != len(self._held):
            for person_id in self._held.keys() - there.keys():
                self._database.look_anew_at(person_id)
            self._known = None
        self._held = there
        return there

    def read(self, most: int | None = None) -> bool:
        """Read the templates of changed people, ``most`` at most; return whether nothing is left to read."""
        there = self.people()
        left, before = [held for held in there.values() if not held.read], self._database.damaged.copy()
        try:
            for number, held in enumerate(left[:most], 1):
                self._read(held, self._database.rows_of(held.person.id))
                if number % READ_BEFORE_JOINING == 0:  # outside the matrices, templates take twice the memory
                    self._join(one for one in there.values() if (one.person.templates if one.read else one.place is not None))
            if most is not None and len(left) > most:
                return False
            if not self._whole() or not self._database.damaged <= before:  # a damaged index gives another person's rows
                self._sweep()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:  # an index is damaged
            self._sweep()
        return True

    def everybody(self) -> Mapping[str, Held]:
        """Return everybody who has a template, by id."""
        self.read()
        return {person_id: held for person_id, held in self._held.items() if held.person.templates}

    @property
    def broken(self) -> set[str]:
        damaged = [damage for damage in self._database.damaged if damage.kind in OF_PERSON]
        there = self._held.keys() - self._orphans if damaged else set()
        lost = any(damage.owner not in there for damage in damaged if damage.kind != "person")
        return {damage.owner for damage in damaged} | (there if lost else set())

    def faces(self, held: Held) -> tuple[Faces, Faces]:
        """Return a person's templates, and their negative ones."""
        if held.fresh or held.place is None:
            return held.fresh or (self._nothing, self._nothing)
        templates, negatives = (
            faces.part(*bounds[held.place : held.place + 2]) for faces, bounds in zip(self._matrices, self._bounds, strict=True)
        )
        return templates, negatives

    def templates(self) -> Templates:
        everybody = self.everybody()
        if self._known is None:
            self._join(everybody.values())
            owners, not_owners = (np.repeat(np.arange(len(bounds) - 1), np.diff(bounds)) for bounds in self._bounds)
            templates, negatives = (faces.vectors for faces in self._matrices)
            people = tuple(held.person for held in self._order)
            self._known = Templates(people, owners, templates, not_owners, negatives, self._lengths)
        return self._known

    def templates_without(self, event_id: str, person_id: str) -> Templates:
        """Return everybody's templates without those from an event: templates of anybody, negative ones of this person."""
        known, (here, there) = self.templates(), self._from(event_id, person_id)
        if not here.any() and not there.any():
            return known
        rest = known.owners[~here], known.vectors[~here], known.not_owners[~there], known.negatives[~there]
        return Templates(known.people, *rest)

    def rows_from(self, event_id: str, person_id: str) -> list[int]:
        """Return the rows that ``templates_without`` leaves out."""
        self.templates()
        pairs = zip(self._matrices, self._from(event_id, person_id), strict=True)
        return [int(row) for faces, some in pairs for row in faces.rows[some]]

    def negative_rows(self) -> NDArray[np.int64]:
        self.templates()
        return self._matrices[1].rows

    def _from(self, event_id: str, person_id: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return which templates come from an event, and which negative ones of one person do."""
        here, there = (np.array([source == event_id for source in faces.sources], bool) for faces in self._matrices)
        owners = np.array([held.person.id == person_id for held in self._order], bool)
        return here, there & np.repeat(owners, np.diff(self._bounds[1]))

    def _join(self, everybody: Iterable[Held]) -> None:
        """Make the matrices anew if templates are fresh or gone; unchanged people come first, in their order."""
        stay: list[Held | None] = [None] * len(self._order)
        fresh: list[tuple[Held, tuple[Faces, Faces]]] = []
        for held in everybody:
            if held.fresh:
                fresh.append((held, held.fresh))
            elif held.place is not None:
                stay[held.place] = held
        keep = np.array([held is not None for held in stay], bool)
        self._order = [held for held in stay if held] + [held for held, _ in fresh]
        if fresh or not keep.all():
            for kind, bounds in enumerate(self._bounds):
                more, counts = [faces[kind] for _, faces in fresh], np.diff(bounds)
                self._matrices[kind] = self._matrices[kind].joined(np.repeat(keep, counts), more)
                self._bounds[kind] = np.cumsum([0, *counts[keep], *(len(faces.rows) for faces in more)])
            lengths = [np.linalg.norm(faces.vectors.sum(axis=0)) for _, (faces, _) in fresh]
            self._lengths = np.concatenate([self._lengths[keep], np.array(lengths, np.float32)])
        for place, held in enumerate(self._order):
            held.place, held.fresh = place, None

    def _whole(self) -> bool:
        *found, last = self._database.row_sums(by_index=self._checked)  # first without the index, which may be damaged
        self._checked = True
        return last <= self._last and found == [know + stray for know, stray in zip(self._counts(), self._strays, strict=True)]

    def _counts(self) -> tuple[int, int, int]:
        """Return how many rows were read, of how many people, and the sum of the rows' ids."""
        read = [held for held in self._held.values() if held.count]
        return sum(held.count for held in read), len(read), sum(held.sum for held in read)

    def _sweep(self) -> None:
        """Read every template without an index, also those of people who have no record."""
        rows, known = self._database.all_rows(), self._database.people_ids()
        self._orphans = {
            owner for owner, some in rows.items() if owner not in known and any(kind != "negative" for _, kind, *_ in some)
        }
        there = self.people()
        for kind in ("template", "negative"):
            self._database.look_anew(kind)
        for person_id, held in there.items():
            self._read(held, rows.get(person_id, []))
        count, owners, total = self._counts()
        ids = [row for some in rows.values() for row, *_ in some]
        self._strays = len(ids) - count, len(rows) - owners, sum(ids) - total
        self._last = max((some[-1][0] for some in rows.values()), default=0)

    def _read(self, held: Held, rows: Sequence[tuple[int, str, str, bytes]]) -> None:
        person_id = held.person.id
        kinds: dict[str, list[tuple[int, TemplateRecord, str]]] = {"template": [], "negative": []}
        for row, kind, source, sealed in rows:
            what: TemplateKind = "negative" if kind == "negative" else "template"
            record = self._database.opened(Damage(what, row, person_id), sealed, TemplateRecord, kind, person_id, source)
            if record:
                kinds[what].append((row, record, source))
        fresh = self._faces(kinds["template"]), self._faces(kinds["negative"])
        held.read, held.count, held.sum = True, len(rows), sum(row for row, *_ in rows)
        held.person = replace(held.person, templates=sum(kind != "negative" for _, kind, *_ in rows))
        self._last = max([self._last, *(row for row, *_ in rows)])
        self._known = None
        if held.place is None or not all(before.same(now) for before, now in zip(self.faces(held), fresh, strict=True)):
            held.fresh = fresh

    def _faces(self, found: list[tuple[int, TemplateRecord, str]]) -> Faces:
        if not found:
            return self._nothing
        rows, records, sources = zip(*found, strict=True)
        vectors = self.unit_vectors([record.vector for record in records])
        return Faces(vectors, np.array(rows, np.int64), np.array([record.quality for record in records]), sources)

    def unit_vectors(self, blobs: Sequence[bytes]) -> NDArray[np.float32]:
        """Return templates as an array, shape (n, dimensions). Raise ``GalleryError`` if one is no unit vector."""
        if all(len(blob) == 4 * self._dimensions for blob in blobs):
            vectors = np.frombuffer(b"".join(blobs), "<f4").reshape(-1, self._dimensions)
            with np.errstate(invalid="ignore"):
                lengths = np.linalg.norm(vectors.astype(float), axis=1)
            if (abs(lengths - 1) <= 1e-2).all():  # false for what is not a number, too
                return vectors.astype(np.float32)
        raise GalleryError(f"{self._database.path}: holds a template that is not a unit vector of {self._dimensions} numbers")
