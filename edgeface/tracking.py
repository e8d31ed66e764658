"""Faces of one frame after another -> tracks: one track is one stay of one face in front of the camera."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from edgeface.types import Box, Observation, Vector

MEMORY = 40
"""Views of a track that still count."""

NEAR = 1.0
"""Seconds for which a box says where the face will be next."""


@dataclass(slots=True, eq=False)
class Track:
    """A face followed over frames; times are monotonic seconds."""

    id: int
    first_seen: float
    last_seen: float
    latest: Observation
    views: deque[Observation] = field(default_factory=lambda: deque(maxlen=MEMORY))

    def add(self, time: float, observation: Observation) -> None:
        """Take in one more view; only those good enough to be embedded count as evidence."""
        self.last_seen, self.latest = time, observation
        if observation.embedding is not None:
            self.views.append(observation)

    def likeness(self, vector: Vector) -> float | None:
        """The higher of the cosines with the last view and with the mean of all, or none before the first view."""
        vectors = [view.embedding.vector for view in self.views if view.embedding is not None]
        if not vectors:
            return None
        mean = np.mean(vectors, axis=0)
        return max(float(vectors[-1] @ vector), float(mean @ vector) / max(float(np.linalg.norm(mean)), 1e-9))


class Tracker:
    """Assigns observations to tracks.

    A face belongs to the track whose box it overlaps, unless its embedding says it is another person (cosine under
    ``different``); a face without such a track belongs to one that it resembles (cosine of at least ``same``).
    """

    def __init__(self, *, same: float, different: float, keep: float, min_overlap: float = 0.3) -> None:
        self._same, self._different, self._keep, self._min_overlap = same, different, keep, min_overlap
        self._next_id = 1
        self.tracks: list[Track] = []

    def update(self, time: float, observations: Sequence[Observation]) -> tuple[list[Track], list[Track]]:
        """Take in a frame's observations; returns the tracks that were seen and those that have ended."""
        candidates = sorted(
            (
                (affinity, i, j)
                for i, track in enumerate(self.tracks)
                for j, observation in enumerate(observations)
                if (affinity := self._affinity(time, track, observation)) > 0
            ),
            reverse=True,
        )
        owner: dict[int, Track] = {}
        taken: set[int] = set()
        for _, i, j in candidates:
            if i not in taken and j not in owner:
                taken.add(i)
                owner[j] = self.tracks[i]
        for j, observation in enumerate(observations):
            if j not in owner:
                owner[j] = Track(self._next_id, time, time, observation)
                self._next_id += 1
                self.tracks.append(owner[j])
            owner[j].add(time, observation)
        # Without a view there is nothing to know a face by when it comes back.
        ended = [track for track in self.tracks if time - track.last_seen > (self._keep if track.views else NEAR)]
        self.tracks = [track for track in self.tracks if track not in ended]
        return list(owner.values()), ended

    def _affinity(self, time: float, track: Track, observation: Observation) -> float:
        likeness = track.likeness(observation.embedding.vector) if observation.embedding else None
        overlap = intersection_over_union(track.latest.face.box, observation.face.box)
        if time - track.last_seen <= NEAR and overlap >= self._min_overlap:
            return 1.0 + overlap if likeness is None or likeness >= self._different else 0.0
        return likeness if likeness is not None and likeness >= self._same else 0.0


def intersection_over_union(a: Box, b: Box) -> float:
    """Shared area over joint area of two boxes, 0 to 1."""
    width = min(a.left + a.width, b.left + b.width) - max(a.left, b.left)
    height = min(a.top + a.height, b.top + b.height) - max(a.top, b.top)
    shared = max(0.0, width) * max(0.0, height)
    joint = a.width * a.height + b.width * b.height - shared
    return shared / joint if joint > 0 else 0.0
