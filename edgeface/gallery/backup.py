"""The backups of a gallery: made whole or not at all, checked, kept to a number, and without those who were forgotten."""

import errno
import fcntl
import logging
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from edgeface.config.schema import Config
from edgeface.errors import GalleryError
from edgeface.gallery.copies import (
    FOREIGN,
    Contents,
    Copy,
    ForeignCopyError,
    NoCopyError,
    Pause,
    check,
    cleanse,
    erased_in,
    find_copies,
    go_on,
    key_mark,
)
from edgeface.gallery.encryption import Key, find_key
from edgeface.gallery.sqlite import ROOM, connect, connect_to_read, is_read_only
from edgeface.platform.files import give_to_owner, write_whole

log = logging.getLogger(__name__)
PAGES = 256
"""Pages, of 4 kB mostly, that are copied without a pause."""
PATIENCE, SHORT_PATIENCE = 60.0, 10.0
"""Seconds to wait for another process that is at the same backups: to make one, and while somebody waits to be told."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A copy that was read to its end; ``state`` is "ok", or why it is no good copy, and then there are no contents."""

    copy: Copy
    size: int
    state: str
    contents: Contents | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """A new copy, and the names of those before it that can no longer be read to their end."""

    new: Listed
    people: int
    damaged: tuple[str, ...]


class Gentle:
    """A pause that leaves most of the processor to the loop beside whose thread the work is done."""

    WORK, LONGEST = 0.005, 0.2

    def __init__(self, rest: float = 4.0) -> None:
        self._rest, self._since = rest, time.monotonic()

    def __call__(self) -> None:
        """Rest after five milliseconds of work, for so many times as long."""
        worked = time.monotonic() - self._since
        if worked > self.WORK:
            time.sleep(min(self._rest * worked, self.LONGEST))
            self._since = time.monotonic()


class _RestlessError(Exception):
    """Others write to the gallery so often that copying it in steps comes to no end."""


