"""Counts frames, faces and events from the daemon's start on, across reloads."""

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable

from edgeface.health import Histogram
from edgeface.wire.events import Event

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Upper bounds, in seconds, of the histogram of search times; a last class is open."""


class Counters:
    def __init__(self) -> None:
        self.started = time.monotonic()
        self.frames = self.skipped = self.faces = self.dropped = 0
        self.events: Counter[str] = Counter()
        self.last_event: Event | None = None
        self._classes = [0] * (len(BOUNDS) + 1)
        self._seconds = 0.0

    def count_frame(self, faces: int, seconds: float | None) -> None:
        """Count a frame, its faces, and the seconds that the search took, ``None`` if it was not searched."""
        self.frames += 1
        if seconds is None:
            self.skipped += 1
            return
        self.faces += faces
        self._classes[bisect_left(BOUNDS, seconds)] += 1
        self._seconds += seconds

    def count_events(self, events: Iterable[Event]) -> None:
        for event in events:
            self.events[str(event.event_type)] += 1
            self.last_event = event

    @property
    def durations(self) -> Histogram:
        return Histogram(BOUNDS, tuple(self._classes), self._seconds)
