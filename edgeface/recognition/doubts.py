"""Finds why a track ends without a name."""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from edgeface.config.schema import PresenceSettings
from edgeface.recognition.matching import Matcher
from edgeface.recognition.tracking import Track
from edgeface.types import Decision, Face, Match, Observation, Reason
from edgeface.vision.alignment import eye_distance
from edgeface.wire.doubt import Doubt


@dataclass(slots=True)
class _Trail:
    """What has been seen of a track without a name, and the tracks that were in one frame with it.

    ``flaws`` are those of views that were too poor to be matched, ``weak`` those of views that were matched all the same.
    """

    began: float
    seen: int = 0
    pixels: float = 0.0
    flaws: Counter[Reason] = field(default_factory=Counter)
    weak: Counter[Reason] = field(default_factory=Counter)
    beside: set[int] = field(default_factory=set)
    withheld: bool = False
    lost_to: str | None = None


def too_small(face: Face) -> Observation:
    """Return the observation of a face that is too small to be looked at."""
    return Observation(face, 0.0, flaw=Reason.SMALL)


def is_too_small(seen: Observation) -> bool:
    return seen.flaw is Reason.SMALL and seen.quality == 0.0


class Doubts:
    """Keeps for each track what tells why it has no name.

    A face that was never in one frame with a visitor who is there, and had too few good views, may be that visitor turned away:
    it leaves no reason. Neither does a face that was seen less than ``min_votes`` times, and never well.
    """

    def __init__(self, settings: PresenceSettings) -> None:
        self._settings = settings
        self._trails: dict[int, _Trail] = {}

    def see(self, time: float, tracks: Collection[Track]) -> None:
        together = {track.id for track in tracks}
        for track in tracks:
            trail = self._trails.setdefault(track.id, _Trail(time))
            trail.seen += 1
            trail.pixels = max(trail.pixels, eye_distance(track.latest.face))
            trail.beside |= together
            if track.latest.flaw:
                (trail.weak if track.latest.embedding else trail.flaws)[track.latest.flaw] += 1

    def withhold(self, track: Track) -> None:
        """Note that a name waits until the face has looked alive."""
        self._trails[track.id].withheld = True

    def displace(self, track: Track, person_id: str) -> None:
        """Note that the name went to a better face of the frame."""
        self._trails[track.id].lost_to = person_id

    def end(self, track: Track, matcher: Matcher | None, visitors: Iterable[int]) -> tuple[Doubt, float] | None:
        """Forget a track; return why it has no name and its seconds, unless that says nothing about a visit.

        ``visitors`` are the tracks of those who are there.
        """
        trail = self._trails.get(track.id)
        self.forget(track)
        if trail is None or not (track.views or trail.seen >= self._settings.min_votes):
            return None
        match = matcher.match(track.probe.vector) if matcher and track.probe else None
        doubt = self._doubt(track, trail, match, matcher)
        if doubt.reason not in CERTAIN and not trail.beside.issuperset(visitors):
            return None
        return doubt, track.last_seen - trail.began

    def forget(self, track: Track) -> None:
        self._trails.pop(track.id, None)
        for other in self._trails.values():
            other.beside.discard(track.id)

    def stranger(self, track: Track, match: Match) -> Doubt:
        """Return the reason of a face that is announced as unknown."""
        trail = self._trails[track.id]
        return self._told(Reason.STRANGER, track, trail, match, needed=self._settings.unknown_after)

    def _doubt(self, track: Track, trail: _Trail, match: Match | None, matcher: Matcher | None) -> Doubt:
        accepted = match is not None and match.decision is not Decision.REJECT
        needed = self._settings.min_votes if accepted else self._settings.unknown_after
        reason, other = self._reason(track, trail, match), None
        if reason is Reason.LOOKALIKE and match and matcher and track.probe:
            other = matcher.second(track.probe.vector, match)
        return self._told(reason, track, trail, match, needed=needed, other_id=other)

    def _reason(self, track: Track, trail: _Trail, match: Match | None) -> Reason:
        good, poor = len(track.views), sum(trail.flaws.values())
        if match and match.decision is not Decision.REJECT and good >= self._settings.min_votes:
            if trail.lost_to == match.person_id:
                return Reason.DISPLACED
            if match.decision is Decision.ACCEPT:
                return Reason.NOT_ALIVE if trail.withheld else Reason.FEW
            return Reason.LOOKALIKE if match.score >= match.threshold else Reason.DOUBTFUL
        return trail.flaws.most_common(1)[0][0] if poor > good else Reason.FEW

    @staticmethod
    def _told(
        reason: Reason, track: Track, trail: _Trail, match: Match | None, *, needed: int, other_id: str | None = None
    ) -> Doubt:
        return Doubt(
            reason=reason,
            person_id=match.person_id if match else None,
            other_id=other_id,
            score=round(match.score, 4) if match else 0.0,
            threshold=round(match.threshold, 4) if match else 0.0,
            good=len(track.views),
            seen=trail.seen,
            needed=needed,
            pixels=round(trail.pixels, 1),
            flaw=_main(trail.weak, len(track.views)),
        )


def _main(flaws: Counter[Reason], views: int) -> Reason | None:
    """Return the commonest flaw, if at least half of the views have one."""
    return flaws.most_common(1)[0][0] if flaws and 2 * flaws.total() >= views else None


CERTAIN = frozenset({Reason.DOUBTFUL, Reason.LOOKALIKE, Reason.NOT_ALIVE, Reason.DISPLACED})
"""Reasons that rest on enough good views."""
