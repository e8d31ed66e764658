"""Events that wait for a verdict: each with its embedding, never a picture; few, encrypted, and not for long."""

import logging
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from msgspec import Struct
from ulid import ULID

from edgeface import config
from edgeface.database import Database
from edgeface.errors import GalleryError
from edgeface.types import Event, EventType, Frame, Gap, Vector

log = logging.getLogger(__name__)
Verdict = Literal["confirmed", "rejected"]
HOUR = 3600.0
PATIENCE = 0.25
"""Seconds for which the daemon's loop waits for a gallery that another process is writing to."""


@dataclass(frozen=True, slots=True, eq=False)
class KeptEvent:
    """A ``recognized`` or ``unknown`` event as it is kept; ``person_id`` is whom it named, or as whom it was confirmed."""

    event_id: str
    event_type: str
    wall: float
    camera: str
    person_id: str | None
    score: float
    quality: float
    embedding: Vector
    verdict: Verdict | None = None


class _Record(Struct, frozen=True, array_like=True):
    event_type: str
    wall: float
    camera: str
    score: float
    quality: float
    vector: bytes
    verdict: Verdict | None


class EventStore:
    """The events in a gallery's file."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, event: Event, limits: config.Events) -> None:
        """Keep an event that has an embedding, and let go of what is over the limits.

        Raises:
            GalleryError: the gallery cannot be written, or another process is writing to it.
        """
        norm = 0.0 if event.embedding is None else float(np.linalg.norm(event.embedding))
        if event.embedding is None or norm == 0 or not limits.keep_days or not limits.max:
            return
        kept = KeptEvent(
            event.event_id,
            str(event.event_type),
            event.wall,
            event.camera,
            event.person_id if event.event_type is EventType.RECOGNIZED else None,
            event.score or 0.0,
            event.quality or 0.0,
            event.embedding / np.float32(norm),
        )
        with self._database.errors(), self._database.patience(PATIENCE), self._database.transaction():
            known = self._database.execute("SELECT 1 FROM people WHERE id = ?", (kept.person_id,)).fetchone()
            if kept.person_id is None or known:  # who is forgotten in this very moment leaves no event
                self._database.execute(
                    "INSERT OR REPLACE INTO events VALUES (?, ?, ?)", (kept.event_id, kept.person_id, self._sealed(kept))
                )
            self._expire(event.wall, limits)

    def expire(self, now: float, limits: config.Events) -> None:
        """Let go of what is over the limits; ``now`` is seconds since the Unix epoch.

        Raises:
            GalleryError: as ``keep``.
        """
        with self._database.errors(), self._database.patience(PATIENCE), self._database.transaction():
            self._expire(now, limits)

    def all(self) -> list[KeptEvent]:
        """Every kept event, the oldest first."""
        with self._database.errors():
            rows = self._database.execute("SELECT id, person_id, sealed FROM events ORDER BY id").fetchall()
            return [self._unsealed(*row) for row in rows]

    def find(self, event_id: str) -> KeptEvent:
        """The kept event with this id.

        Raises:
            GalleryError: there is none.
        """
        wanted = event_id.strip().upper()
        with self._database.errors():
            query = "SELECT id, person_id, sealed FROM events WHERE id = ?"
            ulid = re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{26}", wanted, re.ASCII)
            row = self._database.execute(query, (wanted,)).fetchone() if ulid else None
            if row is None:
                raise GalleryError(f"no event {event_id[:40]!r} is kept; see edgeface events list")
            return self._unsealed(*row)

    def judge(self, event: KeptEvent, person_id: str, verdict: Verdict) -> None:
        """Write a verdict to an event, within the transaction of the caller.

        Raises:
            GalleryError: the event is no longer kept.
        """
        judged = replace(event, person_id=person_id, verdict=verdict)
        change = "UPDATE events SET person_id = ?, sealed = ? WHERE id = ?"
        if not self._database.execute(change, (person_id, self._sealed(judged), judged.event_id)).rowcount:
            raise GalleryError(f"the event {event.event_id} is no longer kept")

    def _expire(self, now: float, limits: config.Events) -> None:
        oldest = str(ULID.from_timestamp(max(0.0, now - 24 * HOUR * limits.keep_days)))[:10]  # without its random part
        self._database.execute("DELETE FROM events WHERE id < ?", (oldest,))
        newest = "SELECT id FROM events ORDER BY id DESC LIMIT ?"
        self._database.execute(f"DELETE FROM events WHERE id NOT IN ({newest})", (limits.max,))

    def _sealed(self, event: KeptEvent) -> bytes:
        vector = np.asarray(event.embedding, "<f4").tobytes()
        record = _Record(event.event_type, event.wall, event.camera, event.score, event.quality, vector, event.verdict)
        return self._database.vault.seal(record, "event", event.event_id, event.person_id or "")

    def _unsealed(self, event_id: str, person_id: str | None, sealed: bytes) -> KeptEvent:
        record = self._database.vault.unseal(sealed, _Record, "event", event_id, person_id or "")
        return KeptEvent(
            event_id,
            record.event_type,
            record.wall,
            record.camera,
            person_id,
            record.score,
            record.quality,
            np.frombuffer(record.vector, "<f4").astype(np.float32),
            record.verdict,
        )


class EventKeeper:
    """Keeps what the daemon tells. A gallery that cannot be written is told once and stops nothing."""

    def __init__(self, events: EventStore, limits: config.Events) -> None:
        self._events, self._limits = events, limits
        self._failing = False
        self._expired = -math.inf

    def update(self, moment: Frame | Gap, events: Sequence[Event]) -> None:
        """Keep the events of this moment; once an hour, old ones go."""
        try:
            for event in events:
                self._events.keep(event, self._limits)
            if moment.time - self._expired >= HOUR:
                self._expired = moment.time
                self._events.expire(moment.wall, self._limits)
            elif not events:
                return
            self._failing = False
        except GalleryError as error:
            if not self._failing:
                log.warning("events are not kept: %s", error)
            self._failing = True
