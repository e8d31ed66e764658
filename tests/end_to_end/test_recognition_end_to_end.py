"""People before the camera, composed of real photos: what the whole of pipeline, tracks and presence says of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.broker import Broker, broker, eventually, needs_broker
from fixtures.daemon import enroll, running, settings
from fixtures.frames import Door, frame, head, photo
from fixtures.optional import needed

from edgeface.config.schema import PresenceSettings
from edgeface.types import EventType, Reason
from edgeface.wire.events import Event

__all__ = ["broker"]
PEOPLE = {"Obama": ["obama_portrait.jpg", "obama_congress.jpg"], "Biden": ["biden_blue_room.jpg"]}
OBAMA, BIDEN, STRANGER = "obama_press_room.jpg", "biden_portrait.jpg", "collins_portrait.jpg"


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return Door(tmp_path, PEOPLE)


def kinds(events: list[Event]) -> list[Any]:
    return [(event.event_type.value, event.name) for event in events]


def test_two_people_who_enter_together_are_both_recognized(door: Door) -> None:
    events = [event for step in range(8) for event in door.see((OBAMA, 40 + 8 * step, 100), (BIDEN, 380 - 8 * step, 120))]
    assert sorted(kinds(events)) == [("recognized", "Biden"), ("recognized", "Obama")]
    assert sorted(kinds(door.wait(6))) == [("left", "Biden"), ("left", "Obama")]


def test_two_people_who_cross_are_recognized_once_each_and_never_corrected(door: Door) -> None:
    events = []
    for step in range(20):
        events += door.see((BIDEN, 420 - 22 * step, 120), (OBAMA, 10 + 22 * step, 100))
    assert sorted(kinds(events)) == [("recognized", "Biden"), ("recognized", "Obama")]
    events = door.wait(6)
    assert sorted(kinds(events)) == [("left", "Biden"), ("left", "Obama")]
    assert all((event.seconds or 0.0) > 1.7 for event in events)


def test_who_turns_away_and_comes_back_is_one_visit(door: Door) -> None:
    events = [event for step in range(6) for event in door.see((OBAMA, 100 + 5 * step, 100))]
    back_of_head = np.full_like(head(OBAMA), 60)
    for step in range(20):
        events += door.see((back_of_head, 130 + 2 * step, 100))
    for step in range(10):
        events += door.see((OBAMA, 400 - 5 * step, 100))
    assert kinds(events) == [("recognized", "Obama")]
    (left,) = door.wait(6)
    assert left.seconds == pytest.approx(3.5)


def test_a_face_that_is_missed_in_every_other_frame_is_recognized_once(door: Door) -> None:
    events = []
    for step in range(16):
        events += door.see(*[(OBAMA, 60 + 25 * step, 100)] * (step % 2))
    assert kinds(events) == [("recognized", "Obama")]


def test_one_bad_view_among_good_ones_changes_nothing(door: Door) -> None:
    shown = [BIDEN, BIDEN, STRANGER, BIDEN, BIDEN, STRANGER, BIDEN, BIDEN]
    events = [event for name in shown for event in door.see((name, 200, 120))]
    assert kinds(events) == [("recognized", "Biden")]


def test_a_stranger_is_never_named_and_unknown_once(door: Door) -> None:
    events = [event for step in range(40) for event in door.see((STRANGER, 100 + 5 * step, 100))]
    assert kinds(events) == [("unknown", None)]


def test_a_stranger_beside_a_friend_stays_a_stranger(door: Door) -> None:
    events = []
    for step in range(20):
        events += door.see((STRANGER, 420 - 22 * step, 120), (OBAMA, 10 + 22 * step, 100))
    names = [event.name for event in events if event.event_type is EventType.RECOGNIZED]
    assert names == ["Obama"]
    assert not any(event.corrected for event in events)


@pytest.mark.parametrize("first", [OBAMA, "obama_blue_room.jpg"])
def test_of_two_faces_of_one_person_in_one_frame_one_is_named(door: Door, first: str) -> None:
    """As with a mirror, a photo in the hand, or a brother; each of the two is Obama when he is alone."""
    second = OBAMA if first != OBAMA else "obama_blue_room.jpg"
    events = [event for step in range(6) for event in door.see((first, 40 + step, 100))]
    events += [event for step in range(20) for event in door.see((first, 46, 100), (second, 400 - step, 120))]
    assert kinds(events) == [("recognized", "Obama")]
    faces = door.presence.tracked_faces(door.time)
    assert [bool(face.person_id) for face in faces].count(True) == 1
    assert len({face.track_id for face in faces}) == 2
    named = max(faces, key=lambda face: face.seen.match.score if face.seen.match else 0.0)
    assert named.person_id
    displaced, left = sorted(door.wait(6), key=lambda event: event.name or "")
    assert (left.event_type, left.name) == (EventType.LEFT, "Obama")
    assert (displaced.event_type, displaced.name, needed(displaced.doubt).reason) == (EventType.UNSURE, None, Reason.DISPLACED)


def test_who_is_forgotten_while_there_leaves_no_face_of_before(door: Door) -> None:
    assert kinds([event for _ in range(30) for event in door.see((BIDEN, 100, 100))]) == [("recognized", "Biden")]
    door.gallery.forget("Biden")
    left, unknown = [event for _ in range(30) for event in door.see((BIDEN, 100, 100))]
    assert (left.event_type, left.name, left.corrected) == (EventType.LEFT, "Biden", None)
    assert (unknown.event_type, unknown.votes, unknown.corrected) == (EventType.UNKNOWN, PresenceSettings().unknown_after, None)


def test_who_stands_in_a_friends_place_in_the_dark_keeps_nobody_present(door: Door) -> None:
    events = [event for _ in range(6) for event in door.see((OBAMA, 200, 120))]
    dark = (head(BIDEN) * 0.1).astype(np.uint8)
    (observation,) = door.look((dark, 200, 120))
    assert observation.embedding is None
    for _ in range(60):
        door.time += 0.4
        events += door.see((dark, 200, 120))
    assert kinds(events) == [("recognized", "Obama"), ("left", "Obama")]
    assert events[-1].seconds == pytest.approx(0.5)
    assert events[-1].time == pytest.approx(0.6 + 5.0, abs=0.6)
    events = [event for _ in range(8) for event in door.see((BIDEN, 200, 120))]
    assert kinds(events) == [("recognized", "Biden")]


@needs_broker
def test_a_daemon_tells_that_somebody_left_though_a_face_in_the_dark_is_in_their_place(tmp_path: Path, broker: Broker) -> None:
    config = settings(tmp_path, broker, presence={"left_after": 1.0})
    enroll(config, "Obama", photo("obama_portrait.jpg"))
    person, ear = enroll(config, "Obama", photo("obama_congress.jpg")), broker.listen()
    states = f"person/{person}/state"
    with running(config) as stage:
        stage.scene = frame((OBAMA, 200, 120))
        ear.wait_for(states, 2)
        stage.scene = frame(((head(BIDEN) * 0.1).astype(np.uint8), 200, 120))
        assert ear.wait_for(states, 3) == ["OFF", "ON", "OFF"]
        assert eventually(lambda: broker.state("edgeface/door/front/presence")["people"] == [])
    events = [event for event in ear.on("/event") if event["event_type"] in ("recognized", "left", "unknown")]
    assert [event["event_type"] for event in events] == ["recognized", "left"]
