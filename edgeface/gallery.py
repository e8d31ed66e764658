"""People and their templates: one SQLite file that belongs to one model and survives a kill at any moment."""

import base64
import re
import secrets
import sqlite3
import time
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from edgeface.errors import GalleryError
from edgeface.sqlite import connect
from edgeface.types import Person, Vector

MAX_NAME = 100
MAX_IMPORT_BYTES = 256 * 2**20
VERSION = 1
APPLICATION = 0x45464731  # "EFG1": tells our files from other SQLite files
SCHEMA = """
CREATE TABLE meta (model TEXT NOT NULL);
CREATE TABLE people (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, enrolled REAL NOT NULL);
CREATE TABLE templates (
    id INTEGER PRIMARY KEY,
    person_id TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    vector BLOB NOT NULL,
    quality REAL NOT NULL,
    UNIQUE (person_id, vector)
);
"""
PEOPLE = """
SELECT people.id, people.name, count(templates.id), people.enrolled
FROM people JOIN templates ON templates.person_id = people.id GROUP BY people.id ORDER BY people.name, people.id
"""


@dataclass(frozen=True, slots=True, eq=False)
class Templates:
    """Every template: ``vectors`` has shape (n, dimensions); ``owners[i]`` indexes ``people``."""

    people: tuple[Person, ...]
    owners: NDArray[np.intp]
    vectors: NDArray[np.float32]


class _Template(Struct, frozen=True):
    vector: Annotated[str, Meta(max_length=8192)]
    quality: Annotated[float, Meta(ge=0, le=1)]


class _Exported(Struct, frozen=True):
    id: Annotated[str, Meta(pattern=r"^p_[0-9a-f]{16}\Z")]
    name: str
    enrolled: float
    templates: Annotated[list[_Template], Meta(min_length=1, max_length=10_000)]


class _Export(Struct, frozen=True):
    edgeface_gallery: Annotated[int, Meta(ge=VERSION, le=VERSION)]
    model: str
    dimensions: Annotated[int, Meta(ge=8, le=2048)]
    people: list[_Exported]


