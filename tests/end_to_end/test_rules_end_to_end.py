"""What people's rules let subscribers see, with a real broker and real faces."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from fixtures.broker import Broker, Listener, broker, eventually, needs_broker
from fixtures.contract import problems
from fixtures.daemon import EMPTY, Stage, ask, enroll, running, settings

from edgeface.daemon import expiry
from edgeface.types import Image
from edgeface.vision.images import load_image

__all__ = ["broker"]
pytestmark = needs_broker
VERBS = ["forget", "mute", "unmute", "ignore", "hours", "group", "expire", "people"]


class Scene:
    def __init__(self, stage: Stage, broker: Broker, person: str, obama: Image) -> None:
        self.stage, self.broker, self.person, self._obama = stage, broker, person, obama
        self.listener: Listener = broker.listen()

    def ask(self, verb: str, **request: Any) -> Any:
        answer = ask(self.listener, verb, 5.0, **{"person": "Obama"} | request)
        assert problems(f"resp/{verb}", json.dumps(answer).encode()) == []
        assert answer["ok"], answer
        return answer["result"]

    def events(self) -> list[Any]:
        return self.listener.on("/event")

    def states(self) -> list[Any]:
        return self.listener.on(f"person/{self.person}/state")

    def people(self) -> list[Any]:
        return [one["name"] for one in self.broker.state("edgeface/door/front/presence")["people"]]

    def comes(self) -> None:
        self.stage.scene = self._obama

    def goes(self) -> None:
        self.stage.scene = EMPTY

    def withheld(self) -> int:
        return int((self.broker.retained("edgeface/door/health") or {}).get("events_withheld", 0))


@contextmanager
def door(tmp_path: Path, broker: Broker, photos: Path, **more: Any) -> Iterator[Scene]:
    config = settings(
        tmp_path,
        broker,
        commands={"allow": VERBS, "per_minute": 600},
        mqtt={"images": True} | broker.settings(),
        homeassistant={"enabled": True},
        **more,
    )
    person = enroll(config, "Obama", photos / "obama_portrait.jpg")
    with running(config) as stage:
        scene = Scene(stage, broker, person, load_image(photos / "obama_portrait.jpg"))
        assert eventually(lambda: scene.listener.on("/availability"))
        yield scene


def test_who_is_muted_is_present_and_sends_no_event(tmp_path: Path, broker: Broker, demo_photos: Path) -> None:
    with door(tmp_path, broker, demo_photos) as scene:
        scene.ask("mute")
        scene.comes()
        assert eventually(lambda: "ON" in scene.states())
        assert eventually(lambda: scene.people() == ["Obama"])
        scene.goes()
        assert eventually(lambda: scene.states()[-1] == "OFF")
        assert scene.events() == []
        assert not [message for message in scene.listener.messages if "/image/" in message.topic]
        assert eventually(lambda: scene.withheld() == 2)
        scene.ask("unmute")
        scene.ask("group", groups=["family"])
        scene.ask("hours", hours=["00:00-24:00"])
        scene.comes()
        assert eventually(scene.events)
        (event,) = scene.events()
        assert problems("event", json.dumps(event).encode()) == []
        assert (event["name"], event["groups"], event["allowed"]) == ("Obama", ["family"], True)
        assert scene.withheld() == 2


def test_nothing_that_is_published_tells_of_who_is_ignored(tmp_path: Path, broker: Broker, demo_photos: Path) -> None:
    home = broker.listen("homeassistant/#")
    with door(tmp_path, broker, demo_photos) as scene:
        assert eventually(lambda: scene.person in (home.on("/config") or [{"components": {}}])[-1]["components"])
        scene.ask("ignore")
        assert eventually(lambda: home.on("/config")[-1]["components"].get(scene.person) == {"platform": "binary_sensor"})
        answers = {id(message) for message in scene.listener.messages}
        scene.comes()
        assert eventually(lambda: scene.withheld() == 1)
        assert eventually(lambda: broker.state("edgeface/door/health")["frames_seen"] > 60)  # many views that fit nobody else
        scene.goes()
        assert eventually(lambda: scene.withheld() == 2)
        later = [message for message in scene.listener.messages if id(message) not in answers]
        assert not [message for message in later if scene.person.encode() in message.payload or scene.person in message.topic]
        assert not [message for message in later if b"Obama" in message.payload]
        assert scene.events() == []
        assert broker.retained("edgeface/door/front/presence") == broker.retained("edgeface/door/front/presence") | {
            "people": [],
            "unknown": 0,
            "last": None,
        }
        assert broker.state("edgeface/door/health")["gallery_size"] == 1
        scene.ask("ignore", ignored=False)
        scene.comes()
        assert eventually(scene.events)


def test_who_is_there_when_they_are_ignored_is_gone_for_subscribers(tmp_path: Path, broker: Broker, demo_photos: Path) -> None:
    with door(tmp_path, broker, demo_photos) as scene:
        scene.comes()
        assert eventually(scene.events)
        scene.ask("ignore")
        assert eventually(lambda: scene.people() == [])
        assert eventually(lambda: scene.states()[-1] == "OFF")
        scene.goes()
        assert eventually(lambda: scene.withheld() == 1)
        assert len(scene.events()) == 1


def test_who_is_ignored_is_not_told_when_they_are_forgotten(tmp_path: Path, broker: Broker, demo_photos: Path) -> None:
    with door(tmp_path, broker, demo_photos) as scene:
        scene.ask("ignore")
        scene.comes()
        assert eventually(lambda: scene.withheld() == 1)
        scene.ask("forget")
        assert eventually(scene.events)
        assert [event["event_type"] for event in scene.events()] == ["unknown"]
        assert eventually(lambda: scene.withheld() == 2)
        assert "ON" not in scene.states()


@pytest.mark.parametrize("outside", ["tell", "withhold"])
def test_who_comes_outside_of_their_hours_is_told_so_or_not_at_all(
    tmp_path: Path, broker: Broker, demo_photos: Path, outside: str
) -> None:
    with door(tmp_path, broker, demo_photos, rules={"outside_hours": outside}) as scene:
        day = datetime.now().weekday()
        scene.ask("hours", hours=[f"{('thu', 'fri', 'sat', 'sun', 'mon', 'tue', 'wed')[day]} 12:00-12:01"])
        scene.comes()
        assert eventually(lambda: "ON" in scene.states())
        if outside == "tell":
            assert eventually(scene.events)
            assert scene.events()[0]["allowed"] is False
        else:
            assert eventually(lambda: scene.withheld() == 1)
            assert scene.events() == []


def test_a_guest_is_forgotten_when_their_time_is_over(
    tmp_path: Path, broker: Broker, demo_photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expiry, "LOOK", 0.2)
    monkeypatch.setattr(expiry, "COUNT", 0.2)
    with door(tmp_path, broker, demo_photos) as scene:
        scene.ask("expire", minutes=0.05)
        scene.comes()
        assert eventually(lambda: broker.state("edgeface/door/health")["gallery_size"] == 0)
        assert eventually(lambda: scene.people() == [])
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    (forgotten,) = [line for line in lines if line["action"] == "forget"]
    assert (forgotten["person"], forgotten["expired"], forgotten["done"]) == (scene.person, True, True)
