"""A copy of the gallery in a file of its own: its name, whether all of it can be read, and erasing people from it."""

import os
import re
import sqlite3
from calendar import timegm
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from hashlib import blake2s
from pathlib import Path
from time import gmtime, strftime, strptime
from urllib.parse import quote

import numpy as np
from msgspec import Struct

from edgeface.errors import GalleryError
from edgeface.gallery.database import APPLICATION, VERSION, PersonRecord, TemplateRecord, erasure_mark, need
from edgeface.gallery.encryption import Key, Vault
from edgeface.gallery.sqlite import PATIENCE, connect_to_read, is_read_only
from edgeface.types import Vector

NAME = re.compile(r"gallery-([0-9a-f]{8})-([0-9]{6,9})-([0-9]{8}T[0-9]{6}Z)\.db", re.ASCII)
STAMP = "%Y%m%dT%H%M%SZ"
FOREIGN = "of another key"
"""The state of a copy that is not ours to judge."""

Pause = Callable[[], None]
"""Called every few milliseconds of work: to let others have the processor, or to give up by raising an exception."""


def go_on() -> None:
    """Do not pause."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy by its name: the mark of its key, its place in the order in which copies were made, and the clock of then.

    The clock orders nothing: it may have been wrong.
    """

    path: Path
    key: str
    number: int
    wall: float

    @classmethod
    def named(cls, folder: Path, key: str, number: int, wall: float) -> "Copy":
        """A copy that is to be made."""
        moment = strftime(STAMP, gmtime(wall))
        return cls(folder / f"gallery-{key}-{number:06d}-{moment}.db", key, number, float(int(wall)))


class NoCopyError(GalleryError):
    """A file is no good copy; the message says why, without its name."""


class ForeignCopyError(NoCopyError):
    """A file was encrypted with another key."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a copy holds that was read to its end."""

    model: str
    people: int
    templates: int


class _Record(Struct, array_like=True):
    """Any record of a gallery."""


def key_mark(key: Key) -> str:
    """Eight digits that tell to which key a copy belongs, and nothing of the key."""
    return blake2s(b"edgeface backup", key=key.secret, digest_size=4).hexdigest()


