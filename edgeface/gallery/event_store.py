"""Stores events that wait for a verdict, encrypted: each with its embedding, and with a picture if wanted."""

import logging
import re
import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from msgspec import Struct

from edgeface.config import schema
from edgeface.errors import GalleryError
from edgeface.gallery import retention
from edgeface.gallery.damage import Damage
from edgeface.gallery.database import Database
from edgeface.gallery.encryption import SealError
from edgeface.gallery.file_format import need
from edgeface.gallery.records import ImageRecord
from edgeface.gallery.retention import Clocks
from edgeface.gallery.sqlite import LOOP_LOCK_TIMEOUT_S
from edgeface.types import EventType, LivenessClass, Vector
from edgeface.wire.doubt import Doubt
from edgeface.wire.events import Event
from edgeface.wire.fields import ULID

log = logging.getLogger(__name__)
Verdict = Literal["confirmed", "rejected"]
HOUR = 3600.0
NAMELESS = frozenset({EventType.UNKNOWN, EventType.UNSURE})
UNSURE_SHARE = 0.2
"""Share of `events.max` that visits in doubt may take: a badly hung camera must not push out events with names."""


@dataclass(frozen=True, slots=True, eq=False)
class KeptEvent:
    """A kept ``recognized``, ``unknown`` or ``unsure`` event; ``person_id`` is the person whom it named or who was confirmed.

    ``embedding`` is all zeros if no view was good enough. ``doubt`` says why the event named nobody. All kept visits of one
    stranger have the same ``stranger_id``. ``liveness_class`` is as it was announced, ``None`` where it was not asked.
    """

    event_id: str
    event_type: str
    wall: float
    camera: str
    person_id: str | None
    score: float
    quality: float
    embedding: Vector
    verdict: Verdict | None = None
    doubt: Doubt | None = None
    stranger_id: str | None = None
    liveness_class: LivenessClass | None = None

    @property
    def shows_face(self) -> bool:
        return bool(self.embedding.any())

    @property
    def of_stranger(self) -> bool:
        """Tells whether the event named nobody, and nobody was confirmed since."""
        return self.event_type in NAMELESS and self.verdict != "confirmed"

    def without_face(self) -> "KeptEvent":
        return replace(self, embedding=np.zeros_like(self.embedding), stranger_id=None)


class _Record(Struct, frozen=True, array_like=True):
    event_type: str
    wall: float
    camera: str
    score: float
    quality: float
    vector: bytes
    verdict: Verdict | None
    doubt: Doubt | None = None
    stranger_id: str | None = None
    liveness_class: LivenessClass | None = None


