"""The errors of a gallery of demo photos, through the command line, and the arithmetic on made-up people."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.commandline import Cli
from fixtures.frames import frame
from fixtures.galleries import MODEL, enrolled, keeping, kept, near, unit
from fixtures.verdicts import confirm, introduce, reject

from edgeface.config import schema
from edgeface.enrollment.enroller import Enroller, read_images
from edgeface.gallery.contents import Templates
from edgeface.gallery.event_store import KeptEvent
from edgeface.gallery.open import open_gallery
from edgeface.gallery.store import Gallery
from edgeface.measurement.own_gallery import NEVER, Errors, Trial, errors, evaluate_own, propose, template_trials
from edgeface.recognition.matching import Matcher
from edgeface.recognition.pipeline import Pipeline
from edgeface.recognition.presence import Presence
from edgeface.types import EventType, Frame, Person, Vector
from edgeface.vision.embedding import Embedder
from edgeface.vision.model_card import ModelCard

MATCHING = schema.MatchingSettings()
UNKNOWN = EventType.UNKNOWN


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[Gallery]:
    opened = Gallery(tmp_path / "gallery.db", MODEL)
    yield opened
    opened.close()


@pytest.fixture
def family(gallery: Gallery) -> dict[Any, Any]:
    """Anna and Bert, whose templates are like each other; Cleo, with one that is like Anna's."""
    gallery.enroll("Anna", [unit(1), near(unit(1), 0.8, 1), near(unit(1), 0.7, 2)], [0.8] * 3)
    gallery.enroll("Bert", [unit(2), near(unit(2), 0.6, 3)], [0.8] * 2)
    gallery.enroll("Cleo", [near(unit(1), 0.65, 4)], [0.8])
    return {person.name: person for person in gallery.people()}


def visit(
    gallery: Gallery, person: Person | None, face: Vector, kind: EventType = EventType.RECOGNIZED, ago: float = 0.0
) -> KeptEvent:
    return kept(gallery, person, face, kind, time.time() - ago + 1)


def rates(one: Errors) -> list[Any]:
    return [(rate.count, rate.trials, rate.people) for rate in (one.fpir, one.fnir)]


def test_templates_are_tried_without_themselves_and_without_their_person(
    gallery: Gallery, card: ModelCard, family: dict[Any, Any]
) -> None:
    trials = list(template_trials(gallery.templates(), card, MATCHING))
    cleo = family["Cleo"].id
    mated = [trial for trial in trials if trial.mated]
    assert (len(mated), len(trials) - len(mated)) == (5, 6)
    assert {trial.person for trial in mated} == {family["Anna"].id, family["Bert"].id}
    (alone,) = [trial for trial in trials if trial.person == cleo]
    assert alone.templates == 5
    assert alone.score > 0.5  # without her, Cleo's view is Anna's
    assert {trial.templates for trial in mated} == {5}


def test_a_template_is_tried_as_the_gallery_without_it_would_match(
    gallery: Gallery, card: ModelCard, family: dict[Any, Any]
) -> None:
    """The same scores as of a gallery in which the template, or the person, never was."""
    trials = iter(template_trials(gallery.templates(), card, MATCHING))
    found = gallery.templates()
    for index, person in enumerate(found.people):
        for row in np.flatnonzero(found.owners == index):
            if person.templates > 1:
                rest = Templates(found.people, np.delete(found.owners, row), np.delete(found.vectors, row, axis=0))
                match = Matcher(rest, card, MATCHING).match(found.vectors[row])
                right = match.person_id == person.id and match.margin >= MATCHING.margin
                assert next(trials).score == pytest.approx(match.score if right else NEVER, abs=1e-5)
            others = [other for other in range(len(found.people)) if other != index]
            rows = found.owners != index
            owners = np.searchsorted(others, found.owners[rows])
            rest = Templates(tuple(found.people[other] for other in others), owners, found.vectors[rows])
            match = Matcher(rest, card, MATCHING).match(found.vectors[row])
            score = match.score if match.margin >= MATCHING.margin else NEVER
            assert next(trials).score == pytest.approx(score, abs=1e-5)


