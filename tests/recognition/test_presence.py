from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
import pytest
from fixtures.door import AXES, WALL, Door, face
from fixtures.optional import needed

from edgeface.config import schema
from edgeface.recognition.event_id import new_event_id
from edgeface.recognition.matching import Matcher
from edgeface.recognition.presence import Presence
from edgeface.types import Box, Decision, Embedding, EventType, Observation, PassiveScore, Reason
from edgeface.vision.model_card import SHIPPED, ModelCard
from edgeface.vision.passive_liveness import load
from edgeface.wire.events import Corrected, Event


def poor(left: float = 0.0) -> Observation:
    return Observation(face(left), 0.2)


@pytest.fixture
def door(card: ModelCard) -> Door:
    return Door(card, min_votes=3, unknown_after=8)


def kinds(events: list[Event]) -> list[Any]:
    return [(event.event_type.value, event.name) for event in events]


RECOGNIZED, UNKNOWN, UNSURE, LEFT = (str(kind) for kind in list(EventType)[:4])


def test_who_is_seen_often_enough_is_recognized_once(door: Door) -> None:
    assert door.see(door.view("A"), frames=2) == []
    assert kinds(door.see(door.view("A"))) == [(RECOGNIZED, "Anna")]
    assert door.see(door.view("A"), frames=100) == []


def test_the_event_says_what_was_seen(door: Door) -> None:
    door.see(door.view("A", quality=0.5))
    (event,) = door.see(door.view("A", quality=0.7), door.doubtful(left=300), frames=2)
    assert (event.person_id, event.name, event.camera, event.track_id) == ("p_A", "Anna", "front", 1)
    assert (event.votes, event.frame_size, event.corrected) == (3, (640, 480), None)
    assert event.threshold == door.matcher.accept
    assert event.score == pytest.approx(0.95)
    assert event.quality == pytest.approx(1.9 / 3)
    assert event.margin == pytest.approx(0.95)
    assert event.box == Box(0.0, 10.0, 100.0, 100.0)
    assert (event.time, event.wall) == (door.time, WALL + door.time)


def test_an_event_has_the_embedding_of_the_views_that_count(door: Door) -> None:
    for _ in range(2):
        door.see(door.view("A"))
    (event,) = door.see(door.view("A"))
    assert needed(event.embedding).dtype == np.float32
    assert float(needed(event.embedding) @ needed(door.view("A").embedding).vector) > 0.9
    (left,) = door.wait(10)
    assert left.embedding is None


def test_a_stranger_is_unknown_after_enough_good_views_and_never_named(door: Door) -> None:
    assert door.see(door.view("D"), frames=7) == []
    (event,) = door.see(door.view("D"))
    assert event.event_type is EventType.UNKNOWN
    assert (event.person_id, event.name, event.margin) == (None, None, None)
    assert event.score == pytest.approx(0.0, abs=1e-6)
    assert door.see(door.view("D"), frames=50) == []
    (left,) = door.wait(6)
    assert (left.event_type, left.person_id, left.name) == (EventType.LEFT, None, None)


@pytest.mark.parametrize("kind", ["poor", "doubtful"])
def test_poor_and_doubtful_views_say_nothing(door: Door, kind: str) -> None:
    assert door.see(poor() if kind == "poor" else door.doubtful(), frames=100) == []
    assert kinds(door.wait(10)) == [(UNSURE, None)]


def test_poor_views_between_good_ones_do_not_stop_recognition(door: Door) -> None:
    events = []
    for _ in range(3):
        events += door.see(door.view("A")) + door.see(poor(), frames=2)
    assert kinds(events) == [(RECOGNIZED, "Anna")]


