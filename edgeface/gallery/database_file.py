"""Keeps an SQLite file open for long: on a full disk, beside other processes, and when another file takes its place."""

import logging
import math
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from edgeface.errors import GalleryError, TraceError
from edgeface.gallery import sqlite
from edgeface.gallery.encryption import SealError
from edgeface.gallery.guard import lock_gallery

log = logging.getLogger(__name__)
ROOM_EVERY_S = 30.0  # seconds between two looks for room on a full disk
RETRY_S = 5.0  # seconds between two attempts to open a file that could not be opened
FRESH_S = 2.0  # seconds for which files count as just changed: file times are coarse, and two commits may have the same


class DatabaseFile:
    """An open SQLite file; ``_open``, of a subclass, checks it and brings it up to date.

    A ``serving`` file stays open for long: one that cannot be opened now is tried again, and so is a file that takes its place.
    Many processes may have the file open at once, or one ``alone``. Opening raises ``GalleryError`` if the file, unless it is
    ``serving``, cannot be opened, or others have it open who must not; ``ConfigError`` if it can never be there.
    """

    def __init__(self, path: Path, *, serving: bool, alone: bool) -> None:
        self.path = path
        self.unwiped = self._serving = serving  # a daemon that was killed may have left a log
        self._alone = alone
        self._room_after = math.inf
        self._reopened = self._changes = 0
        self._last_stamp: list[tuple[int, int, int]] | None = None
        self._asking_until = self._retry_after = -math.inf
        self._shut: str | None = None
        sqlite.refuse_for_good(path, "gallery.path")
        self._was_there = path.exists()
        try:
            self._connect()
        except GalleryError as error:
            if not serving:
                raise
            self._give_up(error)

    def _open(self) -> None:
        raise NotImplementedError

    def _connect(self) -> None:
        self._guard: int | None = None
        try:
            self._connection = sqlite.connect(self.path)
        except (OSError, sqlite3.Error) as error:
            raise GalleryError(f"{self.path}: {getattr(error, 'strerror', None) or error}") from None
        try:
            timeout = sqlite.LOOP_LOCK_TIMEOUT_S if self._serving else sqlite.LOCK_TIMEOUT_S
            self._guard = lock_gallery(self.path, alone=self._alone, timeout=timeout)
            with self._told():
                self._open_though_full()
            self._inode = self.path.stat().st_ino
        except BaseException:
            self._disconnect()
            raise

    def _disconnect(self) -> None:
        self._connection.close()
        if self._guard is not None:
            os.close(self._guard)
            self._guard = None

    def _give_up(self, error: GalleryError) -> None:
        self._shut, self._last_stamp = str(error), self._stamp()
        self._retry_after = time.monotonic() + RETRY_S
        log.error("%s", error)

    def let_go(self, error: GalleryError) -> None:
        if self._shut is None:
            self._disconnect()
            self._give_up(error)

    def close(self) -> None:
        if self._shut is None:
            self._disconnect()

    def _try_again(self) -> None:
        """Open the file or raise ``GalleryError``; not if it has just changed: somebody may be copying another to its place."""
        if time.monotonic() >= self._retry_after:
            self._retry_after = time.monotonic() + RETRY_S
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
        """Open the file, on a full disk to read only; ``foreign_changes`` looks for room again."""
        try:
            self._open()
        except sqlite3.OperationalError as error:
            if not sqlite.is_full(self.path, error):
                raise
            log.warning("%s: %s", self.path, sqlite.FULL)
            self._connection.close()
            self._connection = sqlite.connect_to_read(self.path)
            self._open()
            self._room_after = time.monotonic() + ROOM_EVERY_S

    def _look_for_room(self) -> None:
        if time.monotonic() < self._room_after:
            return
        self._room_after = time.monotonic() + ROOM_EVERY_S
        if not sqlite.lacks_room(self.path):
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

    def write_ahead(self) -> None:
        """Change to a write-ahead log. SQLite does not wait for another process that changes to one, too."""
        deadline = time.monotonic() + sqlite.LOCK_TIMEOUT_S
        while True:
            try:
                self.execute("PRAGMA journal_mode=WAL").fetchall()
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
            time.sleep(0.02)

    def execute(self, statement: str, values: Sequence[object] | Mapping[str, object] = ()) -> sqlite3.Cursor:
        try:
            cursor = self._connection.execute(statement, values)
        except UnicodeDecodeError:  # in SQLite's own message about a damaged schema
            raise sqlite3.DatabaseError("the schema is damaged") from None
        if cursor.rowcount > 0 and statement.startswith(("DELETE", "UPDATE")):
            self.unwiped = True
        return cursor

    def erase(self, statement: str, values: Sequence[object] = ()) -> int:
        """Run a DELETE, with fresh indexes if they are damaged; return how many rows it deleted."""
        try:
            return self.execute(statement, values).rowcount
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            self.execute("REINDEX")
            return self.execute(statement, values).rowcount

    def has_table(self, name: str) -> bool:
        return bool(self.execute("SELECT count(*) FROM sqlite_master WHERE name = ?", (name,)).fetchone()[0])

    def wipe_log(self) -> bool:
        """Empty the write-ahead log, where old pages linger; return false if a reader is in the way."""
        with self.lock_timeout(sqlite.LOOP_LOCK_TIMEOUT_S if self._serving else sqlite.LOCK_TIMEOUT_S):
            wiped = not self.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        self.unwiped = not wiped
        return wiped

    def wipe(self, done: str) -> None:
        """Empty the write-ahead log after a change that erased something. Raise ``TraceError`` if a reader is in the way."""
        with self.errors():
            if self.unwiped and not self.wipe_log():
                raise TraceError(f"{done}, but {self.path}-wal keeps a trace until the program that reads it now ends")

    @property
    def foreign_changes(self) -> int:
        """A number that every commit of another connection changes.

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
                self._last_stamp, self._asking_until = stamp, time.monotonic() + FRESH_S
            if time.monotonic() < self._asking_until:
                self._changes = int(self.execute("PRAGMA data_version").fetchone()[0]) + self._reopened * 2**32
            return self._changes

    def _stamp(self) -> list[tuple[int, int, int]]:
        found = []
        for path in (self.path, self.path.with_name(f"{self.path.name}-wal")):
            with suppress(FileNotFoundError):
                status = path.stat()
                found.append((status.st_ino, status.st_size, status.st_mtime_ns))
        return found

    @contextmanager
    def transaction(self, kind: str = "IMMEDIATE") -> Iterator[None]:
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
        except sqlite3.DatabaseError:  # after a read by a damaged index, too, which then was done without the index
            if kind != "DEFERRED":
                raise
            if self._connection.in_transaction:
                self.execute("ROLLBACK")

    @contextmanager
    def lock_timeout(self, seconds: float) -> Iterator[None]:
        before = self.execute("PRAGMA busy_timeout").fetchone()[0]
        self.execute(f"PRAGMA busy_timeout={round(1000 * seconds)}")
        try:
            yield
        finally:
            self.execute(f"PRAGMA busy_timeout={before}")

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Open the file if it could not be opened before, and turn errors of SQLite and decryption into one line."""
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
                full = "the disk is full" if sqlite.lacks_room(self.path) else reason
                reason = f"{'the file system is read-only' if sqlite.is_read_only(self.path) else full}: nothing can be changed"
            raise GalleryError(f"{self.path}: {reason}") from None
        except (sqlite3.DatabaseError, SealError) as error:
            raise GalleryError(f"{self.path}: not a gallery, or damaged ({error})") from None
