"""Decides whose face a probe is, if anybody's."""

import numpy as np
from numpy.typing import NDArray

from edgeface.config import schema
from edgeface.gallery.contents import Templates
from edgeface.types import Decision, Match, Vector
from edgeface.vision.model_card import ModelCard

SAME_VIEW = 0.91
"""Cosine from which two views are one, and the second adds nothing.

Of two different photos of one person, 1 % are nearer than 0.83 (2,104 photos of 421 held-out people of celeba-train); of two
pictures made of one photo, 99.9 % are nearer than 0.95 (an earlier network, 1,407 photos of 300 people of celeba-dev).
"""


def similarity(templates: NDArray[np.float32], probe: Vector) -> float:
    """Return the score of one person, given all of their templates, shape (n, dimensions)."""
    centre = templates.sum(axis=0)
    nearest = float((templates @ probe).max())
    return (nearest + float(centre @ probe) / max(float(np.linalg.norm(centre)), 1e-9)) / 2


class Matcher:
    """Matches probes against a snapshot of the gallery.

    A person's score is the mean of two cosines: with the nearest of their templates, and with the centre of them all, which a
    single bad template can hardly move. A stranger is compared with every template, so each comparison gets only its share of
    the wanted false-positive identification rate: FAR = FPIR / templates (the union bound on 1 - (1 - FAR)^n).

    A visit is one probe, the mean of its views (fusion.py), and one comparison a template: its FPIR is that of one view.
    Measured, the bound is just met with one template a person; with three, there is half as much again to spare.

    A negative template is a rival of its person, like a second person: a probe that is nearer to it is not that person's, and
    a probe whose lead over it is under the margin names nobody.
    """

    def __init__(self, templates: Templates, card: ModelCard, settings: schema.MatchingSettings) -> None:
        self._people, self._owners, self._vectors = templates.people, templates.owners, templates.vectors
        self.known = {person.id: person.name for person in templates.people}
        self._not_owners, self._negatives = templates.not_owners, templates.negatives
        self._lengths = np.maximum(templates.lengths, 1e-9)
        count = max(1, len(self._vectors))
        self.accept = card.threshold(settings.target_fpir / count)
        self.unsure = min(self.accept, card.threshold(settings.unsure_fpir / count))
        self._margin, self._probability = settings.margin, card.probability

    def match(self, probe: Vector) -> Match:
        """Decide about a probe, shape (dimensions,): one view's unit vector, or the mean of several."""
        if not len(self._vectors):
            return Match(Decision.REJECT, None, None, 0.0, self.accept, 0.0, 0.0)
        return self.decide(probe, self.scores(probe))

    def decide(self, probe: Vector, scores: NDArray[np.float32]) -> Match:
        """Decide about a probe from the score of everybody, which must not be nobody."""
        rivals = np.full(len(self._people), -1.0, np.float32)
        if len(self._negatives):
            np.maximum.at(rivals, self._not_owners, self._negatives @ probe)
        eligible = np.where(rivals > scores, -1.0, scores)
        best = int(np.argmax(eligible if (rivals <= scores).any() else scores))
        score = float(scores[best])
        margin = score - max(float(np.delete(eligible, best).max(initial=0.0)), float(rivals[best]))
        if eligible[best] >= self.accept and margin >= self._margin:
            decision = Decision.ACCEPT
        elif eligible[best] >= self.unsure:
            decision = Decision.UNSURE
        else:
            decision = Decision.REJECT
        person = self._people[best]
        return Match(decision, person.id, person.name, score, self.accept, margin, self._probability(score))

    def scores(self, probe: Vector) -> NDArray[np.float32]:
        """Return the score of everybody, in the order of the templates' people."""
        cosines, count = self._vectors @ probe, len(self._people)
        nearest = np.full(count, -1.0, np.float32)
        np.maximum.at(nearest, self._owners, cosines)
        # The cosine with the centre is the mean of the cosines over the length of the mean.
        centre = np.bincount(self._owners, cosines, count) / self._lengths
        return np.asarray((nearest + centre) / 2, np.float32)

    def second(self, probe: Vector, match: Match) -> str | None:
        """Return the person next to the one of a match; ``None`` if a face rejected as theirs is nearer still, or if alone."""
        scores = self.scores(probe)
        rank = [int(index) for index in np.argsort(scores)[::-1] if self._people[index].id != match.person_id]
        return self._people[rank[0]].id if rank and float(scores[rank[0]]) >= match.score - match.margin - 1e-6 else None

    def score_of(self, person_id: str, probe: Vector) -> float:
        """Return the score of one person, -1 if they are not known."""
        scores = zip(self._people, self.scores(probe), strict=True) if len(self._vectors) else ()
        return next((float(score) for person, score in scores if person.id == person_id), -1.0)