def test_lucky_views_of_a_stranger_do_not_add_up(door: Door) -> None:
    """Each second view alone would pass; what counts is how like her they are on average."""
    lucky, usual = door.view("A", door.matcher.accept + 0.02), door.view("A", door.matcher.accept - 0.08)
    assert [needed(view.match).decision for view in (lucky, usual)] == [Decision.ACCEPT, Decision.UNSURE]
    assert door.see(lucky, frames=2) == []
    for _ in range(20):
        assert door.see(usual) + door.see(lucky) == []


def test_a_doubtful_view_does_not_undo_what_the_others_say(door: Door) -> None:
    clear, doubtful = door.view("A", door.matcher.accept + 0.2), door.doubtful()
    events = door.see(doubtful) + door.see(clear) + door.see(doubtful) + door.see(clear)
    assert kinds(events) == [(RECOGNIZED, "Anna")]
    assert events[0].votes == 3


def test_nobody_is_named_while_the_views_speak_for_two(door: Door) -> None:
    both = (AXES[0] + AXES[1]) / np.sqrt(2)
    for tilt in (0.1, -0.1) * 10:
        vector = (both + tilt * (AXES[0] - AXES[1])).astype(np.float32)
        vector /= np.linalg.norm(vector)
        assert door.see(Observation(face(0), 0.8, Embedding(vector, 1.0), door.matcher.match(vector))) == []


def test_too_few_votes_of_single_views_name_nobody(door: Door) -> None:
    """Together they look like Anna enough, but most of them, each for itself, have somebody else nearest."""
    vector = 0.75 * AXES[0] + np.sqrt(np.float32(1 - 0.75**2)) * AXES[20]
    bert, anna = (door.matcher.match(AXES[number]) for number in (1, 0))
    for match in (anna, bert, bert) * 5:
        assert door.see(Observation(face(0), 0.8, Embedding(vector, 1.0), match)) == []


def test_good_views_weigh_more_than_poor_ones(card: ModelCard) -> None:
    door = Door(card, min_votes=3, min_share=0.8)
    bert = door.matcher.match(AXES[1])
    door.see(Observation(face(0), 0.1, door.view("A").embedding, bert), frames=2)
    assert kinds(door.see(door.view("A", quality=0.9), frames=3)) == [(RECOGNIZED, "Anna")]


def test_who_is_away_for_long_enough_has_left_and_can_come_again(door: Door) -> None:
    door.see(door.view("A"), frames=31)
    assert door.wait(5.0) == []
    (event,) = door.wait(0.5)
    assert (event.event_type, event.person_id, event.name, event.track_id) == (EventType.LEFT, "p_A", "Anna", 1)
    assert event.seconds == pytest.approx(3.0)
    assert event.corrected is None
    assert door.wait(20) == []
    assert kinds(door.see(door.view("A"), frames=3)) == [(RECOGNIZED, "Anna")]


def test_a_short_absence_is_the_same_visit(door: Door) -> None:
    door.see(door.view("A"), frames=3)
    assert door.wait(4.5) + door.see(door.view("A", left=400), frames=10) == []
    (event,) = door.wait(6)
    assert event.seconds == pytest.approx(0.2 + 4.5 + 1.0)


def test_who_turns_away_for_a_while_after_being_recognized_is_not_unknown(door: Door) -> None:
    door.see(door.view("A"), frames=20)
    assert door.see(poor(), frames=50) + door.see(door.unlike(), frames=20) == []
    assert door.see(door.view("A"), frames=20) == []
    assert kinds(door.wait(6)) == [(LEFT, "Anna")]


def test_who_stands_unrecognizably_in_a_friends_place_keeps_nobody_present(door: Door) -> None:
    door.see(door.view("A"), frames=11)
    assert door.see(poor(), frames=49) == []
    (left,) = door.see(poor(), frames=551)
    assert (left.event_type, left.name) == (EventType.LEFT, "Anna")
    assert left.seconds == pytest.approx(1.0)
    assert left.time - 101.1 == pytest.approx(5.0, abs=0.2)
    (sight,) = door.presence.tracked_faces(door.time)
    assert (sight.person_id, sight.track_id) == (None, 2)
    events = door.see(door.view("D"), poor(left=300), frames=8) + door.wait(6)
    assert kinds(events) == [(UNKNOWN, None), (UNSURE, None), (LEFT, None)]
    assert [event.track_id for event in events] == [2, 3, 2]


