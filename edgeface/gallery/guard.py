"""Locks a gallery, for many processes at once or for one alone."""

import fcntl
import os
import time
from pathlib import Path

from edgeface.errors import GalleryError


class Guard:
    """A lock on a gallery until ``release``, or until the process ends however it does.

    The folder is locked: a full or read-only disk has no room for a new file, and SQLite's own locks on the database are lost
    with each descriptor that is closed. Nothing is locked in a closed folder, or on a file system without such locks.

    Raises:
        GalleryError: others still have the gallery open, or one has it alone, after ``timeout`` seconds.
    """

    def __init__(self, path: Path, *, alone: bool, timeout: float) -> None:
        self._descriptor: int | None = None
        try:
            self._descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            return
        deadline = time.monotonic() + timeout
        while True:
            try:
                fcntl.flock(self._descriptor, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    self.release()
                    others = "a daemon runs with it, or a command; stop it first"
                    raise GalleryError(f"{path}: {others if alone else 'another process changes it as a whole'}") from None
            except OSError:
                self.release()
                return
            time.sleep(0.02)

    def release(self) -> None:
        """Unlock the gallery."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
