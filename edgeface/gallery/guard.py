"""Who has a gallery open: many at once, or one alone who makes another gallery of it."""

import fcntl
import os
import time
from pathlib import Path

from edgeface.errors import GalleryError
from edgeface.gallery.sqlite import PATIENCE


class Guard:
    """A lock on a gallery until ``release``, or until the process ends however it does.

    It is on the folder, for it takes no file that a full or read-only disk has no room for, and SQLite's own locks on the file
    are lost with each descriptor that is closed. Where the file system knows no such locks, or the folder is closed to us, it
    guards nothing.

    Raises:
        GalleryError: others have the gallery open, or one has it alone, and they do not end in time.
    """

    def __init__(self, path: Path, *, alone: bool = False, patience: float | None = None) -> None:
        self._descriptor: int | None = None
        try:
            self._descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            return
        deadline = time.monotonic() + (PATIENCE if patience is None else patience)
        while True:
            try:
                fcntl.flock(self._descriptor, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    self.release()
                    who = (
                        "a daemon runs with it, or a command; stop it first"
                        if alone
                        else "another process changes it as a whole"
                    )
                    raise GalleryError(f"{path}: {who}") from None
            except OSError:
                self.release()
                return
            time.sleep(0.02)

    def release(self) -> None:
        """Let others have it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