class Gallery:
    """The gallery in the file ``path``, created with its folder when missing; only templates of ``model`` go in or out.

    Raises:
        GalleryError: the file is no gallery, is damaged, cannot be opened, or belongs to another model.
    """

    def __init__(self, path: Path, model: str, dimensions: int = 128) -> None:
        self._path, self._model, self._dimensions = path, model, dimensions
        self._own_changes = 0
        try:
            self._database = connect(path)
        except (OSError, ValueError) as error:  # a path with a NUL is a ValueError
            shown = str(path).replace("\0", "\\0")
            raise GalleryError(f"{shown}: {getattr(error, 'strerror', None) or error}") from None
        with self._errors():
            self._open()

    def _open(self) -> None:
        empty = not self._database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if not empty and self._database.execute("PRAGMA application_id").fetchone()[0] != APPLICATION:
            raise GalleryError(f"{self._path}: a database, but not an edgeface gallery")
        for setting in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
            self._database.execute(f"PRAGMA {setting}").fetchall()
        if empty:  # else no lock is needed, and who holds one does not keep the daemon from starting
            with self._transaction() as database:
                if not database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                    for statement in SCHEMA.strip().split(";\n"):
                        database.execute(statement)
                    database.execute("INSERT INTO meta VALUES (?)", (self._model,))
                    database.execute(f"PRAGMA application_id={APPLICATION}")
                    database.execute(f"PRAGMA user_version={VERSION}")
        version = self._database.execute("PRAGMA user_version").fetchone()[0]
        if version != VERSION:
            raise GalleryError(
                f"{self._path}: written by another version of edgeface (format {version}, this one reads {VERSION})"
            )
        (model,) = self._database.execute("SELECT model FROM meta").fetchone()
        if model != self._model:
            raise GalleryError(
                f"{self._path}: is of the model {model[:19]}…, not of {self._model[:19]}…; enrol anew into another gallery.path"
            )

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    @property
    def version(self) -> tuple[int, int]:
        """Changes whenever the gallery does, by this process or another."""
        with self._errors():
            return int(self._database.execute("PRAGMA data_version").fetchone()[0]), self._own_changes

    def people(self) -> list[Person]:
        """Everybody, by name."""
        with self._errors():
            return [Person(*row) for row in self._database.execute(PEOPLE)]

    def templates(self) -> Templates:
        """Every template, read in one snapshot."""
        with self._errors(), self._transaction("DEFERRED") as database:
            people = tuple(Person(*row) for row in database.execute(PEOPLE))
            rows = database.execute("SELECT person_id, vector FROM templates ORDER BY id").fetchall()
            index = {person.id: number for number, person in enumerate(people)}
            owners = np.array([index[owner] for owner, _ in rows], np.intp)
            vectors = [self._vector(blob) for _, blob in rows]
        return Templates(people, owners, np.stack(vectors) if vectors else np.empty((0, self._dimensions), np.float32))

    def find(self, reference: str) -> Person:
        """The person with this id or name.

        Raises:
            GalleryError: there is none.
        """
        wanted = unicodedata.normalize("NFC", reference.strip())
        people = self.people()
        for person in (*(p for p in people if p.id == wanted), *(p for p in people if p.name == wanted)):
            return person
        raise GalleryError(f"nobody called {reference!r} is enrolled; see edgeface people list")

    def enroll(self, name: str, vectors: Sequence[Vector], qualities: Sequence[float]) -> Person:
        """Add templates to the person of this name, who is created when new; all of it or nothing.

        Raises:
            GalleryError: the name is empty, too long or not printable, there is no template, one is not a unit vector, or the
                change cannot be written.
        """
        name, templates = clean_name(name), list(zip(vectors, qualities, strict=True))
        if not templates:
            raise GalleryError(f"{name!r} needs one template at least")
        with self._errors(), self._transaction() as database:
            row = database.execute("SELECT id FROM people WHERE name = ?", (name,)).fetchone()
            person_id = row[0] if row else f"p_{secrets.token_hex(8)}"
            if not row:
                database.execute("INSERT INTO people VALUES (?, ?, ?)", (person_id, name, time.time()))
            self._add(database, person_id, templates)
        self._own_changes += 1
        return self.find(person_id)

    def rename(self, reference: str, name: str) -> Person:
        """Give a person another name.

        Raises:
            GalleryError: there is no such person, or the name is not usable or taken.
        """
        person, name = self.find(reference), clean_name(name)
        try:
            with self._errors(), self._transaction() as database:
                database.execute("UPDATE people SET name = ? WHERE id = ?", (name, person.id))
        except sqlite3.IntegrityError:
            raise GalleryError(f"{name!r} is already enrolled") from None
        self._own_changes += 1
        return self.find(person.id)

    def forget(self, reference: str) -> Person:
        """Erase a person and their templates, from the write-ahead log too.

        Raises:
            GalleryError: there is no such person, or the change cannot be written.
        """
        person = self.find(reference)
        with self._errors():
            with self._transaction() as database:
                database.execute("DELETE FROM people WHERE id = ?", (person.id,))
            self._own_changes += 1
            busy = self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy:
            raise GalleryError(
                f"{person.name} is forgotten, but {self._path}-wal keeps a trace until the program that reads it now ends"
            )
        return person

    def export(self) -> bytes:
        """Everybody with their templates as one JSON document. It holds biometric data in the clear."""
        with self._errors(), self._transaction("DEFERRED") as database:
            people = []
            for person_id, name, _, enrolled in database.execute(PEOPLE).fetchall():
                rows = database.execute("SELECT vector, quality FROM templates WHERE person_id = ? ORDER BY id", (person_id,))
                templates = [_Template(base64.b64encode(vector).decode(), quality) for vector, quality in rows]
                people.append(_Exported(person_id, name, enrolled, templates))
        return msgspec.json.format(msgspec.json.encode(_Export(VERSION, self._model, self._dimensions, people)), indent=2)

    def import_(self, data: bytes) -> list[Person]:
        """Add what ``export`` gave; a person who is there already (same id) gains the templates that are new.

        Raises:
            GalleryError: the document is not an export, is of another model, or holds a name that is taken by another person.
        """
        if len(data) > MAX_IMPORT_BYTES:
            raise GalleryError(f"the export is over {MAX_IMPORT_BYTES // 2**20} MB")
        try:
            document = msgspec.json.decode(data, type=_Export)
            decoded = [[self._vector(base64.b64decode(t.vector, validate=True)) for t in p.templates] for p in document.people]
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise GalleryError(f"not an export of a gallery: {error}") from None
        if document.model != self._model:
            raise GalleryError(f"the export is of the model {document.model[:19]!r}, this gallery of {self._model[:19]!r}")
        with self._errors(), self._transaction() as database:
            for person, vectors in zip(document.people, decoded, strict=True):
                name = clean_name(person.name)
                taken = database.execute("SELECT id FROM people WHERE name = ?", (name,)).fetchone()
                if taken and taken[0] != person.id:
                    raise GalleryError(f"{name!r} is already enrolled as another person; rename one of the two first")
                if not database.execute("SELECT 1 FROM people WHERE id = ?", (person.id,)).fetchone():
                    database.execute("INSERT INTO people VALUES (?, ?, ?)", (person.id, name, person.enrolled))
                self._add(database, person.id, zip(vectors, (t.quality for t in person.templates), strict=True))
        self._own_changes += 1
        return [self.find(person.id) for person in document.people]

    def _add(self, database: sqlite3.Connection, person_id: str, templates: Iterable[tuple[Vector, float]]) -> None:
        for vector, quality in templates:
            blob = np.asarray(vector, "<f4").tobytes()
            self._vector(blob)
            database.execute("INSERT OR IGNORE INTO templates VALUES (NULL, ?, ?, ?)", (person_id, blob, quality))

    def _vector(self, blob: bytes) -> Vector:
        vector = np.frombuffer(blob, "<f4").astype(np.float32)
        sound = len(vector) == self._dimensions and bool((np.abs(vector) < 1.1).all())  # false for what is not a number, too
        if not sound or abs(float(np.linalg.norm(vector)) - 1) > 1e-2:
            raise GalleryError(f"{self._path}: holds a template that is not a unit vector of {self._dimensions} numbers")
        return vector

    @contextmanager
    def _transaction(self, kind: str = "IMMEDIATE") -> Iterator[sqlite3.Connection]:
        self._database.execute(f"BEGIN {kind}")
        try:
            yield self._database
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError:
            raise
        except sqlite3.OperationalError as error:
            raise GalleryError(f"{self._path}: {error}") from None
        except (sqlite3.DatabaseError, ValueError, TypeError, LookupError) as error:
            raise GalleryError(f"{self._path}: not a gallery, or damaged ({error})") from None


def clean_name(name: str) -> str:
    """A name as it is kept: NFC, without outer blanks.

    Raises:
        GalleryError: it is empty, over 100 characters, or has unprintable ones.
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        raise GalleryError("the name is not valid UTF-8") from None
    name = unicodedata.normalize("NFC", name.strip())
    # Persian, Sinhala and others need the zero-width joiners, which Python does not count as printable.
    if not name or len(name) > MAX_NAME or not re.sub(r"(?<=\S)[\u200c\u200d](?=\S)", "", name).isprintable():
        raise GalleryError(f"{name!r} is no name: it needs 1 to {MAX_NAME} printable characters")
    return name
