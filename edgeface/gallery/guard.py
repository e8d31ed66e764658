"""Locks a gallery, for many processes at once or for one alone."""

import fcntl
import os
import time
from pathlib import Path

from edgeface.errors import GalleryError


def lock_within(timeout: float, descriptor: int, how: int = fcntl.LOCK_EX) -> bool:
    """Lock an open file or folder, as flock(2) does; return false if others still hold it after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
        time.sleep(0.02)


def lock_gallery(path: Path, *, alone: bool, timeout: float) -> int | None:
    """Lock a gallery until the descriptor that is returned is closed, or the process ends however it does.

    The folder is locked: a full or read-only disk has no room for a new file, and SQLite's own locks on the database are lost
    with each descriptor that is closed. Nothing is locked in a closed folder, or on a file system without such locks. Raise
    ``GalleryError`` if others still have the gallery open, or one has it alone, after ``timeout`` seconds.
    """
    descriptor = None
    try:
        descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        if lock_within(timeout, descriptor, fcntl.LOCK_EX if alone else fcntl.LOCK_SH):
            return descriptor
    except OSError:
        if descriptor is not None:
            os.close(descriptor)
        return None
    os.close(descriptor)
    others = "a daemon runs with it, or a command; stop it first" if alone else "another process changes it as a whole"
    raise GalleryError(f"{path}: {others}")
