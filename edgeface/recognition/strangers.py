"""Recognizes strangers who have been here before, among the events that are kept."""

import secrets
from collections import defaultdict
from dataclasses import replace

import numpy as np

from edgeface.config.schema import EventsSettings
from edgeface.errors import GalleryError
from edgeface.gallery.event_store import EventStore
from edgeface.types import EventType, Vector
from edgeface.vision.model_card import ModelCard
from edgeface.wire.events import Event

JOINED = 0.01
"""Chance that a visit is joined to another stranger's, however many there are: each comparison gets its share."""
COMPARED = 500
"""Events with which a stranger is compared at most, the newest: as many as are kept by default."""


class Strangers:
    """Gives each stranger an id, random and stable over the visits that are kept, and numbers the visits.

    A stranger is the one to whose kept visits the mean cosine is the largest. With the last kept visit the id
    is gone. There is none where no strangers are kept, or the gallery cannot be read.
    """

    def __init__(self, events: EventStore, limits: EventsSettings, card: ModelCard) -> None:
        self._events, self._card = events, card
        self._keeps = bool(limits.keep_strangers and limits.keep_days and limits.max)

    def tell(self, events: list[Event]) -> list[Event]:
        """Return the events, the ``unknown`` ones with the stranger's id and the number of this visit."""
        return [self._told(event) if event.event_type is EventType.UNKNOWN and self._keeps else event for event in events]

    def _told(self, event: Event) -> Event:
        norm = 0.0 if event.embedding is None else float(np.linalg.norm(event.embedding))
        if event.embedding is None or not norm:
            return event
        try:
            stranger_id, before = self._recognize(event.embedding / np.float32(norm))
        except GalleryError:  # the event keeper tells what is wrong
            return event
        return replace(event, stranger_id=stranger_id, visits=before + 1)

    def _recognize(self, vector: Vector) -> tuple[str, int]:
        """Return the stranger's id, and how many of their visits are kept."""
        visits: defaultdict[str, list[Vector]] = defaultdict(list)
        for kept in self._events.newest(COMPARED):
            if kept.stranger_id and kept.person_id is None:
                visits[kept.stranger_id].append(kept.embedding)
        similarity = {stranger: float((np.stack(vectors) @ vector).mean()) for stranger, vectors in visits.items()}
        nearest = max(similarity, key=lambda stranger: similarity[stranger], default="")
        if nearest and similarity[nearest] >= self._card.threshold(JOINED / len(visits)):
            return nearest, len(visits[nearest])
        return f"s_{secrets.token_hex(8)}", 0