def test_a_visit_begins_with_the_first_view_of_its_person(door: Door) -> None:
    """Whoever stood there before, unrecognizably, may have been anybody."""
    door.see(poor(), frames=600)
    assert kinds(door.see(door.view("A"), frames=11)) == [(RECOGNIZED, "Anna")]
    (left,) = door.wait(6)
    assert left.seconds == pytest.approx(1.0)


def test_who_was_unknown_first_can_still_be_recognized(door: Door) -> None:
    assert kinds(door.see(door.unlike(), frames=8)) == [(UNKNOWN, None)]
    events = door.see(door.view("A"), frames=40)
    assert kinds(events) == [(LEFT, None), (RECOGNIZED, "Anna")]
    assert [event.corrected for event in events] == [None, None]
    assert kinds(door.wait(6)) == [(LEFT, "Anna")]


def mixture(door: Door, a: float, b: float) -> Observation:
    """A view with these cosines to Anna's and Bert's templates."""
    vector = a * AXES[0] + b * AXES[1] + np.float32(np.sqrt(1 - a * a - b * b)) * AXES[20]
    return Observation(face(0), 0.8, Embedding(vector, 1.0), door.matcher.match(vector))


def test_who_was_taken_for_another_is_put_right_and_the_next_events_say_so(door: Door) -> None:
    (wrong,) = door.see(mixture(door, 0.5, 0.75), frames=3)
    assert wrong.name == "Bert"
    events = door.see(mixture(door, 0.8, 0.4), frames=40)
    assert kinds(events) == [(LEFT, "Bert"), (RECOGNIZED, "Anna")]
    assert [event.corrected for event in events] == [Corrected(wrong.event_id, "p_B", "Bert")] * 2
    (left,) = door.wait(6)
    assert (left.event_type, left.name, left.corrected) == (EventType.LEFT, "Anna", None)


def test_a_name_that_later_views_contradict_is_taken_back(door: Door) -> None:
    high, low = door.matcher.accept + 0.01, door.matcher.unsure - 0.15
    (wrong,) = door.see(door.view("A", high), frames=3)
    events = door.see(door.view("A", low), frames=60)
    assert kinds(events) == [(LEFT, "Anna"), (UNKNOWN, None)]
    assert [event.corrected for event in events] == [Corrected(wrong.event_id, "p_A", "Anna")] * 2
    assert kinds(door.wait(6)) == [(LEFT, None)]


def test_two_friends_side_by_side_are_two_visits(door: Door) -> None:
    events = door.see(door.view("A"), door.view("B", left=300), frames=3)
    assert sorted(kinds(events)) == [(RECOGNIZED, "Anna"), (RECOGNIZED, "Bert")]
    assert door.see(door.view("B", left=300), frames=49) == []
    assert door.see(door.view("B", left=300), frames=2)[0].name == "Anna"
    assert kinds(door.wait(6)) == [(LEFT, "Bert")]


def test_two_strangers_are_two_visits(door: Door) -> None:
    events = door.see(door.view("D"), door.view("E", left=300), frames=20)
    assert kinds(events) == [(UNKNOWN, None)] * 2
    assert {event.track_id for event in events} == {1, 2}
    assert {event.track_id for event in door.wait(6)} == {1, 2}


def test_a_stranger_in_the_place_of_a_friend_is_unknown(door: Door) -> None:
    door.see(door.view("A"), frames=10)
    assert kinds(door.see(door.view("D"), frames=8)) == [(UNKNOWN, None)]


