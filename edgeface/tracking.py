"""Faces of one frame after another -> tracks: one track is one stay of one face in front of the camera."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from edgeface.evidence import Evidence, combine, weight
from edgeface.types import Box, Observation

MEMORY = 40
"""Views of a track that count, at most."""

NEAR = 1.0
"""Seconds for which a box says where the face will be next."""

STEADINESS = 0.5
"""Share of the known speed that a new step leaves as it was."""


@dataclass(slots=True, eq=False)
class Track:
    """A face followed over frames; times are monotonic seconds, speeds pixels a second."""

    id: int
    first_seen: float
    last_seen: float
    latest: Observation
    views: list[Observation] = field(default_factory=list)
    evidence: Evidence | None = None
    speed: tuple[float, float] = (0.0, 0.0)

    def add(self, time: float, observation: Observation, different: float) -> None:
        """Take in one more view; only those good enough to be embedded count as evidence.

        Of a full memory every other view goes, the poorer of two neighbours: what is left spans the whole stay, the newest
        views the most densely.
        """
        if time > self.last_seen:
            passed, old, new = time - self.last_seen, self.latest.face.box, observation.face.box
            steps = (new.left + new.width / 2 - old.left - old.width / 2, new.top + new.height / 2 - old.top - old.height / 2)
            x, y = (STEADINESS * v + (1 - STEADINESS) * step / passed for v, step in zip(self.speed, steps, strict=True))
            self.speed = x, y
        self.last_seen, self.latest = time, observation
        if observation.embedding is None:
            return
        if len(self.views) == MEMORY:
            self.views = [max(pair, key=weight) for pair in zip(self.views[::2], self.views[1::2], strict=True)]
        self.views.append(observation)
        self.evidence = combine(self.views, different)

    def forget_views(self) -> None:
        """Let go of all that says whose face it is; where it is stays known."""
        self.views, self.evidence = [], None

    def overlap(self, time: float, box: Box) -> float:
        """How well a box fits where the face was, or where it should be by now if it went on as it did."""
        last, passed = self.latest.face.box, time - self.last_seen
        if passed > NEAR:
            return 0.0
        moved = replace(last, left=last.left + self.speed[0] * passed, top=last.top + self.speed[1] * passed)
        return max(intersection_over_union(last, box), intersection_over_union(moved, box))


class Tracker:
    """Assigns observations to tracks, those that fit best first.

    A face belongs to the track whose box it overlaps and whom it resembles: overlap and mean cosine with its views count
    together. If the embedding says that it is another person (under ``different``), the overlap counts for nothing; a face
    that overlaps no track belongs to one that it resembles closely (at least ``same``).
    """

    def __init__(self, *, same: float, different: float, keep: float, min_overlap: float = 0.3) -> None:
        self._same, self._different, self._keep, self._min_overlap = same, different, keep, min_overlap
        self.next_id = 1
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
                owner[j] = Track(self.next_id, time, time, observation)
                self.next_id += 1
                self.tracks.append(owner[j])
            owner[j].add(time, observation, self._different)
        # Without a view there is nothing to know a face by when it comes back.
        ended = [track for track in self.tracks if time - track.last_seen > (self._keep if track.views else NEAR)]
        self.tracks = [track for track in self.tracks if track not in ended]
        return list(owner.values()), ended

    def _affinity(self, time: float, track: Track, observation: Observation) -> float:
        """How well a face fits a track: 0 is not at all."""
        overlap = track.overlap(time, observation.face.box)
        near = overlap >= self._min_overlap
        if observation.embedding is None or track.evidence is None:
            # Of two tracks in one place, whom nobody can tell is rather the one that was seen more.
            return overlap * (len(track.views) + 1) / (len(track.views) + 2) if near else 0.0
        likeness = float(track.evidence.vector @ observation.embedding.vector)
        if likeness < (self._different if near else self._same):
            return 0.0
        return overlap + likeness


def intersection_over_union(a: Box, b: Box) -> float:
    """Shared area over joint area of two boxes, 0 to 1."""
    width = min(a.left + a.width, b.left + b.width) - max(a.left, b.left)
    height = min(a.top + a.height, b.top + b.height) - max(a.top, b.top)
    shared = max(0.0, width) * max(0.0, height)
    joint = a.width * a.height + b.width * b.height - shared
    return shared / joint if joint > 0 else 0.0
