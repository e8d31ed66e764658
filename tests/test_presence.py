from dataclasses import replace
from itertools import chain

import numpy as np
import pytest

from edgeface import config
from edgeface.presence import Presence, new_event_id
from edgeface.types import Box, Decision, Embedding, EventType, Face, Frame, Gap, Match, Observation

AXES = dict(zip("ABCD", np.eye(8, dtype=np.float32), strict=False))
NAMES = {"A": "Anna", "B": "Bert", "C": "Clara", "D": "Dora"}
IMAGE = np.zeros((480, 640, 3), np.uint8)
WALL = 1_700_000_000.0


def view(who, decision=Decision.ACCEPT, *, nearest=None, left=0.0, quality=0.8, score=0.6):
    """A view of ``who``, whose match names them or ``nearest``."""
    named = nearest or who
    match = Match(decision, f"p_{named}", NAMES[named], score, 0.4, 0.3, 0.9)
    face = Face(Box(left, 10.0, 100.0, 100.0), np.zeros((5, 2), np.float32), 0.9)
    return Observation(face, quality, Embedding(AXES[who], 1.0), match)


def poor(left=0.0):
    return Observation(Face(Box(left, 10.0, 100.0, 100.0), np.zeros((5, 2), np.float32), 0.9), 0.2)


def stranger(who="D", **changes):
    return view(who, Decision.REJECT, nearest="A", score=0.1, **changes)


class Door:
    """A presence with a clock of its own: ten frames a second."""

    def __init__(self, **settings):
        self.presence = Presence("front", config.Presence(**settings), same=0.5, different=0.2)
        self.time = 100.0

    def frame(self):
        return Frame(IMAGE, self.time, WALL + self.time)

    def see(self, *observations, frames=1):
        events = []
        for _ in range(frames):
            self.time += 0.1
            events += self.presence.update(self.frame(), observations)
        return events

    def wait(self, seconds):
        events = []
        for _ in range(round(seconds * 2)):
            self.time += 0.5
            events += self.presence.update(Gap(self.time, WALL + self.time), [])
        return events


def kinds(events):
    return [(event.event_type.value, event.name) for event in events]


RECOGNIZED, UNKNOWN, LEFT = EventType.RECOGNIZED.value, EventType.UNKNOWN.value, EventType.LEFT.value


def test_who_is_seen_often_enough_is_recognized_once():
    door = Door(min_votes=3)
    assert door.see(view("A"), frames=2) == []
    assert kinds(door.see(view("A"))) == [(RECOGNIZED, "Anna")]
    assert door.see(view("A"), frames=100) == []


def test_the_event_says_what_was_seen():
    door = Door(min_votes=3)
    (event,) = door.see(view("A", quality=0.5, score=0.5), view("B", Decision.UNSURE, left=300), frames=1) + door.see(
        view("A", quality=0.7, score=0.6), frames=2
    )
    assert (event.person_id, event.name, event.camera, event.track_id) == ("p_A", "Anna", "front", 1)
    assert (event.votes, event.threshold, event.frame_size) == (3, 0.4, (640, 480))
    assert event.score == pytest.approx(1.7 / 3)
    assert event.quality == pytest.approx(1.9 / 3)
    assert event.margin == pytest.approx(0.3)
    assert event.box == Box(0.0, 10.0, 100.0, 100.0)
    assert (event.time, event.wall) == (door.time, WALL + door.time)


def test_an_event_has_the_embedding_of_the_views_that_count_each_by_its_quality():
    tilted = (AXES["A"] + AXES["B"]) / np.sqrt(2, dtype=np.float32)
    door = Door(min_votes=3)
    door.see(view("A", quality=0.9))
    door.see(replace(view("A", quality=0.5), embedding=Embedding(tilted, 1.0)))
    door.see(view("A", Decision.UNSURE, quality=0.9))
    (event,) = door.see(view("A", quality=0.6))
    assert np.allclose(event.embedding, 0.75 * AXES["A"] + 0.25 * tilted, atol=1e-6)
    assert event.embedding.dtype == np.float32
    (left,) = door.wait(10)
    assert left.embedding is None


