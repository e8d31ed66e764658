"""Joins the faces of successive frames to tracks: one track is one stay of one face in front of the camera."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgeface.recognition.fusion import Probe, fuse, weight
from edgeface.recognition.visit_liveness import VisitLiveness
from edgeface.types import Box, Observation

Array = NDArray[np.float64]

MEMORY = 40
"""Views of a track that are kept at most."""
NEAR = 1.0
"""Seconds for which a box predicts where the face will be next."""
STEADINESS = 0.5
"""Share of the known speed in the next estimate of it."""
MAX_TRACKS = 256
"""Tracks that are kept at most, unless more faces are in one frame."""


@dataclass(slots=True, eq=False)
class Track:
    """A face followed over frames; times are monotonic seconds, speeds pixels a second.

    ``last_seen`` counts every detection; ``first_view`` and ``last_view`` count only views with an embedding, if any.
    """

    id: int
    last_seen: float
    latest: Observation
    first_view: float = 0.0
    last_view: float = 0.0
    views: list[Observation] = field(default_factory=list)
    probe: Probe | None = None
    liveness: VisitLiveness = field(default_factory=VisitLiveness)
    speed: tuple[float, float] = (0.0, 0.0)

    def add(self, time: float, observation: Observation, different: float) -> None:
        """Take in one more view; only views with an embedding count for the probe.

        When ``MEMORY`` is full, the poorer of each two neighbours goes: the rest spans the whole stay, densest at its end.
        """
        if time > self.last_seen:
            passed, old, new = time - self.last_seen, self.latest.face.box, observation.face.box
            steps = (new.left + new.width / 2 - old.left - old.width / 2, new.top + new.height / 2 - old.top - old.height / 2)
            x, y = (STEADINESS * v + (1 - STEADINESS) * step / passed for v, step in zip(self.speed, steps, strict=True))
            self.speed = x, y
        self.last_seen, self.latest = time, observation
        if observation.embedding is None:
            return
        if not self.views:
            self.first_view = time
        self.last_view = time
        if len(self.views) == MEMORY:
            self.views = [max(pair, key=weight) for pair in zip(self.views[::2], self.views[1::2], strict=True)]
        self.views.append(observation)
        self.probe = fuse(self.views, different)

    def forget_views(self) -> None:
        """Forget whose face it may be; the place stays known."""
        self.views, self.probe = [], None

    def has_ended(self, time: float, keep: float) -> bool:
        """Return whether the face is gone: ``keep`` seconds after its last view; without views, ``NEAR`` after it was seen."""
        return time - self.last_view > keep if self.views else time - self.last_seen > NEAR


class Tracker:
    """Assigns observations to tracks, the best fit first.

    A face belongs to the track with the greatest sum of overlap and cosine. If the cosine is under ``different``, it is another
    person, and the overlap does not count. A face that overlaps no track joins one at a cosine of ``same`` or more. Without an
    embedding, it joins a track by overlap alone. A track ends ``keep`` seconds after its last view with an embedding.
    """

    def __init__(self, *, same: float, different: float, keep: float, min_overlap: float = 0.3) -> None:
        self._same, self._different, self._keep, self._min_overlap = same, different, keep, min_overlap
        self.next_id = 1
        self.tracks: list[Track] = []

    def update(self, time: float, observations: Sequence[Observation]) -> tuple[list[Track], list[Track]]:
        """Take in a frame's observations; return the tracks that were seen and those that have ended."""
        affinity = self._affinity(time, observations)
        owner: dict[int, Track] = {}
        taken: set[int] = set()
        rows, columns = np.nonzero(affinity)
        for best in np.lexsort((columns, rows, affinity[rows, columns]))[::-1]:
            i, j = int(rows[best]), int(columns[best])
            if i not in taken and j not in owner:
                taken.add(i)
                owner[j] = self.tracks[i]
        for j, observation in enumerate(observations):
            if j not in owner:
                owner[j] = Track(self.next_id, time, observation)
                self.next_id += 1
                self.tracks.append(owner[j])
            owner[j].add(time, observation, self._different)
        tracks, self.tracks = self.tracks, [track for track in self.tracks if not track.has_ended(time, self._keep)]
        self._forget_glimpses(time)
        going_on = {track.id for track in self.tracks}
        return list(owner.values()), [track for track in tracks if track.id not in going_on]

    def _forget_glimpses(self, time: float) -> None:
        """Remove surplus tracks that are out of sight: those with the fewest views first, of these the longest away."""
        surplus = len(self.tracks) - MAX_TRACKS
        if surplus <= 0:
            return
        away = sorted((len(track.views), track.last_seen, track.id) for track in self.tracks if track.last_seen != time)
        forgotten = {number for _, _, number in away[:surplus]}
        self.tracks = [track for track in self.tracks if track.id not in forgotten]

    def _affinity(self, time: float, observations: Sequence[Observation]) -> Array:
        """Return how well each face (column) fits each track (row); 0 is not at all."""
        tracks = self.tracks
        if not tracks or not observations:
            return np.zeros((len(tracks), len(observations)))
        passed = np.array([time - track.last_seen for track in tracks])
        last, new = _array(track.latest.face.box for track in tracks), _array(seen.face.box for seen in observations)
        moved = last.copy()
        moved[:, :2] += np.array([track.speed for track in tracks]) * passed[:, None]
        overlap = np.maximum(intersection_over_union(last, new), intersection_over_union(moved, new))
        overlap[passed > NEAR] = 0.0
        near = overlap >= self._min_overlap
        # Of two tracks in one place, a face without an embedding is rather the one that was seen more.
        views = np.array([len(track.views) for track in tracks])
        affinity = np.where(near, overlap * ((views + 1) / (views + 2))[:, None], 0.0)
        affinity[[track.has_ended(time, self._keep) for track in tracks]] = 0.0
        known = [i for i, track in enumerate(tracks) if track.probe is not None]
        clear = [j for j, seen in enumerate(observations) if seen.embedding is not None]
        if known and clear:
            probes = np.stack([track.probe.vector for track in tracks if track.probe is not None])
            similarity = probes @ np.stack([seen.embedding.vector for seen in observations if seen.embedding is not None]).T
            both = np.ix_(known, clear)
            enough = similarity >= np.where(near[both], self._different, self._same)
            affinity[both] = np.where(enough, overlap[both] + similarity, 0.0)
        return affinity


def _array(boxes: Iterable[Box]) -> Array:
    return np.array([(box.left, box.top, box.width, box.height) for box in boxes], np.float64)


def intersection_over_union(a: Array, b: Array) -> Array:
    """Return shared over joint area, 0 to 1, of each box in ``a`` (rows) and each in ``b``: left, top, width, height."""
    one, other = a[:, None, :], b[None, :, :]
    ends = np.minimum(one[..., :2] + one[..., 2:], other[..., :2] + other[..., 2:])
    shared = np.maximum(ends - np.maximum(one[..., :2], other[..., :2]), 0.0).prod(axis=-1)
    joint = one[..., 2:].prod(axis=-1) + other[..., 2:].prod(axis=-1) - shared
    return np.asarray(np.divide(shared, joint, out=np.zeros_like(shared), where=joint > 0))
