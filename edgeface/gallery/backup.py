"""Makes, lists and checks backups of a gallery, deletes the oldest, and erases forgotten people from them."""

import errno
import logging
import os
import shutil
import sqlite3
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from edgeface.config.schema import Config
from edgeface.errors import GalleryError
from edgeface.gallery import copies
from edgeface.gallery.copies import Copy, NoCopyError, Pause, go_on
from edgeface.gallery.encryption import Key, find_key
from edgeface.gallery.guard import lock_within
from edgeface.gallery.sqlite import ROOM, remove
from edgeface.platform.files import give_to_owner, write_whole

log = logging.getLogger(__name__)
LOCK_TIMEOUT_S, SHORT_LOCK_TIMEOUT_S = 60.0, 10.0
"""Seconds to wait for another process that works on the same backups; the short time while a user waits for an answer."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A copy that was read to its end; ``state`` is "ok", or says why the copy is not good, and then there are no contents."""

    copy: Copy
    size: int
    state: str
    contents: copies.CopyContents | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """A new copy, and the names of earlier ones that are damaged."""

    new: Listed
    people: int
    damaged: tuple[str, ...]


class Gentle:
    """A pause that leaves most of the processor to the daemon's loop, beside which a thread works."""

    WORK, LONGEST = 0.005, 0.2

    def __init__(self, rest: float = 4.0) -> None:
        self._rest, self._since = rest, time.monotonic()

    def __call__(self) -> None:
        """After five milliseconds of work, rest ``rest`` times as long, 0.2 s at most."""
        worked = time.monotonic() - self._since
        if worked > self.WORK:
            time.sleep(min(self._rest * worked, self.LONGEST))
            self._since = time.monotonic()