class EventStore:
    """The events in a gallery's file. Every change raises ``GalleryError`` if the gallery cannot be written.

    Events are few enough to be read without an index, which may be damaged: plus signs in the queries keep SQLite from it.
    """

    def __init__(self, database: Database) -> None:
        self._database, self.clocks = database, Clocks()

    def keep(self, event: Event, limits: schema.EventsSettings, picture: bytes | None = None) -> None:
        """Keep an event that has an embedding, with its picture if there is one, and erase the oldest over the limits.

        Of visits in doubt, the embedding may be all zeros, and they are ``UNSURE_SHARE`` of all events at most. Unless the
        limits keep strangers, nothing of a face stays of an event that names nobody, nor of the one whose name it takes back.
        """
        if event.corrected and event.event_type is not EventType.RECOGNIZED and not limits.keep_strangers:
            self._take_face_of(event.corrected.event_id)
        unsure, norm = event.event_type is EventType.UNSURE, 0.0
        if event.embedding is not None:
            norm = float(np.linalg.norm(event.embedding))
        if event.embedding is None or not (norm or unsure) or not limits.keep_days or not limits.max:
            return
        who = event.person_id if event.event_type is EventType.RECOGNIZED else None
        told = event.event_id, str(event.event_type), event.wall, event.camera, who, event.score or 0.0, event.quality or 0.0
        embedding = event.embedding / np.float32(norm or 1.0)
        kept = KeptEvent(
            *told, embedding, doubt=event.doubt, stranger_id=event.stranger_id, liveness_class=event.liveness_class
        )
        if kept.of_stranger and not limits.keep_strangers:
            kept, picture = kept.without_face(), None
        concerned = {who, *((event.doubt.person_id, event.doubt.other_id) if event.doubt else ())} - {None}
        with self._database.errors(), self._database.lock_timeout(LOOP_LOCK_TIMEOUT_S), self._database.change():
            # A person who is forgotten in this very moment leaves no event.
            if all(self._database.has_person(str(person_id)) for person_id in concerned):
                insert = "INSERT OR REPLACE INTO events VALUES (?, ?, ?)"
                self._database.execute(insert, (kept.event_id, who, self._sealed(kept)))
                retention.forward(self._database, self.clocks)
                if picture is not None:
                    need(self._database, "pictures")
                    sealed = self._database.sealer.seal(ImageRecord(picture), "picture", kept.event_id)
                    self._database.execute("INSERT OR REPLACE INTO pictures VALUES (?, ?)", (kept.event_id, sealed))
            if unsure:
                need(self._database, "unsure")
                self._database.execute("INSERT OR IGNORE INTO unsure SELECT id FROM events WHERE +id = ?", (kept.event_id,))
                oldest = "SELECT event_id FROM unsure ORDER BY rowid DESC LIMIT -1 OFFSET ?"
                self._database.erase(f"DELETE FROM events WHERE +id IN ({oldest})", (int(limits.max * UNSURE_SHARE),))
            self._thin_out(limits)

    def expire(self, camera: str, limits: schema.EventsSettings, picture_hours: float = 0.0) -> None:
        """Erase events and pictures that are too many or too old; those of this ``camera`` if the settings keep none at all."""
        with self._database.errors(), self._database.lock_timeout(LOOP_LOCK_TIMEOUT_S), self._database.change():
            if not self._database.execute("SELECT 1 FROM events LIMIT 1").fetchone():
                return
            now = retention.forward(self._database, self.clocks)
            kept = "IN (SELECT event_id FROM kept WHERE since < ?)"
            if not limits.keep_days or not limits.max:
                self._erase("events WHERE +id", camera)  # other cameras may share the gallery
            else:
                self._thin_out(limits)
                self._erase_damaged()
                self._database.erase(f"DELETE FROM events WHERE +id {kept}", (now - 24 * HOUR * limits.keep_days,))
                if not limits.keep_strangers:
                    self._take_faces_of_strangers(camera)
            if not self._database.has_table("pictures"):
                return
            if not picture_hours:
                self._erase("pictures WHERE +event_id", camera)
            else:
                self._database.erase(f"DELETE FROM pictures WHERE +event_id {kept}", (now - HOUR * picture_hours,))

    def _erase_damaged(self) -> None:
        """Erase events that do not open any more: they would be erased in some days anyway."""
        self.all()
        for damage in [damage for damage in self._database.damaged if damage.kind == "event"]:
            log.warning("an event is damaged, and is erased")
            self._database.erase("DELETE FROM events WHERE rowid = ?", (damage.row,))
            self._database.damaged.discard(damage)

    def _erase(self, where: str, camera: str) -> None:
        for event in self.all():
            if event.camera == camera:
                self._database.erase(f"DELETE FROM {where} = ?", (event.event_id,))

    def _take_faces_of_strangers(self, camera: str) -> None:
        pictured = self.pictured()
        for event in self.all():
            shown = event.shows_face or event.stranger_id or event.event_id in pictured
            if event.camera == camera and event.of_stranger and shown:
                self._take_face(event)

    def _take_face_of(self, event_id: str) -> None:
        """Erase the face of an event, if it is kept and nobody has said whose it is."""
        with self._database.errors(), self._database.lock_timeout(LOOP_LOCK_TIMEOUT_S), self._database.change():
            for event in self.all():
                if event.event_id == event_id and event.verdict is None:
                    self._take_face(event)

    def _take_face(self, event: KeptEvent) -> None:
        bare = event.without_face()
        self._database.execute("UPDATE events SET sealed = ? WHERE +id = ?", (self._sealed(bare), bare.event_id))
        if self._database.has_table("pictures"):
            self._database.erase("DELETE FROM pictures WHERE +event_id = ?", (bare.event_id,))

    def picture(self, event_id: str) -> bytes | None:
        """Return the JPEG of an event's face, if one is kept."""
        with self._database.errors():
            for column in ("event_id", "+event_id") if self._database.has_table("pictures") else ():
                query = f"SELECT sealed FROM pictures WHERE {column} = ?"
                with suppress(SealError, sqlite3.DatabaseError):
                    for (sealed,) in self._database.execute(query, (event_id,)).fetchall():
                        return self._database.sealer.unseal(sealed, ImageRecord, "picture", event_id).data
            return None

    def pictured(self) -> set[str]:
        """Return the ids of the events of which a picture is kept."""
        with self._database.errors():
            there = self._database.has_table("pictures")
            return {row[0] for row in self._database.execute("SELECT event_id FROM pictures").fetchall()} if there else set()

    def dismiss(self, event_ids: Iterable[str]) -> int:
        """Erase events that are nobody's; return how many there were. Raise ``TraceError`` if the log keeps a trace."""
        with self._database.errors(), self._database.change():
            delete = "DELETE FROM events WHERE +id = ? AND person_id IS NULL"
            count = sum(self._database.erase(delete, (event_id,)) for event_id in event_ids)
        self._database.wipe(f"{count} events are erased")
        return count

    def all(self) -> list[KeptEvent]:
        """Return every kept event that is not damaged, the oldest first."""
        with self._database.errors():
            self._database.look_anew("event")
            rows = self._database.execute("SELECT rowid, id, person_id, sealed FROM events ORDER BY +id").fetchall()
            return [event for row in rows if (event := self._unsealed(*row))]

    def newest(self, most: int) -> list[KeptEvent]:
        """Return the events kept last that are not damaged, the oldest first; the wall clock may have been set back."""
        with self._database.errors(), self._database.lock_timeout(LOOP_LOCK_TIMEOUT_S):
            query = "SELECT rowid, id, person_id, sealed FROM events ORDER BY +rowid DESC LIMIT ?"
            rows = self._database.execute(query, (most,)).fetchall()
            return [event for row in reversed(rows) if (event := self._unsealed(*row))]

    def find(self, event_id: str) -> KeptEvent:
        """Return the kept event with this id. Raise ``GalleryError`` if there is none."""
        wanted = event_id.strip().upper()
        with self._database.errors():
            query = "SELECT rowid, id, person_id, sealed FROM events WHERE +id = ?"
            ulid = re.fullmatch(ULID, wanted, re.ASCII)
            row = self._database.execute(query, (wanted,)).fetchone() if ulid else None
            if row is None:
                raise GalleryError(f"no event {event_id[:40]!r} is kept; see edgeface events list")
            if event := self._unsealed(*row):
                return event
        raise GalleryError(f"the record of the event {wanted} is damaged; edgeface gallery check tells what cures it")

    def judge(self, event: KeptEvent, person_id: str | None, verdict: Verdict | None) -> None:
        """Write or take back a verdict, within a transaction of the caller. Raise ``GalleryError`` if the event is not kept."""
        judged = replace(event, person_id=person_id, verdict=verdict)
        change = "UPDATE events SET person_id = ?, sealed = ? WHERE +id = ?"
        if not self._database.execute(change, (person_id, self._sealed(judged), judged.event_id)).rowcount:
            raise GalleryError(f"the event {event.event_id} is no longer kept")

    def erase(self, event_id: str) -> int:
        """Erase an event, within a transaction of the caller; return how many there were."""
        return self._database.erase("DELETE FROM events WHERE +id = ?", (event_id,))

    def _thin_out(self, limits: schema.EventsSettings) -> None:
        newest = "SELECT id FROM events ORDER BY rowid DESC LIMIT ?"  # not by id: the clock may have been set back
        self._database.erase(f"DELETE FROM events WHERE id NOT IN ({newest})", (limits.max,))

    def _sealed(self, event: KeptEvent) -> bytes:
        vector = np.asarray(event.embedding, "<f4").tobytes()
        told = event.event_type, event.wall, event.camera, event.score, event.quality, vector, event.verdict
        record = _Record(*told, event.doubt, event.stranger_id, event.liveness_class)
        return self._database.sealer.seal(record, "event", event.event_id, event.person_id or "")

    def _unsealed(self, row: int, event_id: str, person_id: str | None, sealed: bytes) -> KeptEvent | None:
        record = self._database.opened(Damage("event", row, ""), sealed, _Record, "event", event_id, person_id or "")
        if record is None:
            return None
        told = event_id, record.event_type, record.wall, record.camera, person_id, record.score, record.quality
        vector = np.frombuffer(record.vector, "<f4").astype(np.float32)
        return KeptEvent(*told, vector, record.verdict, record.doubt, record.stranger_id, record.liveness_class)
