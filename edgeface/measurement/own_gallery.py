"""Measure the errors of the owner's own gallery, from its templates and the kept events, and propose ``matching.target_fpir``.

Rates are those of ISO/IEC 19795-1:2021, with intervals by a bootstrap over people: trials of one person are not independent.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil, log

import numpy as np

from edgeface.config import schema
from edgeface.gallery.contents import Templates
from edgeface.gallery.event_store import KeptEvent
from edgeface.gallery.store import Gallery
from edgeface.measurement.evaluate import TARGETS
from edgeface.recognition.clustering import SAME_FAR, group
from edgeface.recognition.matching import Matcher, similarity
from edgeface.types import EventType
from edgeface.vision.model_card import ModelCard

NEVER = -1.0  # score of a trial that no threshold lets through

RESAMPLES = 2000
MOST_STRANGERS = 1000
"""Events of strangers, the newest, that are grouped by person: the work grows with the cube of their number."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One probe of a person, mated or not, against a gallery of ``templates`` templates.

    ``score`` is the highest threshold at which the probe is announced: as its own person if it is mated, else as anybody.
    """

    person: str
    mated: bool
    score: float
    templates: int


@dataclass(frozen=True, slots=True)
class ErrorRate:
    """A share of ``trials``, with a 95 % interval over the ``people`` who made them."""

    count: int
    trials: int
    people: int
    rate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Errors:
    target_fpir: float
    fpir: ErrorRate
    fnir: ErrorRate


@dataclass(frozen=True, slots=True)
class Proposal:
    target_fpir: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class OwnReport:
    """Errors at the configured target by source, those of all trials at every target from loose to strict, and a proposal.

    ``unjudged`` is the number of ``recognized`` events without a verdict, which count for nothing.
    """

    model: str
    people: int
    templates: int
    unjudged: int
    wanted_fpir: float
    by_source: dict[str, Errors]
    curve: list[Errors]
    proposal: Proposal


def evaluate_own(
    gallery: Gallery, card: ModelCard, settings: schema.MatchingSettings, wanted_fpir: float | None = None
) -> OwnReport:
    """Measure a gallery's errors; the proposal keeps to ``wanted_fpir``, else to the configured target.

    Raise ``GalleryError`` if the gallery cannot be read.
    """
    templates, events, wanted = gallery.templates(), gallery.events.all(), wanted_fpir or settings.target_fpir
    trials = {
        "templates": list(template_trials(templates, card, settings)),
        "events": list(event_trials(gallery, events, card, settings)),
    }
    everything = [trial for source in trials.values() for trial in source]
    targets = sorted({settings.target_fpir, *TARGETS}, reverse=True)
    curve = [errors(everything, card, target) for target in targets]
    return OwnReport(
        card.digest,
        len(templates.people),
        len(templates.vectors),
        sum(event.event_type == EventType.RECOGNIZED and event.verdict is None for event in events),
        wanted,
        {source: errors(found, card, settings.target_fpir) for source, found in trials.items()},
        curve,
        propose(curve, settings.target_fpir, wanted),
    )


def template_trials(templates: Templates, card: ModelCard, settings: schema.MatchingSettings) -> Iterator[Trial]:
    """Try each template twice: as its person's probe, without the template itself, and as a stranger's, without the person."""
    matcher, total = Matcher(templates, card, settings), len(templates.vectors)
    for index, person in enumerate(templates.people):
        own = templates.vectors[templates.owners == index]
        for number, probe in enumerate(own):
            scores = matcher.scores(probe)
            if len(own) > 1:
                scores[index] = similarity(np.delete(own, number, axis=0), probe)
                match = matcher.decide(probe, scores)
                right = match.person_id == person.id and match.margin >= settings.margin
                yield Trial(person.id, True, match.score if right else NEVER, total - 1)
            if len(templates.people) > 1:
                scores[index] = NEVER
                match = matcher.decide(probe, scores)
                yield Trial(person.id, False, match.score if match.margin >= settings.margin else NEVER, total - len(own))


def event_trials(
    gallery: Gallery, events: Sequence[KeptEvent], card: ModelCard, settings: schema.MatchingSettings
) -> Iterator[Trial]:
    """Take kept events as trials, with the score that each had when it was announced.

    A confirmed event is its person's, or a stranger's if it came before that person was enrolled. A rejected event and one of
    a face that nobody has named are strangers', each group of alike faces one stranger.
    """
    templates = gallery.templates()
    enrolled, total = {person.id: person.enrolled for person in templates.people}, len(templates.vectors)
    strangers = []
    for event in events:
        if event.verdict == "confirmed" and event.person_id in enrolled:
            if event.wall < enrolled[event.person_id]:
                yield Trial(event.person_id, False, event.score, total)
            else:
                before = gallery.templates_before(event.event_id, event.person_id)
                match = Matcher(before, card, settings).match(event.embedding)
                right = match.person_id == event.person_id and match.margin >= settings.margin
                yield Trial(event.person_id, True, event.score if right else NEVER, total)
        elif event.shows_face and (event.verdict == "rejected" or event.event_type == EventType.UNKNOWN):
            strangers.append(event)
    for members in group(strangers[-MOST_STRANGERS:], card.threshold(SAME_FAR)):
        yield from (Trial(members[0].event_id, False, event.score, total) for event in members)


def errors(trials: Iterable[Trial], card: ModelCard, target: float) -> Errors:
    """Count the errors that the trials come to with this ``matching.target_fpir``."""
    wrong: dict[bool, dict[str, list[bool]]] = {False: {}, True: {}}
    for trial in trials:
        announced = trial.score >= card.threshold(target / max(1, trial.templates))
        wrong[trial.mated].setdefault(trial.person, []).append(announced != trial.mated)
    return Errors(target, *(_rate(list(wrong[mated].values())) for mated in (False, True)))


def _rate(by_person: Sequence[Sequence[bool]]) -> ErrorRate:
    """The share of errors with the percentiles of a bootstrap over people.

    Where few people make no error, resampling them shows none either. So the interval reaches at least as far as the rule of
    three allows (ISO/IEC 19795-1): N people without an error leave a rate of 1 - 0.05^(1/N), about 3/N, possible.
    """
    people = len(by_person)
    if not people:
        return ErrorRate(0, 0, 0, 0.0, 0.0, 1.0)
    counts, trials = np.array([(sum(errors), len(errors)) for errors in by_person]).T
    random = np.random.default_rng(0)
    drawn = (random.integers(people, size=people) for _ in range(RESAMPLES))
    low, high = np.quantile([counts[some].sum() / trials[some].sum() for some in drawn], (0.025, 0.975))
    least = 0.05 ** (1 / people)
    wrong, tried = int(counts.sum()), int(trials.sum())
    return ErrorRate(wrong, tried, people, wrong / tried, float(min(low, least)), float(max(high, 1 - least)))


def propose(curve: Sequence[Errors], configured: float, wanted: float) -> Proposal:
    """Choose the loosest target, of a curve from loose to strict, at which the FPIR is ``wanted`` or less with 95 % confidence.

    Without such a target, propose a stricter one if strangers are sure to pass too often now, and else none.
    """
    now = next(one for one in curve if one.target_fpir == configured)
    safe = next((one for one in curve if one.fpir.high <= wanted), None)
    if safe and now.fpir.high <= wanted and safe.fnir.count == now.fnir.count:
        return Proposal(configured, f"strangers pass in {wanted:.2%} of visits or less, and a looser target would miss as many")
    if safe:
        return Proposal(safe.target_fpir, f"the loosest at which strangers are sure to pass in {wanted:.2%} of visits or less")
    if now.fpir.low > wanted:
        strict = next((one for one in curve if one.target_fpir < configured and one.fpir.rate <= wanted), None)
        found = f"strangers pass in {now.fpir.low:.2%} of visits or more, {wanted:.2%} is wanted"
        if strict:
            return Proposal(strict.target_fpir, found)
        return Proposal(None, f"{found}, and no stricter target helps: edgeface gallery check tells who is taken for whom")
    needed = ceil(log(0.05) / log(1 - wanted))
    return Proposal(
        None,
        f"too little data: {now.fpir.people} people were tried as strangers, and it takes {needed} of whom none is announced "
        f"to be sure of {wanted:.2%}",
    )