def find_copies(folder: Path) -> list[Copy]:
    """The copies in a folder, the oldest first; none if it is not there.

    Raises:
        OSError: it cannot be read.
    """
    found = []
    for path in folder.iterdir() if folder.exists() else ():
        if match := NAME.fullmatch(path.name):
            try:
                wall = float(timegm(strptime(match[3], STAMP)))
            except ValueError:
                continue
            found.append(Copy(path, match[1], int(match[2]), wall))
    return sorted(found, key=lambda copy: (copy.number, copy.path.name))


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a file that is there; one that a killed process was changing is first put back as it was.

    Raises:
        GalleryError: it cannot be read.
    """
    try:
        if is_read_only(path):
            connection = connect_to_read(path)
        else:
            how = "rw" if os.access(path, os.W_OK) else "ro"
            uri = f"file:{quote(str(path))}?mode={how}"
            connection = sqlite3.connect(uri, uri=True, timeout=PATIENCE, isolation_level=None)
        with closing(connection):
            yield connection
    except OSError as error:
        raise NoCopyError(error.strerror or str(error)) from None
    except sqlite3.OperationalError as error:
        raise NoCopyError(str(error)) from None
    except (sqlite3.DatabaseError, ValueError, TypeError, LookupError) as error:
        raise NoCopyError(f"damaged: {error}") from None


def check(path: Path, key: Key, pause: Pause = go_on) -> Contents:
    """Read a copy to its end: the file as a whole, and every record with the key.

    Raises:
        ForeignCopyError: it belongs to another key.
        NoCopyError: it cannot be read, or a part of it cannot.
    """
    with opened(path) as file:
        (told,) = file.execute("PRAGMA integrity_check(1)").fetchone()
        if told != "ok":
            raise NoCopyError(f"damaged: {' '.join(str(told).split())}")
        if file.execute("PRAGMA application_id").fetchone()[0] != APPLICATION:
            raise NoCopyError("not a gallery")
        (version,) = file.execute("PRAGMA user_version").fetchone()
        if version != VERSION:
            raise NoCopyError(f"written by another version of edgeface (format {version}, this one reads {VERSION})")
        vault, model = open_vault(file, key)
        for sealed, bound in _records(file):
            pause()
            vault.unseal(sealed, _Record, *bound)
        people = file.execute("SELECT count(DISTINCT person_id) FROM templates WHERE kind = 'template'").fetchone()[0]
        templates = file.execute("SELECT count(*) FROM templates WHERE kind = 'template'").fetchone()[0]
        return Contents(model, people, templates)


def open_vault(file: sqlite3.Connection, key: Key) -> tuple[Vault, str]:
    """What opens a copy's records, and the digest of its model.

    Raises:
        ForeignCopyError: it belongs to another key.
    """
    model, proof = file.execute("SELECT model, proof FROM meta").fetchone()
    vault = Vault(key, model)
    try:
        vault.unseal(proof, _Record, "proof")
    except ValueError:
        raise ForeignCopyError("encrypted with another key") from None
    return vault, model


def _records(file: sqlite3.Connection) -> Iterator[tuple[bytes, tuple[str, ...]]]:
    """Every sealed record of people and their templates, and to what it belongs; one at a time is in memory."""
    for person, sealed in file.execute("SELECT id, sealed FROM people"):
        yield sealed, ("person", person)
    for kind, owner, source, sealed in file.execute("SELECT kind, person_id, source, sealed FROM templates"):
        yield sealed, (kind, owner, source)
    if _has_table(file, "faces"):
        faces = "SELECT template, person_id, faces.sealed FROM faces JOIN templates ON templates.id = template"
        for row, owner, sealed in file.execute(faces):
            yield sealed, ("face", owner, str(row))


def people(file: sqlite3.Connection, vault: Vault) -> Iterator[tuple[str, PersonRecord]]:
    """Everybody in a copy, by id."""
    for person, sealed in file.execute("SELECT id, sealed FROM people"):
        yield person, vault.unseal(sealed, PersonRecord, "person", person)


def erased_in(path: Path) -> frozenset[bytes]:
    """The marks of those who were forgotten in a gallery or copy.

    Raises:
        GalleryError: it cannot be read.
    """
    with opened(path) as file:
        there = _has_table(file, "erased")
        return frozenset(row[0] for row in file.execute("SELECT person FROM erased")) if there else frozenset()


def cleanse(path: Path, erased: Collection[bytes], key: Key | None, *, keep_faces: bool = True) -> int:
    """Erase from a copy who was forgotten, and what in it is as near to them as ``Gallery.forget`` says; how many there were.

    All of it or nothing, and nothing of it stays in the file. Events go, too, and without ``keep_faces`` kept faces.

    Raises:
        NoCopyError: the file cannot be read or written.
    """
    with opened(path) as file:
        gone = [person for (person,) in file.execute("SELECT id FROM people") if erasure_mark(person) in erased]
        wanted = ("pictures", "events") if keep_faces else ("pictures", "events", "faces")
        tables = [table for table in wanted if _has_rows(file, table)]
        if not gone and not tables:
            return 0
        file.execute("PRAGMA secure_delete=ON").fetchall()
        file.execute("PRAGMA foreign_keys=ON")
        file.execute("BEGIN IMMEDIATE")
        for row in _likenesses(file, gone, key):
            file.execute("DELETE FROM templates WHERE id = ?", (row,))
        need(file, "erased")
        for person in gone:
            file.execute("DELETE FROM people WHERE id = ?", (person,))
            file.execute("INSERT OR IGNORE INTO erased VALUES (?)", (erasure_mark(person),))
        for table in tables:
            file.execute(f"DELETE FROM {table}")
        file.execute("COMMIT")
        return len(gone)


def _likenesses(file: sqlite3.Connection, gone: Collection[str], key: Key | None) -> list[int]:
    """Others' negative templates to which a template of somebody who goes is the nearest: these may be their face.

    What cannot be read is passed over: it must not keep the others from being erased.
    """
    if not gone or key is None:
        return []
    try:
        vault, _ = open_vault(file, key)
    except ForeignCopyError:
        return []

    def vectors(kind: str) -> Iterator[tuple[int, str, Vector]]:
        rows = "SELECT id, person_id, source, sealed FROM templates WHERE kind = ?"
        for row, owner, source, sealed in file.execute(rows, (kind,)):
            with suppress(ValueError):
                yield row, owner, np.frombuffer(vault.unseal(sealed, TemplateRecord, kind, owner, source).vector, "<f4")

    negatives = list(vectors("negative"))
    if not negatives:
        return []
    faces = np.stack([vector for *_, vector in negatives])
    best, theirs = np.full(len(negatives), -np.inf, np.float32), np.zeros(len(negatives), bool)
    for _, owner, vector in vectors("template"):
        scores = faces @ vector
        nearer = scores > best
        best[nearer], theirs[nearer] = scores[nearer], owner in gone
    return [row for (row, *_), one in zip(negatives, theirs, strict=True) if one]


def _has_table(file: sqlite3.Connection, name: str) -> bool:
    return bool(file.execute("SELECT count(*) FROM sqlite_master WHERE name = ?", (name,)).fetchone()[0])


def _has_rows(file: sqlite3.Connection, name: str) -> bool:
    return _has_table(file, name) and file.execute(f"SELECT 1 FROM {name}").fetchone() is not None
