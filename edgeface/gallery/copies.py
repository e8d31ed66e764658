"""Names, writes, reads and checks copies of the gallery, each in a file of its own, and erases people from them."""

import os
import re
import sqlite3
from calendar import timegm
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from hashlib import blake2s
from itertools import compress
from pathlib import Path
from time import gmtime, strftime, strptime

import numpy as np
from msgspec import UNSET, UnsetType

from edgeface.errors import GalleryError
from edgeface.gallery.contents import nearest_to_forgotten
from edgeface.gallery.encryption import Key, Sealer
from edgeface.gallery.file_format import APPLICATION, SEALED, VERSION, need
from edgeface.gallery.records import PersonRecord, TemplateRecord, erasure_mark
from edgeface.gallery.rules import RuleRecord, Rules
from edgeface.gallery.sqlite import connect, connect_as, connect_to_read, is_read_only
from edgeface.types import Vector

NAME = re.compile(r"gallery-([0-9a-f]{8})-([0-9]{6,9})-([0-9]{8}T[0-9]{6}Z)\.db", re.ASCII)
STAMP = "%Y%m%dT%H%M%SZ"
FOREIGN = "of another key"  # the state of a copy that another key has sealed
PAGES = 256  # pages, mostly of 4 kB, that are copied without a pause

Pause = Callable[[], None]
"""A function that is called every few milliseconds of work, to leave the processor to others or to give up by an exception."""


def go_on() -> None:
    """Do not pause."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy by its name: its key's mark, its number, and its time by the wall clock, which orders nothing: it may be wrong."""

    path: Path
    key: str
    number: int
    wall: float

    @classmethod
    def named(cls, folder: Path, key: str, number: int, wall: float) -> "Copy":
        moment = strftime(STAMP, gmtime(wall))
        return cls(folder / f"gallery-{key}-{number:06d}-{moment}.db", key, number, float(int(wall)))


class NoCopyError(GalleryError):
    """A file is no good copy; the message says why, without naming the file."""


class ForeignCopyError(NoCopyError):
    """A file was encrypted with another key."""


@dataclass(frozen=True, slots=True)
class CopyContents:
    model: str
    people: int
    templates: int


def key_mark(key: Key) -> str:
    """Return eight digits that tell to which key a copy belongs, and nothing of the key."""
    return blake2s(b"edgeface backup", key=key.secret, digest_size=4).hexdigest()


def find_copies(folder: Path) -> list[Copy]:
    """Return the copies in a folder, the oldest first; none if there is no folder. Raise ``OSError`` if it cannot be read."""
    found = []
    for path in folder.iterdir() if folder.exists() else ():
        if match := NAME.fullmatch(path.name):
            with suppress(ValueError):
                wall = float(timegm(strptime(match[3], STAMP)))
                found.append(Copy(path, match[1], int(match[2]), wall))
    return sorted(found, key=lambda copy: (copy.number, copy.path.name))


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a copy; one that a killed process was changing is first put back. Raise ``NoCopyError`` if it cannot be read."""
    try:
        how = "mode=rw" if os.access(path, os.W_OK) else "mode=ro"
        with closing(connect_to_read(path) if is_read_only(path) else connect_as(path, how)) as connection:
            yield connection
    except OSError as error:
        raise NoCopyError(error.strerror or str(error)) from None
    except sqlite3.OperationalError as error:
        raise NoCopyError(str(error)) from None
    except (sqlite3.DatabaseError, ValueError, TypeError, LookupError) as error:
        raise NoCopyError(f"damaged: {error}") from None


def check(path: Path, key: Key, pause: Pause = go_on) -> CopyContents:
    """Read a copy to its end, every record too. Raise ``ForeignCopyError`` at another key, ``NoCopyError`` at damage."""
    with opened(path) as file:
        (told,) = file.execute("PRAGMA integrity_check(1)").fetchone()
        if told != "ok":
            raise NoCopyError(f"damaged: {' '.join(str(told).split())}")
        if file.execute("PRAGMA application_id").fetchone()[0] != APPLICATION:
            raise NoCopyError("not a gallery")
        (version,) = file.execute("PRAGMA user_version").fetchone()
        if version != VERSION:
            raise NoCopyError(f"written by another version of edgeface (format {version}, this one reads {VERSION})")
        sealer, model = sealer_of(file, key)
        for table in filter(partial(_has_table, file), ("people", "templates", "faces", "rules")):
            for _, _, _, sealed, *bound in file.execute(SEALED[table]):
                pause()
                sealer.decrypt(sealed, *bound)
        counts = "SELECT count(DISTINCT person_id), count(*) FROM templates WHERE kind = 'template'"
        return CopyContents(model, *file.execute(counts).fetchone())


def sealer_of(file: sqlite3.Connection, key: Key) -> tuple[Sealer, str]:
    """Return the sealer of a copy's records, and the digest of its model. Raise ``ForeignCopyError`` if the key is another."""
    model, proof = file.execute("SELECT model, proof FROM meta").fetchone()
    sealer = Sealer(key, model)
    if not sealer.opens(proof, "proof"):
        raise ForeignCopyError("encrypted with another key")
    return sealer, model


def people(file: sqlite3.Connection, sealer: Sealer) -> Iterator[tuple[str, PersonRecord]]:
    for person, sealed in file.execute("SELECT id, sealed FROM people"):
        yield person, sealer.unseal(sealed, PersonRecord, "person", person)


def templates(file: sqlite3.Connection, sealer: Sealer, person_id: str) -> Iterator[tuple[str, TemplateRecord]]:
    """Yield the kind and record of each template of a person in a copy, the oldest first."""
    rows = "SELECT kind, source, sealed FROM templates WHERE person_id = ? ORDER BY id"
    for kind, source, sealed in file.execute(rows, (person_id,)):
        yield kind, sealer.unseal(sealed, TemplateRecord, kind, person_id, source)