def other_side(door: Door) -> Observation:
    """Anna at the same time in another place, with her template as far as from the other view: a mirror."""
    vector = 0.7 * AXES[0] - np.float32(np.sqrt(1 - 0.7**2)) * AXES[20]
    return Observation(face(300), 0.8, Embedding(vector, 1.0), door.matcher.match(vector))


def split_in_two(door: Door) -> list[Event]:
    """Anna, seen by two tracks one after the other: views too unlike to be joined."""
    return door.see(door.view("A", 0.7), frames=5) + door.see(other_side(door), frames=5)


def test_two_tracks_of_one_person_are_one_visit(door: Door) -> None:
    (arrival,) = split_in_two(door)
    assert kinds([arrival]) == [(RECOGNIZED, "Anna")]
    assert door.see(other_side(door), frames=100) == []
    (event,) = door.wait(6)
    assert (event.event_type, event.name, event.track_id) == (EventType.LEFT, "Anna", arrival.track_id)
    assert event.seconds == pytest.approx(10.9)


def anna_twice(door: Door, one: float, other: float, frames: int = 10) -> list[Event]:
    """Two faces of Anna in one frame, with these cosines to her template."""
    vector = other * AXES[0] - np.float32(np.sqrt(1 - other**2)) * AXES[20]
    second = Observation(face(300), 0.8, Embedding(vector, 1.0), door.matcher.match(vector))
    return door.see(door.view("A", one), second, frames=frames)


def announced(door: Door) -> dict[int, str | None]:
    return {seen.track_id: seen.person_id for seen in door.presence.tracked_faces(door.time)}


def test_one_person_is_one_face_of_a_frame_the_better_one(door: Door) -> None:
    assert kinds(anna_twice(door, 0.65, 0.8, frames=50)) == [(RECOGNIZED, "Anna")]
    assert announced(door) == {1: None, 2: "p_A"}
    displaced, left = sorted(door.wait(6), key=lambda event: event.name or "")
    assert (left.event_type, left.name, left.track_id) == (EventType.LEFT, "Anna", 2)
    assert (displaced.track_id, needed(displaced.doubt).reason) == (1, Reason.DISPLACED)


def test_a_better_face_takes_the_visit_over_and_nobody_is_told_twice(door: Door) -> None:
    (first,) = door.see(door.view("A", 0.65), frames=20)
    assert anna_twice(door, 0.65, 0.8) == []
    assert announced(door) == {1: None, 2: "p_A"}
    displaced, left = sorted(door.wait(6), key=lambda event: event.name or "")
    assert (left.name, left.track_id) == ("Anna", first.track_id)
    assert left.seconds == pytest.approx(2.9)
    assert (displaced.track_id, needed(displaced.doubt).reason) == (1, Reason.DISPLACED)


def test_who_lost_a_name_to_a_better_face_does_not_get_it_when_alone(door: Door) -> None:
    anna_twice(door, 0.65, 0.8)
    assert kinds(door.see(door.view("A", 0.65), frames=100)) == [(LEFT, "Anna")]
    assert announced(door) == {1: None}


def test_who_lost_a_name_gets_it_back_as_the_better_face(door: Door) -> None:
    anna_twice(door, 0.65, 0.7)
    assert anna_twice(door, 0.9, 0.7, frames=40) == []
    assert announced(door) == {1: "p_A", 2: None}


def test_who_lost_a_name_is_what_later_views_say(door: Door) -> None:
    anna_twice(door, 0.65, 0.8)
    bert = mixture(door, 0.3, 0.9)
    vector = 0.8 * AXES[0] - np.float32(0.6) * AXES[20]
    anna = Observation(face(300), 0.8, Embedding(vector, 1.0), door.matcher.match(vector))
    assert kinds(door.see(bert, anna, frames=80)) == [(RECOGNIZED, "Bert")]
    assert sorted(kinds(door.wait(6))) == [(LEFT, "Anna"), (LEFT, "Bert")]


