"""Forgets people at the time that their rules say."""

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


class Expiry:
    def __init__(self, gallery: Gallery, audit: Audit) -> None:
        self._gallery, self._audit = gallery, audit
        self._looked = self._counted = -math.inf

    def on_tick(self, tick: Tick, rules: Mapping[str, Rules]) -> None:
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

    def _forget(self, person_id: str) -> None:
        try:
            self._gallery.forget(person_id)
            log.info("%s is forgotten: their time is over", person_id)
        except TraceError as error:
            log.warning("%s", error)  # the event keeper wipes the trace
        finally:
            done = all(person.id != person_id for person in self._gallery.people())
            self._audit.note("forget", person=person_id, expired=True, done=done)
