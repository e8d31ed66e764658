"""Opens SQLite files of ours, on a worn-out card too."""

import errno
import logging
import os
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from edgeface.errors import ConfigError
from edgeface.platform.files import give_to_owner

log = logging.getLogger(__name__)
LOCK_TIMEOUT_S = 5.0  # seconds to wait for another process that is writing
LOOP_LOCK_TIMEOUT_S = 0.25  # the same for the daemon's loop, which may try again later
ROOM = 256 * 1024  # bytes that a new write-ahead log and its index need, and a few more
LONGEST = 504  # bytes of a database's path at most: SQLite takes 512, and needs some for the files beside it
FILE_ERRORS = OSError, sqlite3.Error
"""What is raised where a database's file cannot be read or written."""
FULL = "the disk is full: people are recognized, but nothing can be changed until there is room"
READ_ONLY = "the file system is read-only: people are recognized, but nothing can be changed"


def refuse_for_good(path: Path, setting: str, longest: int = LONGEST) -> None:
    """Raise ``ConfigError`` if there can never be a file at this path until the ``setting`` is changed."""
    shown = f"{setting}: {str(path)[:200]}".replace("\0", "\\0")
    if "\0" in str(path):
        raise ConfigError(f"{shown}: a path has no NUL")
    if len(os.fsencode(path.absolute())) > longest:
        raise ConfigError(f"{shown}…: a path of over {longest} bytes is too long")
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.ENOTDIR, errno.ELOOP):
            raise ConfigError(f"{shown}: {error.strerror}") from None
        return
    if not stat.S_ISREG(mode):
        raise ConfigError(f"{shown}: {'Is a directory' if stat.S_ISDIR(mode) else 'it is no file, but a pipe or a device'}")


def connect(path: Path) -> sqlite3.Connection:
    """Open a file, made with its folder for its owner alone; to read only on a read-only disk. Raise ``OSError`` if not."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make(path)
    except OSError as error:
        if error.errno != errno.EROFS or not path.is_file():
            raise
        log.warning("%s: %s", path, READ_ONLY)
        return connect_to_read(path)
    return _readable(sqlite3.connect(path, timeout=LOCK_TIMEOUT_S, isolation_level=None))


def _readable(connection: sqlite3.Connection) -> sqlite3.Connection:
    """Make a connection read damaged text, too: one damaged letter must not end the reading of a table."""
    connection.text_factory = lambda data: data.decode("utf-8", "backslashreplace")
    return connection


def snapshot(path: Path, copy: Path) -> None:
    """Copy a database as it is now, for its owner alone; others may write meanwhile. Raise ``OSError`` or ``sqlite3.Error``."""
    os.close(os.open(path, os.O_RDONLY))
    with closing(connect(copy)) as target, closing(connect(path)) as source:
        source.backup(target)


def _make(path: Path) -> None:
    """Make the file for its owner alone, or see that it can be written.

    A file that is there is never opened: closing it would release every lock that this process holds on it through other
    connections (fcntl(2)). Another process would then take itself for the last user, and remove the write-ahead log.
    """
    try:
        made = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        give_to_owner(made, path.parent)
        os.close(made)
    except FileExistsError:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)) from None
        if not os.access(path, os.W_OK):
            reason = errno.EROFS if is_read_only(path) else errno.EACCES
            raise OSError(reason, os.strerror(reason)) from None


def connect_to_read(path: Path) -> sqlite3.Connection:
    """Open the file ``path`` where nothing can be written."""
    # A log that a killed process left is read, too; without one, SQLite must be told that it need not make one.
    left = path.with_name(f"{path.name}-wal")
    return _readable(connect_as(path, "mode=ro" if left.exists() and left.stat().st_size else "immutable=1"))


def connect_as(path: Path, how: str) -> sqlite3.Connection:
    """Open a file that is there, in one of the ways that SQLite's URIs have."""
    return sqlite3.connect(f"file:{quote(str(path))}?{how}", uri=True, timeout=LOCK_TIMEOUT_S, isolation_level=None)


def is_open_elsewhere(path: Path) -> bool:
    """Return whether another process has a database open; if none has, join its log with the file."""
    try:
        with closing(connect(path)) as connection:
            connection.execute("PRAGMA journal_mode=DELETE").fetchall()
    except sqlite3.Error as error:
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    return False


def remove(path: Path) -> None:
    """Remove a database with the files that SQLite keeps beside it."""
    for part in ("", "-journal", "-wal", "-shm"):
        path.with_name(path.name + part).unlink(missing_ok=True)


def is_read_only(path: Path) -> bool:
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def lacks_room(path: Path) -> bool:
    return shutil.disk_usage(path).free < ROOM


def is_full(path: Path, error: sqlite3.Error) -> bool:
    """Return whether an error means that a disk has no room for the files that SQLite keeps beside the database."""
    wanted = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
    return wanted and path.is_file() and lacks_room(path)