def test_a_stranger_is_unknown_after_enough_good_views_and_never_named():
    door = Door(unknown_after=8)
    assert door.see(stranger(), frames=7) == []
    (event,) = door.see(stranger())
    assert event.event_type is EventType.UNKNOWN
    assert (event.person_id, event.name, event.margin) == (None, None, None)
    assert event.score == pytest.approx(0.1)
    assert door.see(stranger(), frames=50) == []
    (left,) = door.wait(6)
    assert (left.event_type, left.person_id, left.name) == (EventType.LEFT, None, None)


@pytest.mark.parametrize("observation", [poor(), view("A", Decision.UNSURE)], ids=["poor", "unsure"])
def test_poor_and_unsure_views_say_nothing(observation):
    door = Door(min_votes=3, unknown_after=8)
    assert door.see(observation, frames=100) == []
    assert door.wait(10) == []


def test_poor_views_between_good_ones_do_not_stop_recognition():
    door = Door(min_votes=3)
    events = []
    for _ in range(3):
        events += door.see(view("A")) + door.see(poor(), frames=2)
    assert kinds(events) == [(RECOGNIZED, "Anna")]


def test_nobody_is_named_while_the_votes_are_divided():
    door = Door(min_votes=3, min_share=0.7)
    for _ in range(6):
        assert door.see(view("A")) == []
        assert door.see(view("A", nearest="B")) == []


def test_a_few_accepted_views_among_many_unsure_ones_name_nobody():
    door = Door(min_votes=3, min_share=0.5)
    for _ in range(10):
        assert door.see(view("A", Decision.UNSURE), frames=3) + door.see(view("A")) == []


def test_good_views_weigh_more_than_poor_ones():
    door = Door(min_votes=3, min_share=0.8)
    door.see(view("A", nearest="B", quality=0.1), frames=2)
    assert kinds(door.see(view("A", quality=0.9), frames=3)) == [(RECOGNIZED, "Anna")]


def test_who_is_away_for_long_enough_has_left_and_can_come_again():
    door = Door(min_votes=3, left_after=5.0)
    door.see(view("A"), frames=31)
    assert door.wait(5.0) == []
    (event,) = door.wait(0.5)
    assert (event.event_type, event.person_id, event.name, event.track_id) == (EventType.LEFT, "p_A", "Anna", 1)
    assert event.seconds == pytest.approx(3.0)
    assert door.wait(20) == []
    assert kinds(door.see(view("A"), frames=3)) == [(RECOGNIZED, "Anna")]


def test_a_short_absence_is_the_same_visit():
    door = Door(min_votes=3, left_after=5.0)
    door.see(view("A"), frames=3)
    assert door.wait(4.5) + door.see(view("A", left=400), frames=10) == []
    (event,) = door.wait(6)
    assert event.seconds == pytest.approx(0.2 + 4.5 + 1.0)


def test_who_turns_away_after_being_recognized_is_not_unknown():
    door = Door(min_votes=3, unknown_after=8)
    door.see(view("A"), frames=3)
    assert door.see(view("A", Decision.REJECT), frames=100) == []
    assert kinds(door.wait(6)) == [(LEFT, "Anna")]


def test_who_was_unknown_first_can_still_be_recognized():
    door = Door(min_votes=3, unknown_after=8)
    assert kinds(door.see(view("A", Decision.REJECT), frames=8)) == [(UNKNOWN, None)]
    events = door.see(view("A"), frames=40)
    assert kinds(events) == [(LEFT, None), (RECOGNIZED, "Anna")]
    assert kinds(door.wait(6)) == [(LEFT, "Anna")]


def test_who_was_taken_for_another_is_put_right():
    door = Door(min_votes=3)
    assert kinds(door.see(view("A", nearest="B"), frames=3)) == [(RECOGNIZED, "Bert")]
    assert kinds(door.see(view("A"), frames=40)) == [(LEFT, "Bert"), (RECOGNIZED, "Anna")]
    assert kinds(door.wait(6)) == [(LEFT, "Anna")]


