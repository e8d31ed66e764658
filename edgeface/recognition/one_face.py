"""Lets one face of a frame have a person's name: of several, the one with the best fused score."""

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from edgeface.recognition.tracking import Track


class Claim(NamedTuple):
    """A track that shows a person, or has their visit, and its fused score."""

    track: Track
    person_id: str
    score: float


class OneFace:
    """Remembers of whom a track is not, because a better face of the same person was in one frame with it.

    One person is not two faces, so a track that has lost a name does not get it when it is alone later: it may be a mirror, a
    photo or somebody alike. It gets the name only in a frame in which it is the better face.
    """

    def __init__(self) -> None:
        self._lost: defaultdict[int, set[str]] = defaultdict(set)

    def decide(self, claims: Iterable[Claim]) -> None:
        """Take in the claims of one frame."""
        by_person: defaultdict[str, list[Claim]] = defaultdict(list)
        for claim in claims:
            by_person[claim.person_id].append(claim)
        for person_id, rivals in by_person.items():
            if len(rivals) > 1:
                best = max(rivals, key=lambda claim: claim.score)
                self._lost[best.track.id].discard(person_id)
                for claim in rivals:
                    if claim is not best:
                        self._lost[claim.track.id].add(person_id)

    def lost(self, track: Track, person_id: str | None) -> bool:
        return track.id in self._lost and person_id in self._lost[track.id]

    def forget(self, tracks: Iterable[Track]) -> None:
        for track in tracks:
            self._lost.pop(track.id, None)
