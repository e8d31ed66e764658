"""Scenes composed of real photos: a head that turns shows that it lives, a photo does not, whatever is done to it."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pytest

pytest.importorskip("tqdm", reason="belongs to the extra train")

from fixtures.door import Door
from fixtures.heads import portrait, scene_of
from typer.testing import CliRunner

from edgeface import detectors
from edgeface.config.schema import Config, LivenessSettings, PresenceSettings
from edgeface.recognition.presence import Presence
from edgeface.types import EventType, Face, Frame, Image, Observation
from edgeface.vision.alignment import CHIP_SIZE, TEMPLATE
from edgeface.vision.liveness import ALIVE, BENDS, MIDDLE, UNIT, Liveness, explain, relief
from edgeface.vision.model_card import ModelCard
from edgeface.wire.events import Event
from train import __main__ as command

PEOPLE = {"obama": ("obama_portrait.jpg", "obama_press_room.jpg"), "biden": ("biden_portrait.jpg", "biden_blue_room.jpg")}

Visit = list[tuple[Image, Face]]


@pytest.fixture(scope="module")
def scenes() -> dict[tuple[str, str], Visit]:
    """One of each person: a scene, and for each kind of visit its frames with the landmarks in them."""
    detector = detectors.create()
    made = {}
    for person, names in PEOPLE.items():
        scene = scene_of(*names, frames=12)
        for kind in ("live", "moved", "tilted", "bent", "flexed", "swapped"):
            shown = scene.play(kind, np.random.default_rng(1))
            made[person, kind] = [(frame, detector.detect(frame)[0]) for frame in shown]
    return made


def score(seen: Visit) -> float | None:
    check = Liveness()
    for frame, face in seen:
        check.see(frame, face.landmarks)
    return check.score


@pytest.mark.parametrize("person", PEOPLE)
def test_a_head_that_turns_is_alive(scenes: dict[tuple[str, str], Visit], person: str) -> None:
    assert (score(scenes[person, "live"]) or 0.0) >= ALIVE


@pytest.mark.parametrize("kind", ["moved", "tilted", "bent", "flexed", "swapped"])
@pytest.mark.parametrize("person", PEOPLE)
def test_a_photo_is_not_however_it_is_held(scenes: dict[tuple[str, str], Visit], person: str, kind: str) -> None:
    assert (score(scenes[person, kind]) or 0.0) < ALIVE


def test_a_face_that_does_not_turn_tells_nothing(scenes: dict[tuple[str, str], Visit]) -> None:
    frame, face = scenes["obama", "live"][0]
    random = np.random.default_rng(0)
    grainy = [np.clip(frame + random.normal(0, 3, frame.shape), 0, 255).astype(np.uint8) for _ in range(12)]
    assert score([(picture, face) for picture in grainy]) is None


def test_evidence_of_life_stays_when_the_face_is_lost_from_sight(
    scenes: dict[tuple[str, str], Visit],
) -> None:
    seen = scenes["obama", "live"]
    dark = [(np.zeros_like(frame), face) for frame, face in seen]
    alone, twice = score(seen), score([*seen, *dark, *seen])
    assert alone is not None
    assert twice is not None
    assert twice >= alone
    assert score(dark) is None


def test_a_homography_is_no_sign_of_life_and_the_relief_of_a_head_is_told_from_a_cylinder() -> None:
    points = np.random.default_rng(0).uniform(25, 90, (60, 2))
    x, y = ((points - MIDDLE) / UNIT).T
    tilt = 2.0 * np.column_stack([x * x + 0.3 * y, x * y - 0.2 * x])
    turn = np.array([3.0, 1.0])
    flat, head, bent = (explain(points, motion) for motion in (tilt, relief(x, y)[:, None] * turn, (x * x)[:, None] * turn))
    assert flat[:-1].max() < 1e-6 < flat[-1]
    assert head[0] > 1.3 * head[1:-1].max()
    assert bent[1] == bent[1:-1].max() > 1.2 * bent[0]
    assert len(head) == len(BENDS) + 2


def test_points_that_go_astray_do_not_pass_for_a_relief() -> None:
    points = np.random.default_rng(0).uniform(25, 90, (60, 2))
    motion = np.zeros((60, 2))
    motion[:5] = 8.0
    assert explain(points, motion)[0] < 0.1


@pytest.fixture
def watch(card: ModelCard, scenes: dict[tuple[str, str], Visit]) -> Callable[..., list[Event]]:
    """Play a visit of Anna's, whose views are all perfectly like her, to a presence with a mode; returns the events."""

    def play(kind: str, mode: Literal["off", "report", "refuse"], who: str = "A") -> list[Event]:
        door, settings = Door(card), PresenceSettings(min_votes=3, unknown_after=8, left_after=1.0)
        door.presence = Presence(Config(presence=settings, liveness=LivenessSettings(mode)), card)
        events: list[Event] = []
        for frame, face in scenes["obama", kind]:
            door.time += 0.2
            view = door.view(who)
            seen = Observation(face, view.quality, view.embedding, view.match)
            events += door.presence.update(Frame(frame, door.time, door.time), [seen], door.matcher)
        return [*events, *door.wait(3)]

    return play


def test_refuse_names_a_live_face_once_it_has_turned_and_a_photo_never(watch: Callable[..., list[Event]]) -> None:
    arrival, left = watch("live", "refuse")
    assert (arrival.event_type, arrival.name, left.event_type) == (EventType.RECOGNIZED, "Anna", EventType.LEFT)
    assert arrival.liveness is not None
    assert left.liveness is not None
    assert ALIVE <= arrival.liveness <= left.liveness
    assert [event.event_type for event in watch("tilted", "refuse")] == [EventType.UNSURE]


def test_refuse_lets_a_stranger_be_called_unknown(watch: Callable[..., list[Event]]) -> None:
    assert [event.event_type for event in watch("moved", "refuse", "D")] == [EventType.UNKNOWN, EventType.LEFT]


def test_report_names_a_photo_at_once_and_says_in_the_end_how_alive_it_looked(watch: Callable[..., list[Event]]) -> None:
    arrival, left = watch("tilted", "report")
    assert (arrival.name, arrival.votes, arrival.liveness) == ("Anna", 3, None)
    assert left.liveness is not None
    assert left.liveness < ALIVE


def test_off_says_nothing(watch: Callable[..., list[Event]]) -> None:
    assert [event.liveness for event in watch("live", "off")] == [None, None]


def test_a_chip_of_nothing_is_survived() -> None:
    check = Liveness()
    for shade, next_shade in pairwise((0, 255, 0, 128)):
        for value in (shade, next_shade):
            check.see(np.full((CHIP_SIZE, CHIP_SIZE, 3), value, np.uint8), TEMPLATE)
    assert check.score is None


@pytest.mark.slow
def test_the_command_measures_each_kind_of_visit(tmp_path: Path) -> None:
    for person, names in PEOPLE.items():
        (tmp_path / person).mkdir()
        for name in names:
            cv2.imwrite(str(tmp_path / person / name), portrait(name)[..., ::-1])
    result = CliRunner().invoke(command.app, ["liveness", str(tmp_path), "--people", "2", "--frames", "6"])
    assert result.exit_code == 0, result.output
    rows = result.output.splitlines()
    assert [row.split(":")[0] for row in rows[1:]] == [
        "live", "still", "moved", "tilted", "bent", "flexed", "swapped", "screen", "replayed"
    ]  # fmt: skip
    assert all(" 2 " in row for row in rows[1:])