def test_events_count_by_their_verdicts(gallery: Gallery, card: ModelCard, family: dict[Any, Any]) -> None:
    anna, bert = family["Anna"], family["Bert"]
    confirm(gallery, card, MATCHING, visit(gallery, anna, near(unit(1), 0.9, 11)).event_id)
    reject(gallery, MATCHING, visit(gallery, bert, near(unit(2), 0.5, 12)).event_id)
    confirm(gallery, card, MATCHING, visit(gallery, None, near(unit(2), 0.8, 13), UNKNOWN).event_id, "Bert")
    visit(gallery, None, unit(20), UNKNOWN)
    visit(gallery, None, near(unit(20), 0.9, 14), UNKNOWN)
    visit(gallery, anna, near(unit(1), 0.9, 15))
    report = evaluate_own(gallery, card, MATCHING)
    assert report.unjudged == 1
    # All scores were 0.5; with six templates, 0.1 % is 0.48, and Bert's confirmed view was under no threshold then.
    assert rates(report.by_source["events"]) == [(3, 3, 2), (0, 2, 2)]
    strict = evaluate_own(gallery, card, schema.MatchingSettings(target_fpir=1e-4)).by_source["events"]
    assert rates(strict) == [(0, 3, 2), (2, 2, 2)]


def test_who_was_enrolled_by_an_event_was_a_stranger_when_it_came(
    gallery: Gallery, card: ModelCard, family: dict[Any, Any]
) -> None:
    seen = kept(gallery, None, unit(30), UNKNOWN)
    introduce(gallery, card, MATCHING, [seen.event_id], "Dora")
    events = evaluate_own(gallery, card, MATCHING).by_source["events"]
    assert (events.fpir.trials, events.fnir.trials) == (1, 0)


def test_a_confirmed_view_that_another_is_nearer_to_is_an_error_at_every_target(
    gallery: Gallery, card: ModelCard, family: dict[Any, Any]
) -> None:
    seen = visit(gallery, family["Anna"], near(unit(1), 0.8, 16))
    confirm(gallery, card, MATCHING, seen.event_id)
    gallery.enroll("Evil twin", [near(seen.embedding, 0.95, 17)], [0.8])
    report = evaluate_own(gallery, card, MATCHING)
    assert all(one.fnir.count >= 1 for one in report.curve)
    assert report.by_source["events"].fnir.count == 1


def trials(mated: bool, *by_person: list[float]) -> list[Any]:
    return [Trial(f"{mated}{n}", mated, score, 1) for n, scores in enumerate(by_person) for score in scores]


def test_the_interval_is_over_people(card: ModelCard) -> None:
    """One person of 20 makes all the errors: trials that are not independent make the interval wide."""
    clustered = errors(trials(False, [0.9] * 10, *[[0.0] * 10] * 19), card, 0.001).fpir
    scattered = errors(trials(False, *[[0.9, *[0.0] * 19]] * 10), card, 0.001).fpir
    assert (clustered.count, clustered.trials, clustered.people) == (10, 200, 20)
    assert (clustered.rate, scattered.rate) == (0.05, 0.05)
    assert (clustered.low, clustered.high) == (0.0, pytest.approx(0.15))  # type: ignore[comparison-overlap]  # approx equals numbers
    assert scattered.low == pytest.approx(0.05)


def test_few_people_without_an_error_leave_room_for_one(card: ModelCard) -> None:
    """The rule of three: 3 of 100 at most, with 95 % confidence."""
    assert errors(trials(False, *[[0.0]] * 100), card, 0.001).fpir.high == pytest.approx(0.0295, abs=1e-4)
    assert errors(trials(True, [0.9] * 50), card, 0.001).fnir.high == pytest.approx(0.95)
    nobody = errors([], card, 0.001)
    assert (nobody.fpir.trials, nobody.fpir.low, nobody.fpir.high) == (0, 0.0, 1.0)


def curve(
    card: ModelCard,
    strangers: list[list[float]],
    own: tuple[()] | list[list[float]] = (),
    targets: tuple[float, ...] = (0.1, 0.01, 0.001),
) -> list[Any]:
    found = trials(False, *strangers) + trials(True, *own)
    return [errors(found, card, target) for target in targets]


@pytest.mark.parametrize(
    ("strangers", "own", "wanted", "value", "reason"),
    [
        ([[0.0]] * 10, [[0.9]], 0.001, None, "too little data: 10 people were tried as strangers, and it takes 2995"),
        ([[0.1]] * 100, [[0.25]] * 5, 0.05, 0.1, "the loosest at which strangers are sure to pass in 5.00%"),
        ([[0.25]] * 100, [[0.35]] * 5, 0.05, 0.01, "the loosest"),
        ([[0.1]] * 100, [[0.9]] * 5, 0.05, 0.001, "a looser target would miss as many"),
        ([[0.45]] * 10 + [[0.1]] * 10, [[0.9]], 0.001, None, "no stricter target helps"),
    ],
)
def test_a_proposal_keeps_to_the_wanted_rate(
    card: ModelCard, strangers: list[list[float]], own: list[list[float]], wanted: float, value: float | None, reason: str
) -> None:
    proposal = propose(curve(card, strangers, own), 0.001, wanted)
    assert proposal.target_fpir == value
    assert reason in proposal.reason


