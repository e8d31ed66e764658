"""Makes backups when they are due, in a thread that uses little of the processor at a time."""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from threading import Event, Thread

from edgeface.config.schema import Config
from edgeface.errors import GalleryError
from edgeface.gallery.audit import Audit
from edgeface.gallery.backup import Backups, Gentle
from edgeface.gallery.contents import Templates
from edgeface.gallery.copies import Copy
from edgeface.gallery.sqlite import FILE_ERRORS
from edgeface.health import BackupStatus

log = logging.getLogger(__name__)
SETTLE = 60.0
"""Seconds from the start to the first copy at the soonest."""
CLOCK = 3600.0
"""Seconds from the start after which a copy is due although the newest has a later time, as the clock was or is wrong."""
RETRY = 3600.0
"""Seconds after which a copy that failed is tried again."""
LOOK = 60.0
"""Seconds between two checks whether a copy is due."""


class Schedule:
    """Decides when a copy is due.

    The monotonic clock gives the age of a copy that was made while this process ran, the wall clock that of an older one. A
    wall clock that is wrong, or is set meanwhile, causes one copy too many, not many, and not none for ever.
    """

    def __init__(self, every: float, now: float) -> None:
        self._every, self._started = every, now
        self._tried = -float("inf")
        self._newest: Copy | None = None
        self._seen, self._came = now, False
        self._looked = False

    def due(self, newest: Copy | None, now: float, wall: float) -> bool:
        if newest != self._newest or not self._looked:
            self._came = self._looked
            self._newest, self._seen, self._looked = newest, now, True
        if now - self._tried < min(RETRY, self._every) or now - self._started < SETTLE:
            return False
        if now - self._seen >= self._every:
            return True
        if self._came and newest:
            return False
        age = wall - newest.wall if newest else float("inf")
        return age >= self._every or (age < 0 and now - self._started >= CLOCK)

    def tried(self, now: float) -> None:
        self._tried = now


class _StoppedError(Exception):
    """The daemon ends, or takes new settings."""


class BackupTask:
    """Makes copies, and erases forgotten people from them, while the loop goes on; reports failures, and tries again."""

    def __init__(self, settings: Config) -> None:
        self._backups, self._audit = Backups(settings), Audit(settings.audit_path)
        self._wanted = settings.backup.keep > 0
        self._schedule = Schedule(3600 * settings.backup.every_hours, time.monotonic())
        self.state = BackupStatus(self._wanted)
        self._templates: Templates | None = None
        self._changed = True
        self._damaged: tuple[str, ...] = ()
        self._troubles: dict[str, str | None] = {}
        self._wake, self._stopping = Event(), False
        self._thread: Thread | None = None
        self._gentle = Gentle()

    def update(self, templates: Templates) -> None:
        """Start the thread, and wake it if the templates have changed; return at once. For the loop."""
        if self._thread is None:
            self._thread = Thread(target=self._run, name="backup", daemon=True)
            self._thread.start()
        if templates is not self._templates:
            self._templates, self._changed = templates, True
            self._wake.set()

    def close(self) -> None:
        """End the thread, and give up a copy that is being made."""
        self._stopping = True
        self._wake.set()
        if self._thread:
            self._thread.join(timeout=2.0)

    def _run(self) -> None:
        with suppress(_StoppedError):
            while not self._stopping:
                self._wake.clear()
                self._try("forgotten", self._erase)
                self._try("copy", self._make_if_due)
                self._try("damaged", self._count)
                self._wake.wait(LOOK)

    def _try(self, name: str, call: Callable[[], str | None]) -> None:
        """Run a call that returns a trouble or raises one; log the trouble if it is new."""
        try:
            trouble = call()
        except _StoppedError:
            raise
        except (GalleryError, *FILE_ERRORS) as error:
            trouble = f"no backup: {error}"
        except Exception:  # backups must go on after any fault
            log.exception("the backup failed")
            trouble = "no backup: it failed inside; the log has more"
        if trouble and trouble != self._troubles.get(name):
            log.error("%s", trouble)
        self._troubles[name] = trouble
        self.state = replace(self.state, trouble="; ".join(filter(None, self._troubles.values())) or None)

    def _erase(self) -> str | None:
        if not self._changed or self._backups.is_away():
            return self._troubles.get("forgotten")
        self._changed = False
        try:
            left = self._backups.erase_forgotten()
        except Exception:
            self._changed = True
            raise
        return f"who was forgotten may still be in {', '.join(left)}, which cannot be read: delete it" if left else None

    def _make_if_due(self) -> str | None:
        copies, now = self._backups.find(), time.monotonic()
        if not self._wanted or not self._schedule.due(copies[-1] if copies else None, now, time.time()):
            return self._troubles.get("copy")
        self._schedule.tried(now)
        made = self._backups.make(self._pause)
        self._changed = True  # a copy that could not be changed before may be changed now
        if made:
            name = made.new.copy.path.name
            self._audit.note("backup", copy=name, people=made.people)
            self._damaged = made.damaged
            log.info("backup %s: %d people, %.1f MB", name, made.people, made.new.size / 1e6)
        return None

    def _count(self) -> str | None:
        copies = self._backups.find()
        damaged = [copy.path.name for copy in copies if copy.path.name in self._damaged]
        good = [copy.wall for copy in copies if copy.path.name not in damaged]
        self.state = replace(self.state, copies=len(good), latest=good[-1] if good else None)
        return f"a backup cannot be read to its end: delete {', '.join(damaged)}" if damaged else None

    def _pause(self) -> None:
        if self._stopping:
            raise _StoppedError
        self._gentle()
