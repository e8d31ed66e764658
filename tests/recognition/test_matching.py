from typing import Any

import numpy as np
import pytest

from edgeface.config import schema
from edgeface.gallery.contents import Templates
from edgeface.recognition.matching import Matcher
from edgeface.types import Decision, Person, Vector
from edgeface.vision.model_card import ModelCard

ANNA, BERT = Person("p_a", "Anna", 1, 0.0), Person("p_b", "Bert", 1, 0.0)


def axis(number: int, dimensions: int = 128) -> Vector:
    return np.asarray(np.eye(dimensions, dtype=np.float32)[number])


def towards(**cosines: Any) -> Vector:
    """A unit vector with these cosines to the axes a, b, c, ..."""
    vector = np.zeros(128, np.float32)
    for name, cosine in cosines.items():
        vector["abcdefgh".index(name)] = cosine
    vector[127] = np.sqrt(1.0 - float(vector @ vector))
    return vector


def templates(*rows: tuple[Person, Any]) -> Templates:
    people = tuple(dict.fromkeys(person for person, _ in rows))
    owners = np.array([people.index(person) for person, _ in rows], np.intp)
    vectors = np.array([vector for _, vector in rows], np.float32).reshape(-1, 128)
    return Templates(people, owners, vectors)


@pytest.fixture
def alone(card: ModelCard) -> Matcher:
    """Anna alone, one template: accepted from 0.4, unsure from 0.23."""
    return Matcher(templates((ANNA, axis(0))), card, schema.MatchingSettings())


@pytest.mark.parametrize(
    ("cosine", "decision"),
    [
        (1.0, Decision.ACCEPT),
        (0.401, Decision.ACCEPT),
        (0.399, Decision.UNSURE),
        (0.231, Decision.UNSURE),
        (0.229, Decision.REJECT),
        (0.0, Decision.REJECT),
        (-0.5, Decision.REJECT),
    ],
)
def test_the_two_thresholds_part_accept_unsure_and_reject(alone: Matcher, cosine: float, decision: Decision) -> None:
    found = alone.match(towards(a=cosine))
    assert found.decision is decision
    assert found.score == pytest.approx(cosine, abs=1e-6)
    assert found.threshold == pytest.approx(0.4)


@pytest.mark.parametrize("cosine", [0.9, 0.3, 0.0])
def test_the_nearest_person_is_told_whatever_the_decision(alone: Matcher, cosine: float) -> None:
    found = alone.match(towards(a=cosine))
    assert (found.person_id, found.name) == ("p_a", "Anna")


def test_nobody_is_accepted_from_an_empty_gallery(card: ModelCard) -> None:
    found = Matcher(templates(), card, schema.MatchingSettings()).match(axis(0))
    assert (found.decision, found.person_id, found.name, found.score) == (Decision.REJECT, None, None, 0.0)


def test_nearest_template_and_centre_speak_for_a_person(card: ModelCard) -> None:
    matcher = Matcher(templates((ANNA, axis(0)), (BERT, axis(1)), (ANNA, axis(2))), card, schema.MatchingSettings())
    found = matcher.match(towards(a=0.1, b=0.2, c=0.8))
    centre = (0.1 + 0.8) / 2**0.5
    assert (found.person_id, found.decision) == ("p_a", Decision.ACCEPT)
    assert found.score == pytest.approx((0.8 + centre) / 2)
    assert found.margin == pytest.approx(found.score - 0.2)


def test_two_templates_of_one_person_do_not_take_the_margin_away(card: ModelCard) -> None:
    found = Matcher(templates((ANNA, axis(0)), (ANNA, axis(0)), (BERT, axis(1))), card, schema.MatchingSettings()).match(
        axis(0)
    )
    assert found.decision is Decision.ACCEPT
    assert found.margin == pytest.approx(1.0)


@pytest.mark.parametrize(("second", "decision"), [(0.60, Decision.ACCEPT), (0.64, Decision.UNSURE), (0.66, Decision.UNSURE)])
def test_nobody_is_named_without_a_lead_over_the_second(card: ModelCard, second: float, decision: Decision) -> None:
    matcher = Matcher(templates((ANNA, axis(0)), (BERT, axis(1))), card, schema.MatchingSettings(margin=0.05))
    assert matcher.match(towards(a=0.66, b=second)).decision is decision


def test_the_threshold_rises_with_the_number_of_templates(card: ModelCard) -> None:
    def accept(count: int) -> float:
        return Matcher(templates(*[(ANNA, axis(number)) for number in range(count)]), card, schema.MatchingSettings()).accept

    assert accept(1) == pytest.approx(0.4)
    assert accept(10) == pytest.approx(0.5)
    assert accept(100) == pytest.approx(0.6)


def test_a_lower_rate_of_strangers_is_stricter(card: ModelCard) -> None:
    people = templates((ANNA, axis(0)))
    loose, strict = (Matcher(people, card, schema.MatchingSettings(target_fpir=rate)) for rate in (0.01, 0.0001))
    assert (loose.accept, strict.accept) == pytest.approx((0.3, 0.5))
    assert loose.match(towards(a=0.45)).decision is Decision.ACCEPT
    assert strict.match(towards(a=0.45)).decision is Decision.UNSURE


def test_the_unsure_threshold_is_never_over_the_accept_threshold(card: ModelCard) -> None:
    matcher = Matcher(templates((ANNA, axis(0))), card, schema.MatchingSettings(target_fpir=0.1, unsure_fpir=0.001))
    assert matcher.unsure == matcher.accept
    assert matcher.match(towards(a=0.199)).decision is Decision.REJECT


def test_the_nearest_person_is_told_though_a_rejected_face_is_nearer_to_everybody(card: ModelCard) -> None:
    known = templates((ANNA, axis(0)), (BERT, axis(1)))
    probe = towards(a=0.2, b=0.6)
    rejected = Templates(known.people, known.owners, known.vectors, np.arange(2), np.stack([probe, probe]))
    found = Matcher(rejected, card, schema.MatchingSettings()).match(probe)
    assert (found.decision, found.name) == (Decision.REJECT, "Bert")
    assert found.score == pytest.approx(0.6)