class Backups:
    """The copies of one gallery in one folder. Those that another key sealed are told, and left alone."""

    def __init__(self, settings: Config) -> None:
        self.gallery, self.folder, self._key_file = settings.gallery_path, settings.backup_folder, settings.key_path
        self.keep, self._keep_faces, self._given = (
            settings.backup.keep,
            settings.gallery.keep_faces,
            bool(settings.backup.folder),
        )

    def find(self) -> list[Copy]:
        """The copies of this gallery by their names, the oldest first.

        Raises:
            GalleryError: the folder or the key cannot be read.
        """
        mark = key_mark(self.key())
        return [copy for copy in self._all() if copy.key == mark]

    def listing(self, pause: Pause = go_on) -> list[Listed]:
        """Every copy in the folder, each read to its end, the newest first.

        Raises:
            GalleryError: the folder or the key cannot be read.
        """
        copies = self._all()
        key = self.key() if copies else None
        return [self._listed(copy, key, pause) for copy in reversed(copies)] if key else []

    def make(self, pause: Pause = go_on) -> Made | None:
        """Make a copy of the gallery as it is now, and let go of the oldest that are too many; none if nobody is enrolled.

        Nothing is let go unless the new copy was read to its end.

        Raises:
            GalleryError: there is no gallery, it is damaged, or the copy cannot be written.
        """
        with self.lock():
            new = self.write(pause)
        gone, damaged = self._judge(new, pause) if new else ([], ())
        with self.lock():
            for copy in gone:
                _remove(copy.path)
                log.info("%s: newer backups have taken its place", copy.path.name)
            self._cleanse()
        return Made(new, new.contents.people, damaged) if new and new.contents else None

    def write(self, pause: Pause = go_on) -> Listed | None:
        """As ``make``, within ``lock``, and without letting go of any."""
        key = self.key()
        if not self.gallery.exists():
            raise GalleryError(f"{self.gallery}: there is no gallery")
        self._refuse_without_room()
        copy = self._new_copy(key)
        part = copy.path.with_name(f".{copy.path.name}.part")
        try:
            with self._failures():
                self._copy(part, pause)
                flush(part)
                contents = check(part, key, pause)
                if not contents.people:
                    return None
                part.rename(copy.path)
                flush_folder(self.folder)
                return Listed(copy, copy.path.stat().st_size, "ok", contents)
        finally:
            _remove(part)

    def write_as_it_is(self) -> Copy:
        """Copy the gallery's bytes, within ``lock`` and while no process has it open: it is damaged, and no good copy.

        Raises:
            GalleryError: the copy cannot be written.
        """
        copy = self._new_copy(self.key())
        with self._failures():
            for suffix in ("-wal", ""):
                source = self.gallery.with_name(self.gallery.name + suffix)
                if source.exists():
                    write_whole(copy.path.with_name(copy.path.name + suffix), source.read_bytes(), 0o600)
        return copy

    def erase_forgotten(self) -> list[str]:
        """Erase from every copy who was forgotten in the gallery; the copies in which that cannot be done, or their folder.

        Raises:
            GalleryError: the folder or the gallery cannot be read.
        """
        if self.is_away():
            return [str(self.folder)]
        if not self._all():
            return []
        with self.lock(SHORT_PATIENCE):
            return self._cleanse()

    def is_away(self) -> bool:
        """Whether a folder that was set is not there, such as one on a stick that is not plugged in."""
        return self._given and not self.folder.is_dir()

    @contextmanager
    def lock(self, patience: float | None = None) -> Iterator[None]:
        """Be the only one to change the copies; what a killed process has left of one is removed.

        Raises:
            GalleryError: the folder is not there or cannot be written, or another process does not end.
        """
        with self._failures():
            if self.is_away():
                raise GalleryError(f"{self.folder} is not there: mount or make it, or set backup.folder")
            self.folder.mkdir(mode=0o700, exist_ok=True)
            handle = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                give_to_owner(handle, self.folder)
                _wait_for(handle, self.folder, PATIENCE if patience is None else patience)
                for part in self.folder.glob(".gallery-*.db.part*"):
                    part.unlink(missing_ok=True)
                yield
            finally:
                os.close(handle)

    def key(self) -> Key:
        """The key of the gallery and its copies.

        Raises:
            GalleryError: it is not there.
        """
        key = find_key(self._key_file, create=False)
        if key is None:
            raise GalleryError(f"{self.gallery}: its key is missing ({self._key_file}); without it copies are of no use")
        return key

    def _all(self) -> list[Copy]:
        with self._failures():
            return find_copies(self.folder)

    def _new_copy(self, key: Key) -> Copy:
        number = 1 + max((copy.number for copy in self._all()), default=0)
        return Copy.named(self.folder, key_mark(key), number, time.time())

    def _listed(self, copy: Copy, key: Key, pause: Pause) -> Listed:
        size = 0
        try:
            size = copy.path.stat().st_size
            return Listed(copy, size, "ok", check(copy.path, key, pause))
        except ForeignCopyError:
            return Listed(copy, size, FOREIGN)
        except NoCopyError as error:
            return Listed(copy, size, str(error) if copy.key == key_mark(key) else FOREIGN)
        except OSError as error:
            return Listed(copy, size, error.strerror or str(error))

    def _refuse_without_room(self) -> None:
        size = self.gallery.stat().st_size + ROOM
        free = shutil.disk_usage(self.folder).free
        if free < size:
            raise GalleryError(
                f"{self.folder}: the disk is full: a copy needs {size / 1e6:.1f} MB, {free / 1e6:.1f} MB are free; "
                "make room, or set backup.folder"
            )

    def _copy(self, part: Path, pause: Pause) -> None:
        """Copy the gallery as of one moment, but not its events and pictures: they are not to be kept for as long."""
        with closing(connect(part)) as target, closing(self._source()) as source:
            for setting in (
                "journal_mode=OFF",
                "synchronous=OFF",
                "secure_delete=ON",
            ):  # the file is nothing until it has its name
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
            target.execute("DROP TABLE IF EXISTS pictures")
            target.execute("DELETE FROM events")

    def _source(self) -> sqlite3.Connection:
        """A connection of its own; the file is opened by SQLite alone, which would else lose its locks on it."""
        if is_read_only(self.gallery):
            return connect_to_read(self.gallery)
        return connect(self.gallery)

    def _judge(self, new: Listed, pause: Pause) -> tuple[list[Copy], tuple[str, ...]]:
        """Which copies are too many, now that there is a new one; the names of those that stay and are damaged."""
        key = self.key()
        listing = [new if copy == new.copy else self._listed(copy, key, pause) for copy in self.find()]
        gone = surplus([(one.copy.number, one.contents is not None) for one in listing], self.keep)
        stay = [one for one in listing if one.copy.number not in gone]
        damaged = tuple(one.copy.path.name for one in stay if one.contents is None)
        return [one.copy for one in listing if one.copy.number in gone], damaged

    def _cleanse(self) -> list[str]:
        """Within ``lock``, as ``erase_forgotten``."""
        erased, key = erased_in(self.gallery), find_key(self._key_file, create=False)
        left = []
        for copy in self._all():
            try:
                if count := cleanse(copy.path, erased, key, keep_faces=self._keep_faces):
                    log.info("%s: %d who were forgotten are erased from the backup", copy.path.name, count)
            except NoCopyError as error:
                log.warning("%s: who was forgotten cannot be erased from the backup: %s", copy.path.name, error)
                left.append(copy.path.name)
        return left if erased else []

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Turn what goes wrong into one line that says what to do."""
        try:
            yield
        except NoCopyError as error:
            raise GalleryError(f"{self.gallery}: no good copy can be made of it ({error}); edgeface gallery restore") from None
        except sqlite3.Error as error:
            full = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL
            raise GalleryError(
                f"{self.folder}: {'the disk is full; make room, or set backup.folder' if full else error}"
            ) from None
        except OSError as error:
            raise GalleryError(f"{error.filename or self.folder}: {error.strerror or error}") from None


def surplus(copies: Sequence[tuple[int, bool]], keep: int) -> set[int]:
    """Which of these copies, each a number and whether it is good, are too many; none where ``keep`` is 0.

    The ``keep`` newest good ones stay. What is not good counts for nothing, and goes with the good ones that are as old.
    """
    good = sorted(number for number, sound in copies if sound)
    if not keep or len(good) < keep:
        return set()
    return {number for number, _ in copies if number < good[-keep]}


def _wait_for(handle: int, folder: Path, patience: float) -> None:
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise GalleryError(f"{folder}: another process is at the backups; try again in a minute") from None
        time.sleep(0.05)


def flush(path: Path) -> None:
    """Have a file on the disk, and what is read of it from there."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(handle)


def flush_folder(path: Path) -> None:
    """Have the names in a folder on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # of a network's file system
            raise
    finally:
        os.close(handle)


def _remove(path: Path) -> None:
    with suppress(OSError):
        for part in ("", "-journal", "-wal"):
            path.with_name(path.name + part).unlink(missing_ok=True)
