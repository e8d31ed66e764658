from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import cv2
import numpy as np
import pytest
from fixtures.frames import Door, frame
from fixtures.frames import photo as picture_of
from numpy.typing import NDArray

from edgeface.types import EventType, Frame, Observation
from edgeface.vision.images import load_image
from edgeface.vision.motion import MotionGate
from edgeface.wire.events import Event

FPS = 5.0
PEOPLE = {"Barack Obama": ["obama_portrait.jpg", "obama_congress.jpg"], "Joe Biden": ["biden_portrait.jpg"]}
dice = np.random.default_rng(0)
ROOM = cv2.resize(dice.normal(110, 30, (30, 40, 3)).clip(20, 220).astype(np.uint8), (640, 480))


GRAIN = dice.standard_normal(2 * ROOM.size, np.float32)


def noisy(picture: NDArray[Any], sigma: float = 4.0) -> NDArray[Any]:
    start = dice.integers(ROOM.size)
    grain = GRAIN[start : start + picture.size].reshape(picture.shape)
    return (picture.astype(np.float32) + np.float32(sigma) * grain).clip(0, 255).astype(np.uint8)


def searched(
    gate: MotionGate, pictures: Iterator[Any] | list[Any], faces: int = 0, start: float = 0.0, fps: float = FPS
) -> list[bool]:
    """For each picture of a sequence, whether it was searched."""
    found = []
    for number, picture in enumerate(pictures):
        time = start + number / fps
        found.append(gate.wants(Frame(picture, time, time)))
        if found[-1]:
            gate.searched(time, faces)
    return found


@pytest.mark.parametrize("sigma", [1.0, 4.0, 12.0, 25.0])
def test_noise_is_no_motion(sigma: float) -> None:
    found = searched(MotionGate(1.0, 5.0), (noisy(ROOM, sigma) for _ in range(100)))
    assert sum(found) == 20  # each second, for safety's sake


def test_light_that_changes_slowly_or_all_over_is_no_motion() -> None:
    day = [noisy(ROOM * (0.6 + 0.4 * np.sin(n / 300))) for n in range(100)]
    assert sum(searched(MotionGate(1.0, 5.0), day)) == 20
    exposure = [noisy(ROOM + 8.0 * (n % 2)) for n in range(100)]
    assert sum(searched(MotionGate(1.0, 5.0), exposure)) == 20


