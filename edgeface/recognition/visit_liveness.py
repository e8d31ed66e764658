"""Decides over the views of one track whether a live person is there, by their looks and by motion."""

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from edgeface.types import Image, Landmarks, LivenessClass, PassiveScore
from edgeface.vision.liveness import ALIVE, Liveness
from edgeface.vision.passive_liveness import PassiveCard, fuse

ENOUGH = 3
"""Views whose looks decide together, at least."""
NEWEST = 30
"""Views whose looks decide together, at most."""


class Judgement(NamedTuple):
    """What a track shows. ``score``, 0 to 1, is how live it looks, or how a head moves there where looks are not scored."""

    kind: LivenessClass
    score: float | None


@dataclass(slots=True, eq=False)
class VisitLiveness:
    """The evidence of one track."""

    motion: Liveness = field(default_factory=Liveness)
    looks: deque[PassiveScore] = field(default_factory=lambda: deque(maxlen=NEWEST))

    def see(self, image: Image, landmarks: Landmarks, passive: PassiveScore | None, card: PassiveCard | None) -> None:
        """Take in one more view: an RGB frame, the landmarks of the face in it, and its looks, if they were scored.

        Motion, which takes longer, is looked at only while looks do not decide.
        """
        if passive:
            self.looks.append(passive)
        if card is None or len(self.looks) < ENOUGH or classify(fuse(self.looks), card) is None:
            self.motion.see(image, landmarks)

    def judge(self, card: PassiveCard | None) -> Judgement:
        """Judge what has been seen, by the thresholds of the network that scored the looks.

        Looks decide where their errors are rare: above ``live_at`` and below ``attack_at``, where no motion helps. Between the
        two, a head that moves like one is live.
        """
        moves = self.motion.score is not None and self.motion.score >= ALIVE
        by_motion = LivenessClass.LIVE if moves else LivenessClass.UNDECIDED
        if card is None or not self.looks:
            return Judgement(by_motion, self.motion.score)
        fused = fuse(self.looks)
        if len(self.looks) < ENOUGH:
            return Judgement(LivenessClass.UNDECIDED, fused.live)
        return Judgement(classify(fused, card) or by_motion, fused.live)


def classify(score: PassiveScore, card: PassiveCard) -> LivenessClass | None:
    """Return the class that the looks alone tell; ``None`` between the two thresholds."""
    if score.live >= card.live_at:
        return LivenessClass.LIVE
    if score.live >= card.attack_at:
        return None
    return LivenessClass.SCREEN if score.screen >= score.print else LivenessClass.PRINT
