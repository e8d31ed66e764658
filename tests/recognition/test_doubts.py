"""Why a visit has no name: the cause that is planted is the cause that is told."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fixtures import door as vectors
from fixtures.door import AXES, face
from fixtures.frames import Door, head, photo
from fixtures.optional import needed
from fixtures.planted import placed, planted

from edgeface.config import schema
from edgeface.enrollment.enroller import Enroller, read_images
from edgeface.recognition.matching import Matcher
from edgeface.recognition.presence import Presence
from edgeface.types import EventType, Frame, Image, Observation, Reason
from edgeface.vision.model_card import ModelCard
from edgeface.wire.doubt import Doubt, words
from edgeface.wire.events import Event

PEOPLE = {"Obama": ["obama_portrait.jpg", "obama_congress.jpg"], "Biden": ["biden_blue_room.jpg"]}
OBAMA, BIDEN, STRANGER = "obama_press_room.jpg", "biden_portrait.jpg", "collins_portrait.jpg"


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Door:
    return Door(tmp_path_factory.mktemp("gallery"), PEOPLE)


def visit(door: Door, images: Sequence[Image], mode: str = "off") -> list[Event]:
    """A visit of one new face after another, until it is over."""
    config = schema.Config(liveness=schema.LivenessSettings(mode))  # type: ignore[arg-type]
    door.presence, events = Presence(config, door.pipeline.embedder.card), []
    for image in images:
        door.time += 0.1
        faces = door.pipeline.detector.detect(image)
        seen, small = door.pipeline.observe(image, faces), door.pipeline.too_small(faces)
        events += door.presence.update(Frame(image, door.time, 1e9 + door.time), seen, door.pipeline.matcher, small)
    return events + door.wait(6)


def doubt_of(events: list[Event]) -> Doubt:
    (event,) = (event for event in events if event.event_type in (EventType.UNSURE, EventType.UNKNOWN))
    assert (event.person_id, event.name, event.box is None) == (None, None, event.event_type is EventType.UNSURE)
    assert not any(event.event_type is EventType.RECOGNIZED for event in events)
    return needed(event.doubt)


@pytest.mark.parametrize("name", [OBAMA, BIDEN])
@pytest.mark.parametrize(
    ("cause", "strength"),
    [(Reason.SMALL, 70), (Reason.SMALL, 55), (Reason.DARK, 0.15), (Reason.DARK, 0.08), (Reason.BLURRED, 6)],
)
def test_the_cause_that_is_planted_is_the_cause_that_is_told(real: Door, name: str, cause: Reason, strength: float) -> None:
    found = doubt_of(visit(real, [planted(name, cause, strength)] * 12))
    assert (found.reason, found.good, found.seen, found.person_id) == (cause, 0, 12, None)
    assert 5 < found.pixels < 45


def test_a_face_in_too_much_light_is_too_bright(real: Door) -> None:
    assert doubt_of(visit(real, [planted(BIDEN, Reason.BRIGHT, 20)] * 12)).reason is Reason.BRIGHT


@pytest.mark.parametrize(("name", "degrees"), [(BIDEN, 60), (STRANGER, 60), (BIDEN, -50), (STRANGER, 50)])
def test_a_face_that_is_turned_away_is_told_so_though_its_views_may_be_good(real: Door, name: str, degrees: float) -> None:
    pytest.importorskip("tqdm", reason="belongs to the extra train")
    found = doubt_of(visit(real, [planted(name, Reason.TURNED, degrees)] * 12))
    assert Reason.TURNED in (found.reason, found.flaw)
    assert "turned away" in words(found, {}).told
    assert words(found, {}).cure.startswith("look at the camera")


def test_weak_views_that_fit_nobody_well_tell_their_flaw_too(real: Door) -> None:
    found = doubt_of(visit(real, [planted(STRANGER, Reason.DARK, 0.2)] * 12))
    assert (found.reason, found.flaw) == (Reason.STRANGER, Reason.DARK)
    assert "too dark" in words(found, {}).told


def test_a_stranger_in_good_light_is_a_stranger_and_the_nearest_person_is_told(real: Door) -> None:
    found = doubt_of(visit(real, [placed(head(STRANGER))] * 12))
    assert (found.reason, found.flaw, found.good) == (Reason.STRANGER, None, 8)
    names = {person.id: person.name for person in real.gallery.people()}
    assert f"{names[needed(found.person_id)]} is nearest" in words(found, names).told
    assert found.score < found.threshold


def test_who_stays_too_short_had_too_few_good_views(real: Door) -> None:
    found = doubt_of(visit(real, [placed(head(OBAMA))] * 2))
    assert (found.reason, found.good, found.needed) == (Reason.FEW, 2, schema.PresenceSettings().min_votes)


def test_a_still_photo_was_not_seen_alive(real: Door) -> None:
    found = doubt_of(visit(real, [placed(head(OBAMA))] * 12, "refuse"))
    assert (found.reason, real.gallery.find("Obama").id) == (Reason.NOT_ALIVE, found.person_id)


def test_of_two_people_who_are_alike_both_are_told(tmp_path: Path) -> None:
    twice = Door(tmp_path, {"Obama": ["obama_portrait.jpg"]})
    Enroller(twice.pipeline, twice.gallery).enroll("Barry", read_images([photo("obama_portrait.jpg")]), force=True)
    found = doubt_of(visit(twice, [placed(head(OBAMA))] * 12))
    names = {person.id: person.name for person in twice.gallery.people()}
    assert (found.reason, {names[needed(found.person_id)], names[needed(found.other_id)]}) == (
        Reason.LOOKALIKE,
        {"Obama", "Barry"},
    )
    assert words(found, names).short in ("Obama or Barry", "Barry or Obama")


def test_a_face_between_the_two_thresholds_is_in_doubt_and_with_whom(card: ModelCard) -> None:
    door = vectors.Door(card)
    door.see(door.doubtful(), frames=20)
    found = doubt_of(door.wait(6))
    assert (found.reason, found.person_id, found.good, found.seen) == (Reason.DOUBTFUL, "p_A", 20, 20)
    assert door.matcher.unsure < found.score < found.threshold
    assert words(found, door.matcher.known).short == "in doubt: Anna"
    assert words(found, {}).short == "in doubt: somebody"  # who was forgotten since


def test_a_face_as_near_to_a_rejected_one_is_told_so(card: ModelCard) -> None:
    door = vectors.Door(card)
    seen = needed(door.view("A", 0.8).embedding).vector
    rejected = np.asarray([0.78 * seen + np.float32(np.sqrt(1 - 0.78**2)) * AXES[60]])
    templates = replace(door.templates("ABC"), negatives=rejected, not_owners=np.array([0]))
    door.matcher = Matcher(templates, card, schema.MatchingSettings())
    door.see(door.view("A", 0.8), frames=20)
    found = doubt_of(door.wait(6))
    assert (found.reason, found.person_id, found.other_id) == (Reason.LOOKALIKE, "p_A", None)
    assert "a face that was rejected" in words(found, door.matcher.known).told


def test_with_nobody_enrolled_the_cure_is_to_enroll(card: ModelCard) -> None:
    door = vectors.Door(card)
    door.enroll("")
    found = doubt_of(door.see(door.view("D"), frames=8))
    assert (found.reason, found.person_id, words(found, {}).cure) == (Reason.STRANGER, None, "enroll somebody")


def test_most_views_decide_which_flaw_is_told(card: ModelCard) -> None:
    door = vectors.Door(card)
    blurred, dark = (Observation(face(0), 0.3, flaw=flaw) for flaw in (Reason.BLURRED, Reason.DARK))
    for view, frames in ((blurred, 3), (dark, 8), (door.view("A"), 2)):
        door.see(view, frames=frames)
    found = doubt_of(door.wait(6))
    assert (found.reason, found.good, found.seen) == (Reason.DARK, 2, 13)


def test_a_glimpse_that_could_never_have_been_named_is_no_visit(card: ModelCard) -> None:
    door = vectors.Door(card)
    assert door.see(Observation(face(0), 0.3, flaw=Reason.DARK), frames=2) + door.wait(6) == []


def test_a_visitor_who_turns_away_is_no_second_visit(card: ModelCard) -> None:
    """The face at another place, never beside hers, may be Anna's from behind; the one beside hers is not."""
    door, dark = vectors.Door(card), Observation(face(300), 0.3, flaw=Reason.DARK)
    door.see(door.view("A"), frames=5)
    door.see(dark, frames=5)
    assert [event.event_type for event in door.wait(6)] == [EventType.LEFT]
    door.see(door.view("A"), dark, frames=5)
    assert [event.event_type for event in door.wait(6)] == [EventType.UNSURE, EventType.LEFT]


def test_a_face_that_stays_for_long_remembers_nobody_who_has_left(card: ModelCard) -> None:
    door = vectors.Door(card)
    for number in range(40):
        door.see(door.doubtful(), Observation(face(300 + 200 * (number % 2)), 0.3, flaw=Reason.DARK), frames=4)
        door.see(door.doubtful(), frames=15)
    trails = door.presence._doubts._trails
    assert len(trails) == len(door.presence._tracker.tracks) < 3
    assert all(len(trail.beside) < 3 for trail in trails.values())


def test_a_reason_names_nobody_who_was_forgotten_meanwhile(card: ModelCard) -> None:
    door = vectors.Door(card)
    door.see(door.doubtful(), frames=20)
    door.enroll("BC")
    door.see(frames=1)
    (event,) = door.wait(6)
    assert not needed(event.doubt).names("p_A")


def test_every_reason_has_its_words() -> None:
    for reason in Reason:
        said = words(Doubt(reason=reason, person_id="p_1"), {"p_1": "{Anna} %s"})
        assert all(said)
        assert "{" not in "".join(said).replace("{Anna}", "")


def test_faces_far_away_are_nobodys_visit(real: Door) -> None:
    assert visit(real, [placed(head(BIDEN), 38)] * 12) == []
