"""Forgets people at the time that their rules say, and what can be undone no longer."""

import logging
import math
from collections.abc import Mapping

from edgeface.errors import GalleryError, TraceError
from edgeface.gallery.audit import Audit
from edgeface.gallery.rules import Rules
from edgeface.gallery.store import Gallery
from edgeface.interfaces import Tick

log = logging.getLogger(__name__)
LOOK, COUNT = 60.0, 600.0
"""Seconds between two looks whether somebody's time has come, and at most until the gallery's clock is asked, too."""
LOOK_IN_BIN = 5.0
"""Seconds between two looks how many changes can be undone."""


class Expiry:
    """Forgets in time; ``undoable`` is the number of changes that can be undone."""

    def __init__(self, gallery: Gallery, audit: Audit) -> None:
        self._gallery, self._audit = gallery, audit
        self._looked = self._counted = self._emptied = self._seen = -math.inf
        self._version: tuple[int, int] | None = None
        self.undoable = 0

    def on_tick(self, tick: Tick, rules: Mapping[str, Rules]) -> None:
        self._expire_bin(tick.moment.time)
        now, wall = tick.moment.time, tick.moment.wall
        if now - self._looked < LOOK:
            return
        self._looked = now
        ends = [theirs.expires for theirs in rules.values() if theirs.expires is not None]
        if not ends or (min(ends) > wall and now - self._counted < COUNT):
            return
        self._counted = now
        try:
            for person_id in self._gallery.expired():
                self._forget(person_id)
        except GalleryError as error:
            log.error("who is to be forgotten by now may still be there: %s", error)

    def _expire_bin(self, now: float) -> None:
        if now - self._seen < LOOK_IN_BIN:
            return
        self._seen = now
        try:
            if now - self._emptied >= COUNT:
                self._gallery.expire_bin()
                self._emptied = now
            if self._version != (version := self._gallery.version):
                self.undoable, self._version = self._gallery.bin.count(), version
        except GalleryError as error:
            log.debug("what can be undone no longer may still be there: %s", error)

    def _forget(self, person_id: str) -> None:
        try:
            self._gallery.forget(person_id)
            log.info("%s is forgotten: their time is over", person_id)
        except TraceError as error:
            log.warning("%s", error)  # the event keeper wipes the trace
        finally:
            done = all(person.id != person_id for person in self._gallery.people())
            self._audit.note("forget", person=person_id, expired=True, done=done)