def rules(file: sqlite3.Connection, sealer: Sealer, person_id: str) -> Rules | UnsetType:
    """Return the rules of a person in a copy, if there are any."""
    query = "SELECT sealed FROM rules WHERE person_id = ?"
    row = file.execute(query, (person_id,)).fetchone() if _has_table(file, "rules") else None
    return sealer.unseal(row[0], RuleRecord, "rule", person_id).rules if row else UNSET


class _RestlessError(Exception):
    """Others write to the gallery so often that copying it in steps comes to no end."""


def write(gallery: Path, part: Path, pause: Pause) -> None:
    """Copy a gallery as of one moment to the file ``part``, without what must not be kept longer: events, pictures, the bin."""
    # SQLite alone opens the gallery: Python's opening and closing the file would lose SQLite its locks.
    opening = connect_to_read(gallery) if is_read_only(gallery) else connect(gallery)
    with closing(opening) as source, closing(connect(part)) as target:
        for setting in ("journal_mode=OFF", "synchronous=OFF", "secure_delete=ON"):  # a kill may spoil the part, not yet a copy
            target.execute(f"PRAGMA {setting}").fetchall()
        steps = 0

        def step(_status: int, _left: int, total: int) -> None:
            nonlocal steps
            steps += 1
            if steps > 4 * total / PAGES + 20:
                raise _RestlessError
            pause()

        try:
            source.backup(target, pages=PAGES, progress=step)
        except _RestlessError:
            source.backup(target)
        target.execute("PRAGMA journal_mode=DELETE").fetchall()  # a copy is one file, without a log beside it
        target.execute("PRAGMA journal_mode=OFF").fetchall()
        for table in ("pictures", "bin"):
            target.execute(f"DROP TABLE IF EXISTS {table}")
        target.execute("DELETE FROM events")


def holds(path: Path, wanted: Collection[str]) -> bool:
    """Return whether a copy holds one of these people. Raise ``NoCopyError`` if the file cannot be read."""
    with opened(path) as file:
        return any(person in wanted for (person,) in file.execute("SELECT id FROM people"))


def erased_in(path: Path) -> frozenset[bytes]:
    """Return the marks of people who were forgotten in a gallery or copy. Raise ``NoCopyError`` if the file cannot be read."""
    with opened(path) as file:
        there = _has_table(file, "erased")
        return frozenset(row[0] for row in file.execute("SELECT person FROM erased")) if there else frozenset()


def remember_erased(path: Path, erased: Collection[bytes]) -> None:
    """Replace the marks of forgotten people in a copy. Raise ``NoCopyError`` if the file cannot be read or written."""
    with opened(path) as file:
        file.execute("BEGIN")
        file.execute("DROP TABLE IF EXISTS erased")
        need(file, "erased")
        file.executemany("INSERT INTO erased VALUES (?)", [(mark,) for mark in sorted(erased)])
        file.execute("COMMIT")


def cleanse(path: Path, erased: Collection[bytes], key: Key | None, *, keep_faces: bool = True) -> int:
    """Erase forgotten people from a copy, as ``Gallery.forget`` does; return how many there were.

    Events and the bin are erased, too, and without ``keep_faces`` kept faces. All of it or nothing; no trace stays in the file.
    Raise ``NoCopyError`` if the file cannot be read or written.
    """
    with opened(path) as file:
        gone = [person for (person,) in file.execute("SELECT id FROM people") if erasure_mark(person) in erased]
        wanted = ("pictures", "events", "bin", *(() if keep_faces else ("faces",)))
        tables = [one for one in wanted if _has_table(file, one) and file.execute(f"SELECT 1 FROM {one}").fetchone()]
        if not gone and not tables:
            return 0
        file.execute("PRAGMA secure_delete=ON").fetchall()
        file.execute("PRAGMA foreign_keys=ON")
        file.execute("BEGIN IMMEDIATE")
        for row in _negatives_near(file, gone, key):
            file.execute("DELETE FROM templates WHERE id = ?", (row,))
        need(file, "erased")
        for person in gone:
            file.execute("DELETE FROM people WHERE id = ?", (person,))
            file.execute("INSERT OR IGNORE INTO erased VALUES (?)", (erasure_mark(person),))
        for table in tables:
            file.execute(f"DELETE FROM {table}")
        file.execute("COMMIT")
        return len(gone)


def _negatives_near(file: sqlite3.Connection, gone: Collection[str], key: Key | None) -> list[int]:
    """Return the rows of others' negative templates to which a forgotten person's template is the nearest."""
    if not gone or key is None:
        return []
    try:
        sealer, _ = sealer_of(file, key)
    except ForeignCopyError:
        return []

    def vectors(kind: str) -> Iterator[tuple[int, str, Vector]]:
        rows = "SELECT id, person_id, source, sealed FROM templates WHERE kind = ?"
        for row, owner, source, sealed in file.execute(rows, (kind,)):
            with suppress(ValueError):  # a damaged record must not keep the others from being erased
                yield row, owner, np.frombuffer(sealer.unseal(sealed, TemplateRecord, kind, owner, source).vector, "<f4")

    negatives = list(vectors("negative"))
    if not negatives:
        return []
    faces = np.stack([vector for *_, vector in negatives])
    templates = ((vector[np.newaxis], np.array([owner in gone])) for _, owner, vector in vectors("template"))
    return [row for row, *_ in compress(negatives, nearest_to_forgotten(faces, templates))]


def _has_table(file: sqlite3.Connection, name: str) -> bool:
    return bool(file.execute("SELECT count(*) FROM sqlite_master WHERE name = ?", (name,)).fetchone()[0])