def test_strangers_who_pass_too_often_call_for_a_stricter_target(card: ModelCard) -> None:
    look_alikes = curve(card, [[0.45]] * 10 + [[0.1]] * 10, targets=(0.1, 0.01, 0.001, 0.0001))
    proposal = propose(look_alikes, 0.001, 0.001)
    assert proposal.target_fpir == 0.0001
    assert "0.10% is wanted" in proposal.reason


def test_a_gallery_of_photos_is_measured_by_the_command_line(cli: Cli, demo_photos: Path) -> None:
    for name, photos in {"Obama": ["portrait", "congress", "press_room"], "Biden": ["portrait", "blue_room"]}.items():
        words = [word for photo in photos for word in ("--image", demo_photos / f"{name.lower()}_{photo}.jpg")]
        cli("enroll", name, *words)
    nobody_seen = cli.json("evaluate")
    assert (nobody_seen["people"], nobody_seen["templates"], nobody_seen["unjudged"]) == (2, 5, 0)
    templates = nobody_seen["by_source"]["templates"]
    assert (templates["fpir"]["count"], templates["fpir"]["trials"]) == (0, 5)
    assert (templates["fnir"]["trials"], templates["fnir"]["people"]) == (5, 2)
    assert nobody_seen["by_source"]["events"]["fpir"]["trials"] == 0
    assert nobody_seen["proposal"]["target_fpir"] is None
    told = cli("evaluate", "--fpir", "0.5").stdout
    assert "gallery   2 people, 5 templates" in told
    assert "0.00% [0.00%, 77.64%]  0 of 5, 2 people" in told
    assert "proposal  none: too little data: 2 people were tried as strangers, and it takes 5" in told


def test_real_events_count(tmp_path: Path, demo_photos: Path) -> None:
    """Collins comes, and is unknown; Obama comes, and is recognized and confirmed."""
    settings = schema.Config(gallery=schema.GallerySettings(str(tmp_path / "gallery.db")))
    embedder = Embedder()
    opened = open_gallery(settings, embedder.card)
    pipeline, presence = Pipeline(settings, embedder, opened), Presence(settings, embedder.card)
    photos = [demo_photos / f"obama_{name}.jpg" for name in ("portrait", "congress")]
    Enroller(pipeline, opened).enroll("Obama", read_images(photos))
    start = time.time() + 1
    for number, name in enumerate(["collins_portrait.jpg"] * 10 + ["obama_press_room.jpg"] * 10):
        moment = Frame(frame((name, 100, 100)), number * 0.5 + 10 * (number >= 10), start + number)
        for event in presence.update(moment, pipeline.observe(moment.image), pipeline.matcher):
            opened.events.keep(event, keeping())
    came = opened.events.all()
    assert [event.event_type for event in came] == ["unknown", "recognized"]
    confirm(opened, embedder.card, settings.matching, came[1].event_id)
    events = evaluate_own(opened, embedder.card, settings.matching).by_source["events"]
    opened.close()
    assert rates(events) == [(0, 1, 1), (0, 1, 1)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--plot", "det.png"], "need --gallery and --visits"),
        (["--visits", "v"], "--gallery and --visits need each other"),
        (["--gallery", "g", "--visits", "v", "--fpir", "0.1"], "--fpir is for your own gallery"),
    ],
)
def test_options_that_do_not_go_together_are_told_in_one_line(cli: Cli, words: list[str], message: str) -> None:
    assert message in cli.refusal("evaluate", *words, code=2)


def test_nobody_enrolled_is_too_little(cli: Cli) -> None:
    assert "too little data: 0 people" in cli("evaluate").stdout


def test_an_enrolled_person_alone_has_no_strangers(gallery: Gallery, card: ModelCard) -> None:
    enrolled(gallery, "Anna", 1, 2)
    report = evaluate_own(gallery, card, MATCHING)
    assert rates(report.by_source["templates"]) == [(0, 0, 0), (2, 2, 1)]