def test_a_face_that_looked_like_no_person_any_more_is_unknown_beside_them(door: Door) -> None:
    anna_twice(door, door.matcher.accept + 0.01, 0.8, frames=4)
    assert kinds(anna_twice(door, door.matcher.unsure - 0.15, 0.8, frames=60)) == [(UNKNOWN, None)]


def test_a_photo_that_has_not_looked_alive_takes_no_name_from_a_head(card: ModelCard) -> None:
    door = Door(card)
    door.presence = Presence(schema.Config(liveness=schema.LivenessSettings("refuse")), card)
    anna_twice(door, 0.65, 0.8, frames=1)
    door.presence._tracker.tracks[0].liveness.motion.score = 0.9
    assert kinds(anna_twice(door, 0.65, 0.8, frames=20)) == [(RECOGNIZED, "Anna")]
    assert announced(door) == {1: "p_A", 2: None}


@pytest.mark.parametrize(("attacks", "named"), [("named", "Anna"), ("unnamed", None), ("off", None)])
def test_a_screen_that_shows_somebody_enrolled_is_told_once_a_visit(card: ModelCard, attacks: Any, named: str | None) -> None:
    door, (passive, _) = Door(card), load(SHIPPED)
    settings = schema.LivenessSettings("refuse", attacks=attacks)
    door.presence = Presence(schema.Config(liveness=settings), card, None, passive)
    shown = replace(door.view("A"), passive=PassiveScore(0.02, 0.9, 0.08))
    events = door.see(shown, replace(door.view("D", left=300.0), passive=shown.passive), frames=20)
    attacked = [event for event in events if event.event_type is EventType.PRESENTATION_ATTACK]
    assert [(event.name, event.liveness_class) for event in attacked] == ([] if attacks == "off" else [(named, "screen")])
    assert not any(event.event_type is EventType.RECOGNIZED for event in events)
    door.wait(20)
    again = [event.event_type for event in door.see(shown, frames=10)]
    assert again.count(EventType.PRESENTATION_ATTACK) == (attacks != "off")


def test_two_tracks_of_one_person_that_end_together_are_one_departure(door: Door) -> None:
    split_in_two(door)
    (event,) = door.wait(20)
    assert (event.event_type, event.name) == (EventType.LEFT, "Anna")
    assert event.seconds == pytest.approx(0.9)


def test_a_name_that_another_track_bears_out_is_not_taken_back(door: Door) -> None:
    split_in_two(door)
    vector = 0.35 * AXES[0] + 0.7 * AXES[1] - np.float32(np.sqrt(1 - 0.35**2 - 0.7**2)) * AXES[20]
    bert = Observation(face(300), 0.8, Embedding(vector, 1.0), door.matcher.match(vector))
    (event,) = door.see(door.view("A", 0.7), bert, frames=60)
    assert (event.event_type, event.name, event.corrected) == (EventType.RECOGNIZED, "Bert", None)


def test_who_is_forgotten_while_there_has_left_and_no_view_of_before_counts(door: Door) -> None:
    door.see(door.view("A"), frames=30)
    door.enroll("BC")
    (left,) = door.see(door.view("A"))
    assert (left.event_type, left.name, left.corrected) == (EventType.LEFT, "Anna", None)
    assert door.see(door.view("A"), frames=6) == []
    (event,) = door.see(door.view("A"))
    assert (event.event_type, event.votes, event.corrected) == (EventType.UNKNOWN, 8, None)
    assert kinds(door.wait(6)) == [(LEFT, None)]


def test_no_view_of_who_is_forgotten_before_being_announced_counts(door: Door) -> None:
    door.see(door.view("A"), door.unlike(left=300), frames=2)
    door.enroll("BC")
    assert door.see(door.view("A"), door.unlike(left=300), frames=7) == []
    assert [event.votes for event in door.see(door.view("A"), door.unlike(left=300))] == [8, 8]


