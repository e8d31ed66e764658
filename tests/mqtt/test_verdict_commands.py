"""Verdicts over MQTT: a whole daemon, a real broker, and a sender who may be hostile."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fixtures.broker import Broker, Listener, eventually, needs_broker
from fixtures.contract import problems
from fixtures.daemon import EMPTY, Stage, enroll, running, settings

from edgeface.config.schema import Config, GallerySettings
from edgeface.gallery.open import open_gallery
from edgeface.vision.images import load_image
from edgeface.vision.model_card import load_card

ALLOWED = ("people", "events", "reject", "confirm", "introduce", "dismiss")
FACES = ("obama_portrait", "obama_congress", "obama_press_room")
pytestmark = needs_broker


class Door:
    """A daemon at whose camera Anna (Obama) was seen, and then a stranger (Collins)."""

    def __init__(self, folder: Path, photos: Path, ear: Listener, stage: Stage) -> None:
        self.audit, self._ear, self._asked = folder / "audit.jsonl", ear, 0
        self.anna, self.stranger = (
            self._seen(stage, photos / photo) for photo in ("obama_portrait.jpg", "collins_portrait.jpg")
        )

    def _seen(self, stage: Stage, photo: Path) -> dict[str, Any]:
        before = len(self._ear.on("/event"))
        stage.scene = load_image(photo)
        event: dict[str, Any] = self._ear.wait_for("/event", before + 1)[-1]
        stage.scene = EMPTY
        self._ear.wait_for("/event", before + 2)
        assert eventually(lambda: any(kept["event_id"] == event["event_id"] for kept in self.kept()))
        return event

    def ask(self, verb: str, **request: Any) -> Any:
        """The answer, which is as its schema says."""
        self._asked += 1
        asked = {"id": str(self._asked), **request}
        self._ear.say(f"edgeface/door/cmd/{verb}", asked)

        def answered() -> Any:
            return next((answer for answer in self._ear.on(f"resp/{verb}") if answer["id"] == asked["id"]), None)

        answer = eventually(answered)
        assert answer, verb
        assert problems(f"resp/{verb}", json.dumps(answer)) == []
        return answer

    def kept(self) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = self.ask("events")["result"]["events"]
        return listed

    def templates(self) -> dict[str, int]:
        return {person["name"]: person["templates"] for person in self.ask("people")["result"]["people"]}

    def noted(self) -> list[str]:
        lines = [json.loads(line) for line in self.audit.read_text().splitlines()]
        assert all(line["by"] == {"mqtt": True} for line in lines)
        return [line["action"] for line in lines]


@contextmanager
def opened(
    folder: Path, photos: Path, *, allowed: tuple[str, ...] = ALLOWED, faces: tuple[str, ...] = FACES[:1]
) -> Iterator[Door]:
    """A door where Anna is enrolled by these faces."""
    broker = Broker(folder / "broker").start()
    config = settings(folder, broker, commands={"allow": allowed, "per_minute": 600}, events={"keep_strangers": True})
    for face in faces:
        enroll(config, "Anna", photos / f"{face}.jpg")
    ear = broker.listen("edgeface/#")
    try:
        with running(config) as stage:
            yield Door(folder, photos, ear, stage)
    finally:
        broker.close()


@pytest.fixture
def door(tmp_path: Path, demo_photos: Path) -> Iterator[Door]:
    with opened(tmp_path, demo_photos) as door:
        yield door


@pytest.fixture(scope="module")
def same_door(tmp_path_factory: pytest.TempPathFactory, demo_photos: Path) -> Iterator[Door]:
    """A door for the tests that leave it as it was."""
    with opened(tmp_path_factory.mktemp("door"), demo_photos) as door:
        yield door


def test_each_verdict_is_taken_and_noted_and_one_that_comes_twice_changes_nothing_more(door: Door) -> None:
    kinds = {kept["event_id"]: (kept["event_type"], kept["name"]) for kept in door.kept()}
    assert kinds == {door.anna["event_id"]: ("recognized", "Anna"), door.stranger["event_id"]: ("unknown", None)}
    assert [kept["event_id"] for kept in door.ask("events", person="Anna")["result"]["events"]] == [door.anna["event_id"]]

    confirmed = door.ask("confirm", event_id=door.anna["event_id"])["result"]
    assert (confirmed["verdict"], confirmed["name"]) == ("confirmed", "Anna")
    before = door.templates()
    assert not door.ask("confirm", event_id=door.anna["event_id"])["result"]["added"]
    for _ in range(3):
        assert door.ask("introduce", event_ids=[door.stranger["event_id"]], name="Susan")["result"]["name"] == "Susan"
    assert door.templates() == before | {"Susan": 1}

    rejected = door.ask("reject", event_id=door.stranger["event_id"])["result"]  # the only face of Susan
    assert (rejected["verdict"], rejected["added"]) == ("rejected", False)
    assert door.templates() == before
    assert door.noted() == ["confirmed", "confirmed", "introduced", "introduced", "introduced", "rejected"]


def test_a_stranger_is_dismissed_and_the_log_says_so(door: Door) -> None:
    ids = [door.stranger["event_id"], door.anna["event_id"]]
    assert door.ask("dismiss", event_ids=ids)["result"] == {"events": 1}
    assert [kept["event_id"] for kept in door.kept()] == [door.anna["event_id"]]
    assert door.ask("dismiss", event_ids=ids)["result"] == {"events": 0}
    assert door.noted() == ["dismissed", "dismissed"]


def test_over_mqtt_a_stranger_cannot_be_confirmed_as_somebody(same_door: Door) -> None:
    before = same_door.templates()
    answer = same_door.ask("confirm", event_id=same_door.stranger["event_id"], person="Anna")  # a field of the device alone
    assert "names nobody" in answer["error"]
    assert same_door.templates() == before


@pytest.mark.parametrize(
    ("verb", "request_"),
    [
        ("reject", {"event_id": "0" * 26}),
        ("confirm", {"event_id": "' OR 1=1 --"}),
        ("confirm", {"event_id": "x" * 101}),
        ("confirm", {}),
        ("introduce", {"event_ids": [], "name": "Eve"}),
        ("introduce", {"event_ids": ["0" * 26], "name": "Eve"}),
        ("introduce", {"event_ids": ["0" * 26] * 501, "name": "Eve"}),
        ("dismiss", {"event_ids": "all"}),
        ("events", {"person": "Eve"}),
    ],
)
def test_what_is_wrong_with_a_verdict_is_answered_and_nothing_changes(
    same_door: Door, verb: str, request_: dict[str, Any]
) -> None:
    before = same_door.templates(), same_door.kept()
    assert len(same_door.ask(verb, **request_)["error"].splitlines()) == 1
    assert (same_door.templates(), same_door.kept()) == before


def test_nothing_forces_a_rejection_over_mqtt(tmp_path: Path, demo_photos: Path) -> None:
    with opened(tmp_path, demo_photos, faces=FACES) as door:
        answer = door.ask("reject", event_id=door.anna["event_id"], force=True)
        assert "it seems to be Anna" in answer["error"]
    gallery = open_gallery(Config(gallery=GallerySettings(str(tmp_path / "gallery.db"))), load_card())
    assert len(gallery.templates().negatives) == 0
    gallery.close()


def test_none_is_served_unless_it_is_allowed(tmp_path: Path, demo_photos: Path) -> None:
    with opened(tmp_path, demo_photos, allowed=("people", "events")) as door:
        before = door.templates()
        for verb, request in (
            ("reject", {"event_id": door.anna["event_id"]}),
            ("confirm", {"event_id": door.anna["event_id"]}),
            ("introduce", {"event_ids": [door.stranger["event_id"]], "name": "Eve"}),
            ("dismiss", {"event_ids": [door.stranger["event_id"]]}),
        ):
            assert "not allowed" in door.ask(verb, **request)["error"]
        assert (door.templates(), len(door.kept())) == (before, 2)