@pytest.mark.parametrize("size", [32, 60, 200])
def test_a_head_that_comes_or_moves_is_seen_at_once(size: int) -> None:
    gate = MotionGate(60.0, 5.0)
    small = cv2.resize(frame(("obama_portrait.jpg", 0, 0))[:200, :200], (size, size), interpolation=cv2.INTER_AREA)
    for left in range(100, 100 + 20 * size // 4, max(6, size // 4)):
        assert not any(searched(gate, [noisy(ROOM)] * 3, start=1000.0 * left)[1:])
        with_head = ROOM.copy()
        with_head[100 : 100 + size, left % 400 : left % 400 + size] = small
        assert searched(gate, [noisy(with_head)], start=1000.0 * left + 1) == [True]
        assert searched(gate, [noisy(ROOM)], start=1000.0 * left + 2) == [True]


@pytest.mark.parametrize("name", ["obama_press_room.jpg", "biden_portrait.jpg", "collins_portrait.jpg"])
def test_what_fills_the_whole_picture_is_seen_at_once(name: str) -> None:
    gate = MotionGate(60.0, 0.5)
    photo = cv2.resize(load_image(picture_of(name)), (640, 480))
    for number in range(4):
        assert searched(gate, [noisy(photo)], faces=1, start=10.0 * number) == [True]
        assert searched(gate, [noisy(ROOM)] * 8, start=10.0 * number + 1)[0]


def test_what_moves_too_slowly_for_two_frames_is_seen_over_more() -> None:
    gate, steps = MotionGate(60.0, 5.0), []
    for n in range(60):
        picture = ROOM.copy()
        picture[200:260, 100 + n // 4 : 140 + n // 4] = 230
        steps.append(noisy(picture))
    assert 1 < sum(searched(gate, steps)) < 40


def test_a_face_is_looked_at_in_every_frame_and_one_that_stays_as_still_as_a_poster_less_often() -> None:
    gate = MotionGate(1.0, 5.0)
    found = searched(gate, (noisy(ROOM) for _ in range(150)), faces=1)
    assert all(found[:50])
    assert sum(found[-50:]) == pytest.approx(20, abs=6)  # twice a second
    gone = searched(gate, (noisy(ROOM) for _ in range(75)), start=150 / FPS)
    assert sum(gone[-40:]) == 8


@pytest.mark.slow
def test_nobody_is_given_up_between_two_looks_however_soon_they_count_as_gone() -> None:
    gate = MotionGate(1.0, 0.6)
    found = searched(gate, (noisy(ROOM) for _ in range(600)), faces=1, fps=20.0)
    assert max(np.diff(np.flatnonzero(found))) / 20.0 <= 0.6 / 2


def test_zero_searches_every_frame() -> None:
    assert all(searched(MotionGate(0.0, 5.0), [ROOM] * 20))


def test_frames_that_change_size_are_searched() -> None:
    gate = MotionGate(60.0, 5.0)
    searched(gate, [ROOM])
    assert searched(gate, [np.full((640, 480, 3), 110, np.uint8)], start=1.0) == [True]


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    door = Door(tmp_path_factory.mktemp("motion"), PEOPLE)
    yield door
    door.gallery.close()


def visit(
    door: Door,
    gate: MotionGate,
    pictures: list[NDArray[Any]],
    fps: float,
    observe: Callable[..., list[Observation]],
) -> tuple[list[tuple[int, Event]], int]:
    """The events of a sequence, each with its frame's number, and how many frames were searched."""
    events, count = [], 0
    door.time += 1000.0
    door.wait(0.0)
    gate_time = door.time
    for number, picture in enumerate(pictures):
        moment = Frame(picture, gate_time + number / fps, 1e9 + gate_time + number / fps)
        wanted = gate.wants(moment)
        seen = observe(number) if wanted else []
        if wanted:
            gate.searched(moment.time, len(seen))
            count += 1
        events += [(number, event) for event in door.presence.update(moment, seen, door.pipeline.matcher)]
    door.time = gate_time + len(pictures) / fps
    return events, count


def played(person: str, still: bool) -> list[Any]:
    """Nobody for 4 s; somebody who walks in, stands stock still for 4 s or sways, and is gone; nobody again, for 8 s."""
    nobody = [noisy(frame(), 3) for _ in range(20)]
    enters = [noisy(frame((person, left, 140)), 3) for left in range(0, 200, 50)]
    stands = [noisy(frame((person, 200 + (0 if still else 10 * (n % 3)), 140)), 3) for n in range(20)]
    return nobody + enters + stands + [noisy(frame(), 3) for _ in range(40)]


@pytest.mark.parametrize("still", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "person",
    [
        "obama_press_room.jpg",
        pytest.param("biden_blue_room.jpg", marks=pytest.mark.slow),
        pytest.param("collins_portrait.jpg", marks=pytest.mark.slow),
    ],
)
def test_who_comes_is_told_of_as_without_the_gate_and_most_frames_without_anybody_are_left_out(
    door: Door, person: str, still: bool
) -> None:
    pictures = played(person, still)
    observe = cache(lambda number: door.pipeline.observe(pictures[number]))
    told = {}
    for name, gate in (("every frame", MotionGate(0.0, 5.0)), ("gate", MotionGate(1.0, 5.0))):
        events, count = visit(door, gate, pictures, FPS, observe)
        told[name] = [(number, event.event_type, event.name) for number, event in events]
        if name == "gate":
            assert count < 60 < len(pictures)
    assert told["gate"] == told["every frame"]
    assert told["gate"][0][1] in (EventType.RECOGNIZED, EventType.UNKNOWN)


def test_who_was_there_before_anything_moved_is_found_by_the_safety_look(door: Door) -> None:
    """As if the detector had missed the one frame in which they came."""
    pictures = [noisy(frame(("obama_press_room.jpg", 200, 140)), 3) for _ in range(20)]

    def first(every: float) -> list[Any]:
        gate = MotionGate(every, 5.0)
        gate.wants(Frame(pictures[0], door.time + 1000.0, 0.0))
        gate.searched(door.time + 1000.0, 0)
        events, _ = visit(door, gate, pictures, FPS, lambda number: door.pipeline.observe(pictures[number]))
        return [event.name for _, event in events]

    assert first(1.0) == ["Barack Obama"]
    assert first(3600.0) == []
