"""The gallery's SQLite file: found, checked, brought up to date; whole after a kill at any moment."""

import logging
import math
import re
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from hashlib import blake2s
from pathlib import Path
from typing import Literal, NamedTuple

from msgspec import Struct

from edgeface.errors import GalleryError, TraceError
from edgeface.gallery.damage import Damage, Kind
from edgeface.gallery.encryption import Key, Record, SealError, Vault, find_key
from edgeface.gallery.guard import Guard
from edgeface.gallery.sqlite import FULL, PATIENCE, connect, connect_to_read, is_full, is_read_only, lacks_room, refuse_for_good

log = logging.getLogger(__name__)

ROOM_EVERY = 30.0
"""Seconds between two looks for room on a full disk."""

RETRY = 5.0
"""Seconds between two attempts to open a file that could not be opened."""

SHORT_PATIENCE = 0.25
"""Seconds for which a daemon's loop waits for others where it may try again later."""

CACHE = "cache_size=-512"
"""Kilobytes of pages that SQLite keeps: what is read is kept decrypted, and the system keeps the file's pages, too."""

FRESH = 2.0
"""Seconds for which files count as just changed: their times are not exact, and two commits may have the same."""

VERSION = 2
PLAIN = 1
APPLICATION = 0x45464731  # "EFG1": tells our files from other SQLite files
_FORMAT = Path(__file__).with_name("schema") / f"v{VERSION}.sql"
SCHEMA = {name: make for make, name in re.findall(r"^(CREATE \w+ (?:IF NOT EXISTS )?(\w+)[^;]+)", _FORMAT.read_text(), re.M)}
"""Each table and index, and the statement that makes it; with IF NOT EXISTS, only when it is first needed."""
OF_PERSON: tuple[Kind, ...] = ("person", "template", "negative")
STRANGE = """
SELECT type, name FROM sqlite_master
WHERE type IN ('trigger', 'view') OR type = 'index' AND sql IS NOT NULL AND name != 'templates_of_person'
"""
"""What no version of edgeface makes, and what could keep records that are to be erased."""
TemplateKind = Literal["template", "negative"]


class PersonRecord(Struct, frozen=True, array_like=True):
    """What is sealed of a person; ``enrolled`` is seconds since the Unix epoch."""

    name: str
    enrolled: float


class TemplateRecord(Struct, frozen=True, array_like=True):
    """What is sealed of a template: the unit vector as little-endian float32, and its quality, 0 to 1."""

    vector: bytes
    quality: float


class _Face(Struct, frozen=True, array_like=True):
    """What is sealed of a kept face: the aligned chip as a PNG."""

    png: bytes


class TemplateRow(NamedTuple):
    """A template where it stands; ``source`` is the event that it came from, or empty."""

    row: int
    owner: str
    source: str
    record: TemplateRecord


class _Proof(Struct, frozen=True, array_like=True):
    """What only the right key opens."""