def test_two_people_are_two_visits():
    door = Door(min_votes=3)
    assert sorted(kinds(door.see(view("A"), view("B", left=300), frames=5))) == [(RECOGNIZED, "Anna"), (RECOGNIZED, "Bert")]
    assert door.see(view("B", left=300), frames=49) == []
    assert kinds(door.see(view("B", left=300), frames=2)) == [(LEFT, "Anna")]
    assert kinds(door.wait(6)) == [(LEFT, "Bert")]


def test_two_strangers_are_two_visits():
    door = Door(unknown_after=8)
    events = door.see(stranger("C"), stranger("D", left=300), frames=20)
    assert kinds(events) == [(UNKNOWN, None)] * 2
    assert {event.track_id for event in events} == {1, 2}
    assert {event.track_id for event in door.wait(6)} == {1, 2}


def test_a_stranger_in_the_place_of_a_friend_is_unknown():
    door = Door(min_votes=3, unknown_after=8)
    door.see(view("A"), frames=10)
    assert kinds(door.see(stranger(), frames=8)) == [(UNKNOWN, None)]


def split_in_two(door):
    """Anna, seen by two tracks at once: a mirror, or views too unlike to be joined."""
    return door.see(view("A"), view("B", nearest="A", left=300), frames=10)


def test_two_tracks_of_one_person_are_one_visit():
    door = Door(min_votes=3)
    (arrival,) = split_in_two(door)
    assert kinds([arrival]) == [(RECOGNIZED, "Anna")]
    assert door.see(view("B", nearest="A", left=300), frames=100) == []
    (event,) = door.wait(6)
    assert (event.event_type, event.name, event.track_id) == (EventType.LEFT, "Anna", arrival.track_id)
    assert event.seconds == pytest.approx(10.9)


def test_two_tracks_of_one_person_that_end_together_are_one_departure():
    door = Door(min_votes=3)
    split_in_two(door)
    (event,) = door.wait(20)
    assert (event.event_type, event.name) == (EventType.LEFT, "Anna")
    assert event.seconds == pytest.approx(0.9)


def test_close_ends_all_visits_once():
    door = Door(min_votes=3, unknown_after=8)
    door.see(view("A"), stranger(left=300), view("C", Decision.UNSURE, left=500), frames=10)
    assert sorted(kinds(door.presence.close(door.frame())), key=str) == [(LEFT, "Anna"), (LEFT, None)]
    assert door.presence.close(door.frame()) == []


def test_every_recognized_and_unknown_is_left_once():
    """A busy evening, from a fixed seed: arrivals and departures pair up whatever is seen."""
    random = np.random.default_rng(7)
    door = Door(min_votes=2, unknown_after=3, left_after=0.5)
    present, strangers = set(), 0
    events = []
    for _ in range(3000):
        faces = [
            view(who, random.choice(list(Decision)), nearest=random.choice(list("ABCD")), left=200.0 * place)
            for place, who in enumerate(random.permutation(list("ABCD")))
            if random.random() < 0.3
        ]
        events.append(door.see(*faces))
    events.append(door.presence.close(door.frame()))
    assert sum(map(len, events)) > 200
    for event in chain.from_iterable(events):
        if event.event_type is EventType.RECOGNIZED:
            assert event.person_id not in present
            present.add(event.person_id)
        elif event.event_type is EventType.UNKNOWN:
            strangers += 1
        elif event.person_id is None:
            strangers -= 1
        else:
            present.remove(event.person_id)
        assert event.seconds is None or event.seconds >= 0
    assert (present, strangers) == (set(), 0)


def test_event_ids_are_unique_and_sort_by_time():
    ids = [new_event_id(WALL + step * 0.001) for step in range(1000)]
    assert ids == sorted(set(ids))
    assert len({new_event_id(WALL) for _ in range(1000)}) == 1000


def test_a_clock_before_1970_gives_an_event_id_all_the_same():
    assert new_event_id(-5.0) < new_event_id(WALL)