class Backups:
    """The copies of one gallery in one folder. Methods raise ``GalleryError`` if folder, gallery or key cannot be used."""

    def __init__(self, settings: Config) -> None:
        self.gallery, self.folder, self._key_file = settings.gallery_path, settings.backup_folder, settings.key_path
        self.keep, self._keep_faces = settings.backup.keep, settings.gallery.keep_faces
        self._given = bool(settings.backup.folder)

    def find(self) -> list[Copy]:
        """Return the copies of this gallery by their names, the oldest first."""
        mark = copies.key_mark(self.key())
        return [copy for copy in self._all() if copy.key == mark]

    def listing(self, pause: Pause = go_on) -> list[Listed]:
        """Read every copy in the folder to its end, and return them, the newest first."""
        found = self._all()
        key = self.key() if found else None
        return [self._listed(copy, key, pause) for copy in reversed(found)] if key else []

    def make(self, pause: Pause = go_on) -> Made | None:
        """Make a copy, if anybody is enrolled; once it was read to its end, delete the oldest copies over the limit."""
        with self.lock():
            new = self.write(pause)
        gone, damaged = self._judge(new, pause) if new else ([], ())
        with self.lock():
            for copy in gone:
                with suppress(OSError):
                    remove(copy.path)
                log.info("%s: newer backups have taken its place", copy.path.name)
            self._cleanse()
        return Made(new, new.contents.people, damaged) if new and new.contents else None

    def write(self, pause: Pause = go_on) -> Listed | None:
        """Make a copy as ``make`` does, within ``lock``, and delete none."""
        key = self.key()
        if not self.gallery.exists():
            raise GalleryError(f"{self.gallery}: there is no gallery")
        self._refuse_without_room()
        copy = self._new_copy(key)
        part = copy.path.with_name(f".{copy.path.name}.part")
        try:
            with self._failures():
                copies.write(self.gallery, part, pause)
                flush(part)
                contents = copies.check(part, key, pause)
                if not contents.people:
                    return None
                part.rename(copy.path)
                flush(self.folder)
                return Listed(copy, copy.path.stat().st_size, "ok", contents)
        finally:
            with suppress(OSError):
                remove(part)

    def write_as_it_is(self) -> Copy:
        """Copy the bytes of a damaged gallery, within ``lock`` and while no process has the gallery open."""
        copy = self._new_copy(self.key())
        with self._failures():
            for suffix in ("-wal", ""):
                source = self.gallery.with_name(self.gallery.name + suffix)
                if source.exists():
                    write_whole(copy.path.with_name(copy.path.name + suffix), source.read_bytes(), 0o600)
        return copy

    def erase_forgotten(self) -> list[str]:
        """Erase people who were forgotten in the gallery from every copy; return the copies or the folder where that fails."""
        if self.is_away():
            return [str(self.folder)]
        if not self._all():
            return []
        with self.lock(SHORT_LOCK_TIMEOUT_S):
            return self._cleanse()

    def holding(self, people: Collection[str], pause: Pause = go_on) -> list[str]:
        """Return the copies that hold one of these people, or that cannot be read, or the folder if it is not there."""
        if not people:
            return []
        if self.is_away():
            return [str(self.folder)]
        found = []
        for copy in self._all():
            pause()
            with suppress(NoCopyError):
                if not copies.holds(copy.path, people):
                    continue
            found.append(copy.path.name)
        return found

    def is_away(self) -> bool:
        """Return whether a folder that was set is not there, such as one on a stick that is not plugged in."""
        return self._given and not self.folder.is_dir()

    @contextmanager
    def lock(self, timeout: float | None = None) -> Iterator[None]:
        """Be the only process that changes the copies, within ``timeout`` seconds; first remove what killed ones left."""
        with self._failures():
            if self.is_away():
                raise GalleryError(f"{self.folder} is not there: mount or make it, or set backup.folder")
            self.folder.mkdir(mode=0o700, exist_ok=True)
            handle = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                give_to_owner(handle, self.folder)
                if not lock_within(LOCK_TIMEOUT_S if timeout is None else timeout, handle):
                    raise GalleryError(f"{self.folder}: another process is at the backups; try again in a minute")
                for part in self.folder.glob(".gallery-*.db.part*"):
                    part.unlink(missing_ok=True)
                yield
            finally:
                os.close(handle)

    def key(self) -> Key:
        key = find_key(self._key_file, create=False)
        if key is None:
            raise GalleryError(f"{self.gallery}: its key is missing ({self._key_file}); without it copies are of no use")
        return key

    def _all(self) -> list[Copy]:
        with self._failures():
            return copies.find_copies(self.folder)

    def _new_copy(self, key: Key) -> Copy:
        number = 1 + max((copy.number for copy in self._all()), default=0)
        return Copy.named(self.folder, copies.key_mark(key), number, time.time())

    def _listed(self, copy: Copy, key: Key, pause: Pause) -> Listed:
        size = 0
        try:
            size = copy.path.stat().st_size
            return Listed(copy, size, "ok", copies.check(copy.path, key, pause))
        except copies.ForeignCopyError:
            return Listed(copy, size, copies.FOREIGN)
        except NoCopyError as error:
            return Listed(copy, size, str(error) if copy.key == copies.key_mark(key) else copies.FOREIGN)
        except OSError as error:
            return Listed(copy, size, error.strerror or str(error))

    def _refuse_without_room(self) -> None:
        size = self.gallery.stat().st_size + ROOM
        free = shutil.disk_usage(self.folder).free
        if free < size:
            room = f"a copy needs {size / 1e6:.1f} MB, {free / 1e6:.1f} MB are free"
            raise GalleryError(f"{self.folder}: the disk is full: {room}; make room, or set backup.folder")

    def _judge(self, new: Listed, pause: Pause) -> tuple[list[Copy], tuple[str, ...]]:
        """Return the copies over the limit, now that there is a new one, and the names of damaged ones that stay."""
        key = self.key()
        listing = [new if copy == new.copy else self._listed(copy, key, pause) for copy in self.find()]
        gone = surplus([(one.copy.number, one.contents is not None) for one in listing], self.keep)
        stay = [one for one in listing if one.copy.number not in gone]
        damaged = tuple(one.copy.path.name for one in stay if one.contents is None)
        return [one.copy for one in listing if one.copy.number in gone], damaged

    def _cleanse(self) -> list[str]:
        """Do the work of ``erase_forgotten``, within ``lock``."""
        erased, key = copies.erased_in(self.gallery), find_key(self._key_file, create=False)
        left = []
        for copy in self._all():
            try:
                if count := copies.cleanse(copy.path, erased, key, keep_faces=self._keep_faces):
                    log.info("%s: %d who were forgotten are erased from the backup", copy.path.name, count)
            except NoCopyError as error:
                log.warning("%s: who was forgotten cannot be erased from the backup: %s", copy.path.name, error)
                left.append(copy.path.name)
        return left if erased else []

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except NoCopyError as error:
            raise GalleryError(f"{self.gallery}: no good copy can be made of it ({error}); edgeface gallery restore") from None
        except sqlite3.Error as error:
            full = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL
            reason = "the disk is full; make room, or set backup.folder" if full else error
            raise GalleryError(f"{self.folder}: {reason}") from None
        except OSError as error:
            raise GalleryError(f"{error.filename or self.folder}: {error.strerror or error}") from None


def surplus(copies: Sequence[tuple[int, bool]], keep: int) -> set[int]:
    """Return the numbers of copies over the limit; ``copies`` are numbers, and whether each is good. Keep all if ``keep`` is 0.

    The ``keep`` newest good copies stay. Others do not count, and are over the limit if they are older than these.
    """
    good = sorted(number for number, sound in copies if sound)
    if not keep or len(good) < keep:
        return set()
    return {number for number, _ in copies if number < good[-keep]}


def flush(path: Path) -> None:
    """Write a file, or the names in a folder, through to the disk, and have later reads of a file come from there."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
        if path.is_file():
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    except OSError as error:
        if error.errno != errno.EINVAL or path.is_file():  # from a folder of a network file system
            raise
    finally:
        os.close(handle)