class Database:
    """An open gallery file. ``vault`` seals what goes into a column ``sealed``; the ids beside it are in the clear.

    ``damaged`` are the records that did not open when they were last read: reading goes on without them. A ``serving`` database
    stays open for long: a file that cannot be opened now is tried again, and so is one that takes its place. Many may have the
    file open at once, or one ``alone``.

    Raises:
        GalleryError: the file is no gallery, is damaged, cannot be opened, belongs to another model, its key is not there, or
            others have it open who must not; not if it is ``serving``.
        ConfigError: its path can never be one.
    """

    vault: Vault

    def __init__(self, path: Path, model: str, key_file: Path, *, serving: bool = False, alone: bool = False) -> None:
        self.path, self._model, self._key_file = path, model, key_file
        self.damaged: set[Damage] = set()
        self.unwiped = self._serving = serving  # a daemon that was killed may have left a log
        self._alone = alone
        self._room_after = math.inf
        self._reopened = self._changes = 0
        self._last_stamp: list[tuple[int, int, int]] | None = None
        self._asking_until = self._retry_after = -math.inf
        self._touched: set[str] = set()
        self._shut: str | None = None
        refuse_for_good(path, "gallery.path")
        self._was_there = path.exists()
        try:
            self._connect()
        except GalleryError as error:
            if not serving:
                raise
            self._give_up(error)

    def _connect(self) -> None:
        self._guard = None
        try:
            self._connection = connect(self.path)
        except (OSError, sqlite3.Error) as error:
            raise GalleryError(f"{self.path}: {getattr(error, 'strerror', None) or error}") from None
        try:
            self._guard = Guard(self.path, alone=self._alone, patience=SHORT_PATIENCE if self._serving else None)
            with self._told():
                self._open_though_full()
            self._inode = self.path.stat().st_ino
        except BaseException:
            self._disconnect()
            raise

    def _disconnect(self) -> None:
        self._connection.close()
        if self._guard:
            self._guard.release()

    def _give_up(self, error: GalleryError) -> None:
        self._shut, self._last_stamp = str(error), self._stamp()
        self._retry_after = time.monotonic() + RETRY
        log.error("%s", error)

    def let_go(self, error: GalleryError) -> None:
        """Close the file because of an error, to open it anew later."""
        if self._shut is None:
            self._disconnect()
            self._give_up(error)

    def _try_again(self) -> None:
        """Open the file that could not be opened, unless it has just changed: somebody may be copying another to its place.

        Raises:
            GalleryError: it cannot be opened yet.
        """
        if time.monotonic() >= self._retry_after:
            self._retry_after = time.monotonic() + RETRY
            stamp, before = self._stamp(), self._last_stamp
            self._last_stamp = stamp
            if self._was_there and not stamp:
                self._shut = f"{self.path}: it is gone; put it back, or start edgeface anew for an empty gallery"
            elif stamp == before:
                try:
                    self._connect()
                except GalleryError as error:
                    self._shut = str(error)
                else:
                    log.warning("%s: it can be opened again", self.path)
                    self._shut, self._last_stamp = None, None
                    self._reopened += 1
                    return
        raise GalleryError(self._shut or "")

    def _open_though_full(self) -> None:
        """On a full disk, to read only; ``foreign_changes`` looks for room again."""
        try:
            self._open()
        except sqlite3.OperationalError as error:
            if not is_full(self.path, error):
                raise
            log.warning("%s: %s", self.path, FULL)
            self._connection.close()
            self._connection = connect_to_read(self.path)
            self._open()
            self._room_after = time.monotonic() + ROOM_EVERY

    def _look_for_room(self) -> None:
        if time.monotonic() < self._room_after:
            return
        self._room_after = time.monotonic() + ROOM_EVERY
        if lacks_room(self.path):
            return
        self._reconnect()
        if self._room_after == math.inf:
            log.info("%s: there is room again", self.path)

    def _reconnect(self) -> None:
        self._disconnect()
        self._room_after, self._last_stamp = math.inf, None
        try:
            self._connect()
        except GalleryError as error:
            self._give_up(error)
            raise
        self._reopened += 1

    def execute(self, statement: str, values: Sequence[object] | Mapping[str, object] = ()) -> sqlite3.Cursor:
        """Run one statement."""
        try:
            cursor = self._connection.execute(statement, values)
        except UnicodeDecodeError:  # of what SQLite tells of a damaged schema
            raise sqlite3.DatabaseError("the schema is damaged") from None
        if cursor.rowcount > 0 and statement.startswith(("DELETE", "UPDATE")):
            self.unwiped = True
        return cursor

    def erase(self, statement: str, values: Sequence[object] = ()) -> int:
        """Run a DELETE, with fresh indexes if they are damaged; how many rows it deleted."""
        try:
            return self.execute(statement, values).rowcount
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            self.execute("REINDEX")
            return self.execute(statement, values).rowcount

    def erase_person(self, person_id: str) -> None:
        """Delete a person with all that is theirs, and mark them as erased.

        Raises:
            GalleryError: the file keeps some of it nevertheless.
        """
        need(self, "erased")
        self.execute("INSERT OR IGNORE INTO erased VALUES (?)", (erasure_mark(person_id),))
        theirs = {"templates": "person_id", "events": "person_id", "people": "id"}
        for _ in range(2):
            for table, column in theirs.items():
                self.erase(f"DELETE FROM {table} WHERE {column} = ?", (person_id,))
            # The plus sign keeps SQLite from asking an index, which may be what is damaged.
            counts = [f"(SELECT count(*) FROM {table} WHERE +{column} = :id)" for table, column in theirs.items()]
            if not self.execute(f"SELECT {' + '.join(counts)}", {"id": person_id}).fetchone()[0]:
                return
            self.execute("REINDEX")
        raise GalleryError(f"{self.path}: {person_id} cannot be erased from it; edgeface gallery restore brings a copy back")

    def _open(self) -> None:
        version = self._version()
        if version and self.execute("PRAGMA application_id").fetchone()[0] != APPLICATION:
            raise GalleryError(f"{self.path}: a database, but not an edgeface gallery")
        if version > VERSION:
            raise GalleryError(
                f"{self.path}: written by another version of edgeface (format {version}, this one reads {VERSION})"
            )
        keyed = self._key_file.exists()
        if version == PLAIN:
            self._check_model()
        key = self._key(create=version < VERSION)
        self.vault = Vault(key, self._model)
        # Temporary files would be a second place with traces.
        for setting in ("synchronous=FULL", "foreign_keys=ON", "secure_delete=ON", "temp_store=MEMORY", CACHE):
            self.execute(f"PRAGMA {setting}").fetchall()
        self._write_ahead()
        if version < VERSION:  # else no lock is needed
            with self.transaction():
                version = self._version()
                if version == PLAIN:
                    self._upgrade()
                elif not version:
                    if keyed:
                        log.warning("%s: there was nothing in it, though its key is there: a new gallery begins", self.path)
                    self._create()
        if version == PLAIN:
            self.execute("VACUUM")
            self.wipe_log()
        self._prove(key)

    def _prove(self, key: Key) -> None:
        """See that the file belongs to our model and key: what says so may be damaged, but any record that opens does, too."""
        row = self.execute("SELECT model, proof FROM meta").fetchone()
        model, proof = row or (self._model, None)
        if self._opens(proof, "proof"):
            if model != self._model:
                self._mend_meta()
            return
        if any(
            self._opens(sealed, *bound)
            for query in (
                "SELECT sealed, 'person', id FROM people",
                "SELECT sealed, kind, person_id, source FROM templates",
            )
            for sealed, *bound in self.execute(query)
        ):
            self._mend_meta()
            return
        self._check_model()
        raise GalleryError(
            f"{self.path}: not encrypted with the key in {key.origin}; "
            "put its own key back, or enroll anew into another gallery.path"
        )

    def _opens(self, sealed: bytes | None, *bound: str) -> bool:
        with suppress(SealError):
            self.vault.decrypt(sealed, *bound)
            return True
        return False

    def _mend_meta(self) -> None:
        log.warning("%s: its own description was damaged, and is written anew", self.path)
        with suppress(sqlite3.OperationalError), self.transaction():  # else at the next start: it may be read-only
            self.execute("DELETE FROM meta")
            self.execute("INSERT INTO meta VALUES (?, ?)", (self._model, self.vault.seal(_Proof(), "proof")))

    def _write_ahead(self) -> None:
        """Change to a write-ahead log. SQLite does not wait for another process that does so, too."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.execute("PRAGMA journal_mode=WAL").fetchall()
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
            time.sleep(0.02)

    def _version(self) -> int:
        """The format of the file; 0 if it is empty yet."""
        tables = self.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        return max(1, int(self.execute("PRAGMA user_version").fetchone()[0])) if tables else 0

    def _check_model(self) -> None:
        row = self.execute("SELECT model FROM meta").fetchone()
        if row is None:
            raise GalleryError(f"{self.path}: not a gallery, or damaged (it does not say of which model it is)")
        if row[0] != self._model:
            raise GalleryError(
                f"{self.path}: is of the model {str(row[0])[:19]}…, not of {self._model[:19]}…; edgeface gallery reembed takes "
                "over whose faces are kept, or enroll anew into another gallery.path"
            )

    def _key(self, *, create: bool) -> Key:
        key = find_key(self._key_file, create=create)
        if key is None:
            raise GalleryError(
                f"{self.path}: its key is missing: neither {self._key_file} nor systemd's credential gallery-key is there; "
                "put it back, or enroll anew into another gallery.path"
            )
        return key

    def _create(self) -> None:
        for statement in SCHEMA.values():
            if "IF NOT EXISTS" not in statement:
                self.execute(statement)
        self.execute("INSERT INTO meta VALUES (?, ?)", (self._model, self.vault.seal(_Proof(), "proof")))
        self.execute(f"PRAGMA application_id={APPLICATION}")
        self.execute(f"PRAGMA user_version={VERSION}")

    def _upgrade(self) -> None:
        """From the first format, which kept names and vectors in the clear."""
        people = self.execute("SELECT id, name, enrolled FROM people").fetchall()
        templates = self.execute("SELECT person_id, vector, quality FROM templates ORDER BY id").fetchall()
        if not all(isinstance(vector, bytes) for _, vector, _ in templates):
            raise GalleryError(f"{self.path}: not a gallery, or damaged (a template is no vector)")
        for table in ("templates", "people", "meta"):
            self.execute(f"DROP TABLE {table}")
        self._create()
        for person_id, name, enrolled in people:
            self.add_person(person_id, PersonRecord(name, enrolled))
        for person_id, vector, quality in templates:
            self.add_template(person_id, "template", "", TemplateRecord(vector, quality))

    def add_person(self, person_id: str, record: PersonRecord) -> None:
        """Insert a person."""
        if self.has_table("erased"):
            self.execute("DELETE FROM erased WHERE person = ?", (erasure_mark(person_id),))
        self.execute("INSERT INTO people VALUES (?, ?)", (person_id, self.vault.seal(record, "person", person_id)))

    def change_person(self, person_id: str, record: PersonRecord) -> bool:
        """Put another record in the place of a person's; false if they are not there."""
        sealed = self.vault.seal(record, "person", person_id)
        return self.execute("UPDATE people SET sealed = ? WHERE id = ?", (sealed, person_id)).rowcount == 1

    def add_template(self, person_id: str, kind: str, source: str, record: TemplateRecord) -> None:
        """Insert what a person looks like (``kind`` "template") or does not ("negative"); ``source`` is an event or empty."""
        sealed = self.vault.seal(record, kind, person_id, source)
        self.execute("INSERT INTO templates VALUES (NULL, ?, ?, ?, ?)", (person_id, kind, source, sealed))
        self._touched.add(person_id)

    def touch(self, person_id: str) -> None:
        """Note that something of a person changes, beside what the methods here change."""
        self._touched.add(person_id)

    def drop_template(self, row: int) -> None:
        """Delete a template, of whatever kind."""
        for (person_id,) in self.execute("DELETE FROM templates WHERE id = ? RETURNING person_id", (row,)).fetchall():
            self._touched.add(person_id)

    def people(self) -> dict[str, PersonRecord]:
        """Everybody, by id. Whose record is damaged, or gone while their templates are there, has their id as their name."""
        self.look_anew("person")
        rows = self.execute("SELECT rowid, id, sealed FROM people").fetchall()
        orphans = (
            "SELECT DISTINCT person_id FROM templates WHERE kind != 'negative' AND person_id NOT IN (SELECT id FROM people)"
        )
        rows += [(0, person_id, b"") for (person_id,) in self.execute(orphans).fetchall()]
        found = {}
        for row, person_id, sealed in rows:
            if isinstance(person_id, str):
                record = self.opened("person", row, person_id, sealed, PersonRecord, "person", person_id)
                found[person_id] = record or PersonRecord(person_id, 0.0)
        return found

    def templates(self, kind: TemplateKind, person_id: str | None = None) -> list[TemplateRow]:
        """Every template of a kind, or those of one person, the oldest first, but for damaged ones."""
        if person_id is None:
            self.look_anew(kind)
            query = "SELECT id, person_id, source, sealed FROM templates WHERE kind = ? ORDER BY id"
            rows = self.execute(query, (kind,)).fetchall()
        else:
            rows = [(row, person_id, *rest) for row, of, *rest in self.rows_of(person_id) if of == kind]
        found = []
        for row, owner, source, sealed in rows:
            record = self.opened(kind, row, owner, sealed, TemplateRecord, kind, owner, source)
            if record:
                found.append(TemplateRow(row, owner, source, record))
        if kind == "template" and person_id is None:
            strange = "SELECT id, person_id FROM templates WHERE kind NOT IN ('template', 'negative')"
            self.damaged |= {Damage("template", row, str(owner)) for row, owner in self.execute(strange).fetchall()}
        return found

    def look_anew(self, kind: Kind) -> None:
        """All records of a kind are about to be read: what was damaged of them before is not known any more."""
        self.damaged = {damage for damage in self.damaged if damage.kind != kind}

    def look_anew_at(self, person_id: str) -> None:
        """All records of a person are about to be read, as ``look_anew``."""
        if self.damaged:
            self.damaged = {one for one in self.damaged if one.owner != person_id or one.kind not in OF_PERSON}

    def opened(self, what: Kind, row: int, owner: str, sealed: bytes, kind: type[Record], *bound: str) -> Record | None:
        """A record, or nothing where it is damaged, which ``damaged`` tells then."""
        try:
            return self.vault.unseal(sealed, kind, *bound)
        except SealError:
            self.damaged.add(Damage(what, row, str(owner)))
            return None

    def rows_of(self, person_id: str) -> list[tuple[int, str, str, bytes]]:
        """Row, kind, source and sealed record of every template of a person, the oldest first."""
        query = "SELECT id, kind, source, sealed FROM templates WHERE person_id = ? ORDER BY id"
        return self.execute(query, (person_id,)).fetchall()

    def count(self, person_id: str) -> int:
        """How many templates somebody has, damaged ones too, and negative ones not."""
        query = "SELECT count(*) FROM templates WHERE person_id = ? AND kind != 'negative'"
        return int(self.execute(query, (person_id,)).fetchone()[0])

    def keep_face(self, row: int, person_id: str, png: bytes) -> None:
        """Keep the chip that a template was made from."""
        need(self, "faces")
        sealed = self.vault.seal(_Face(png), "face", person_id, str(row))
        self.execute("INSERT OR REPLACE INTO faces VALUES (?, ?)", (row, sealed))

    def faces(self) -> Iterator[tuple[TemplateRow, bytes]]:
        """Every template whose face is kept, with its PNG; one face at a time is in memory."""
        there = self.templates("template") if self.has_table("faces") else []
        for row in there:
            png = self._face(row, self.vault)
            if png is not None:
                yield row, png

    def _face(self, row: TemplateRow, vault: Vault) -> bytes | None:
        found = self.execute("SELECT sealed FROM faces WHERE template = ?", (row.row,)).fetchone()
        with suppress(SealError):
            return vault.unseal(found[0], _Face, "face", row.owner, str(row.row)).png if found else None
        return None

    def has_table(self, name: str) -> bool:
        """Whether there is a table that is made only when it is needed."""
        return bool(self.execute("SELECT count(*) FROM sqlite_master WHERE name = ?", (name,)).fetchone()[0])

    def adopt(self, model: str, remade: Mapping[int, TemplateRecord]) -> None:
        """Belong to another model from now on: the same people, with what is ``remade`` of their templates, by row, and faces.

        Nothing else that the model before made stays. Within a transaction of the caller; if that fails, this object is of no
        use any more.
        """
        before, people, kept = self.vault, self.people(), {row.row: row for row in self.templates("template")}
        self._model, self.vault = model, Vault(self._key(create=False), model)
        for table in ("events", "revisions"):
            if self.has_table(table):
                self.execute(f"DELETE FROM {table}")
        self.execute("DELETE FROM templates WHERE kind != 'template'")
        self.execute("UPDATE meta SET model = ?, proof = ?", (model, self.vault.seal(_Proof(), "proof")))
        for person_id, record in people.items():
            self.change_person(person_id, record)
        for (number,) in self.execute("SELECT id FROM templates").fetchall():
            row = kept.get(number)
            png = self._face(row, before) if row and number in remade else None
            if row is None or png is None:
                self.erase("DELETE FROM templates WHERE id = ?", (number,))
            else:
                sealed = self.vault.seal(remade[number], "template", row.owner, "")
                self.execute("UPDATE templates SET source = '', sealed = ? WHERE id = ?", (sealed, number))
                self.keep_face(number, row.owner, png)

    def wipe_log(self) -> bool:
        """Empty the write-ahead log, where old pages linger; false if a reader is in the way."""
        with self.patience(SHORT_PATIENCE if self._serving else PATIENCE):
            wiped = not self.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        self.unwiped = not wiped
        return wiped

    def wipe(self, done: str) -> None:
        """Empty the write-ahead log after a change that erased something.

        Raises:
            TraceError: a reader is in the way.
        """
        with self.errors():
            if self.unwiped and not self.wipe_log():
                raise TraceError(f"{done}, but {self.path}-wal keeps a trace until the program that reads it now ends")

    @property
    def foreign_changes(self) -> int:
        """Changes with every commit of another connection.

        SQLite is asked only when the files have just changed: each question dirties a page of the log's index, which is then
        written to the card again and again, some megabytes an hour.
        """
        with self.errors():
            self._look_for_room()
            stamp = self._stamp()
            if not stamp:
                raise GalleryError(f"{self.path}: it is gone; put it back")
            if stamp[0][0] != self._inode:
                log.warning("%s: another file is in its place", self.path)
                self._reconnect()
                stamp = self._stamp()
            if stamp != self._last_stamp:
                self._last_stamp, self._asking_until = stamp, time.monotonic() + FRESH
            if time.monotonic() < self._asking_until:
                self._changes = int(self.execute("PRAGMA data_version").fetchone()[0]) + self._reopened * 2**32
            return self._changes

    def _stamp(self) -> list[tuple[int, int, int]]:
        """Inode, size and time of change of the database and its log, those that are there."""
        found = []
        for path in (self.path, self.path.with_name(f"{self.path.name}-wal")):
            with suppress(FileNotFoundError):
                status = path.stat()
                found.append((status.st_ino, status.st_size, status.st_mtime_ns))
        return found

    @contextmanager
    def transaction(self, kind: str = "IMMEDIATE") -> Iterator[None]:
        """All of it or nothing."""
        self.execute(f"BEGIN {kind}")
        try:
            yield
        except BaseException:
            # SQLite has rolled back by itself where the disk is full.
            if self._connection.in_transaction:
                self.execute("ROLLBACK")
            raise
        try:
            self.execute("COMMIT")
        except sqlite3.DatabaseError:  # also of what was read by a damaged index, and then without it
            if kind != "DEFERRED":
                raise
            if self._connection.in_transaction:
                self.execute("ROLLBACK")

    @contextmanager
    def change(self) -> Iterator[None]:
        """A transaction in which the file is written; not once another process has taken it over with another model.

        Whose templates were changed is sealed anew, by which others see that.
        """
        self._touched.clear()
        with self.transaction():
            self._check_model()
            for kind, name in self.execute(STRANGE).fetchall():
                log.warning("%s: the %s %r is none of edgeface's, and is removed", self.path, kind, name)
                self.execute(f'DROP {kind} "{name.replace(chr(34), 2 * chr(34))}"')
            yield
            for person_id in self._touched:
                row = self.execute("SELECT sealed FROM people WHERE id = ?", (person_id,)).fetchone()
                with suppress(SealError):  # of whom even the name is damaged
                    if row:
                        self.change_person(person_id, self.vault.unseal(row[0], PersonRecord, "person", person_id))

    @contextmanager
    def patience(self, seconds: float) -> Iterator[None]:
        """Wait for other processes for so long only."""
        before = self.execute("PRAGMA busy_timeout").fetchone()[0]
        self.execute(f"PRAGMA busy_timeout={round(1000 * seconds)}")
        try:
            yield
        finally:
            self.execute(f"PRAGMA busy_timeout={before}")

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Open the file if it could not be opened before, and turn what SQLite and the vault raise into one line."""
        if self._shut is not None:
            self._try_again()
        with self._told():
            yield

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            reason = str(error)
            if reason == "attempt to write a readonly database":
                full = "the disk is full" if lacks_room(self.path) else reason
                reason = f"{'the file system is read-only' if is_read_only(self.path) else full}: nothing can be changed"
            raise GalleryError(f"{self.path}: {reason}") from None
        except (sqlite3.DatabaseError, SealError) as error:
            raise GalleryError(f"{self.path}: not a gallery, or damaged ({error})") from None

    def close(self) -> None:
        """Close the file."""
        if self._shut is None:
            self._disconnect()


def need(file: "Database | sqlite3.Connection", *tables: str) -> None:
    """Make tables that are made only when they are first needed, unless they are there."""
    for table in tables:
        file.execute(SCHEMA[table])


def erasure_mark(person_id: str) -> bytes:
    """What stays of somebody who was forgotten: a digest of the random id."""
    return blake2s(person_id.encode(), digest_size=16).digest()


def model_of(path: Path) -> str | None:
    """The digest of the model that a gallery's file belongs to; nothing if there is none, or it cannot tell.

    Raises:
        ConfigError: its path can never be one.
    """
    refuse_for_good(path, "gallery.path")
    with suppress(OSError, ValueError, sqlite3.Error):
        if path.exists():
            with closing(connect_to_read(path)) as connection:
                return str(connection.execute("SELECT model FROM meta").fetchone()[0])
    return None