def test_who_is_forgotten_leaves_the_visits_of_others_alone(door: Door) -> None:
    split_in_two(door)
    door.see(door.view("B", left=500), frames=3)
    door.enroll("BC")
    assert kinds(door.see(door.view("B", left=500))) == [(LEFT, "Anna")]
    assert door.see(door.view("B", left=500), frames=20) == []
    assert kinds(door.wait(6)) == [(LEFT, "Bert")]


def test_a_view_of_who_was_forgotten_since_the_frame_was_taken_does_not_stay(door: Door) -> None:
    """Of two faces in one frame, the gallery may change between the one and the other."""
    door.see(door.view("A"), frames=2)
    before = door.view("A")
    door.enroll("BC")
    door.see(before)
    assert door.see(door.view("A"), frames=7) == []
    assert [event.votes for event in door.see(door.view("A"))] == [8]


def test_who_is_renamed_while_there_leaves_by_the_new_name(door: Door) -> None:
    door.see(door.view("A"), frames=5)
    door.matcher = Matcher(door.templates("ABC", Anna="Zoe"), door.card, schema.MatchingSettings())
    assert door.see(door.view("A"), frames=5) == []
    assert kinds(door.wait(6)) == [(LEFT, "Zoe")]


def test_tracks_are_numbered_on_by_another_presence(door: Door) -> None:
    door.see(door.view("A"), door.view("D", left=300), frames=10)
    door.presence = Presence(schema.Config(presence=schema.PresenceSettings(min_votes=3)), door.card, door.presence)
    (event,) = door.see(door.view("A"), frames=3)
    assert event.track_id == 3


def test_close_ends_all_visits_once(door: Door) -> None:
    door.see(door.view("A"), door.view("D", left=300), door.doubtful(left=500), frames=10)
    assert sorted(kinds(door.presence.close(door.frame())), key=str) == [(LEFT, "Anna"), (LEFT, None), (UNSURE, None)]
    assert door.presence.close(door.frame()) == []


def test_every_recognized_and_unknown_is_left_once(card: ModelCard) -> None:
    """A busy evening, from a fixed seed: arrivals and departures pair up, and corrections name what was told."""
    random = np.random.default_rng(7)
    door = Door(card, min_votes=2, unknown_after=3, left_after=0.5)
    present, strangers, corrections = {}, 0, 0
    events = []
    for _ in range(3000):
        faces = [
            door.view(who, random.uniform(0.2, 0.95), left=200.0 * place, noise=True)
            for place, who in enumerate(random.permutation(list("ABCD")))
            if random.random() < 0.3
        ]
        events.append(door.see(*faces))
    events.append(door.presence.close(door.frame()))
    assert sum(map(len, events)) > 200
    told: dict[str, tuple[str | None, str | None]] = {}
    for event in chain.from_iterable(events):
        if event.corrected:
            corrections += 1
            assert told[event.corrected.event_id] == (event.corrected.person_id, event.corrected.name)
        if event.event_type is EventType.RECOGNIZED:
            assert event.person_id not in present
            present[event.person_id] = event
            told[event.event_id] = event.person_id, event.name
        elif event.event_type is EventType.UNKNOWN:
            strangers += 1
        elif event.event_type is EventType.UNSURE:
            assert event.person_id is None
        elif event.person_id is None:
            strangers -= 1
        else:
            del present[event.person_id]
        assert event.seconds is None or event.seconds >= 0
    assert (present, strangers) == ({}, 0)


def test_event_ids_are_unique_and_sort_by_time() -> None:
    ids = [new_event_id(WALL + step * 0.001) for step in range(1000)]
    assert ids == sorted(set(ids))
    assert len({new_event_id(WALL) for _ in range(1000)}) == 1000


def test_a_clock_before_1970_gives_an_event_id_all_the_same() -> None:
    assert new_event_id(-5.0) < new_event_id(WALL)
