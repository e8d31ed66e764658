"""Who is home, over two daemons with one gallery, one of them a process that is killed."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fixtures.broker import Broker, broker, eventually, needs_broker
from fixtures.commandline import Cli
from fixtures.daemon import EMPTY, running, settings

from edgeface.config.load import load
from edgeface.mqtt.home import Whereabouts
from edgeface.sync.messages import make_key, take_key
from edgeface.vision.images import load_image

__all__ = ["broker"]
SHARED = {"sync": {"enabled": True}, "home": {"enabled": True}, "homeassistant": {"enabled": True}}


@pytest.fixture
def door(tmp_path: Path, broker: Broker, demo_photos: Path) -> Iterator[Cli]:
    """A device before whose camera Anna stands."""
    (tmp_path / "door" / "scene").mkdir(parents=True)
    photo = demo_photos / "obama_portrait.jpg"
    (tmp_path / "door" / "scene" / photo.name).write_bytes(photo.read_bytes())
    cli = Cli(tmp_path / "door")
    camera = {"source": f"folder:{tmp_path / 'door' / 'scene'}", "name": "front", "hold": 600, "fps": 4}
    cli.set(device={"id": "door"}, camera=camera, mqtt=broker.settings(), **SHARED)
    yield cli
    for one in cli.running:
        one.process.kill()
        one.process.wait(10)


@pytest.mark.slow
@needs_broker
def test_two_daemons_tell_of_one_person_until_she_is_forgotten(
    tmp_path: Path, broker: Broker, door: Cli, demo_photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Whereabouts, "LEASE_S", 8.0)  # of the gate; the door renews after a minute
    gate = settings(tmp_path, broker, device={"id": "gate"}, camera={"name": "yard"}, **SHARED)
    take_key(gate, make_key(load(door.file)))
    person = door.json("enroll", "Anna", "--image", demo_photos / "obama_portrait.jpg", "--json")["id"]
    topic, tracker = f"edgeface/people/home/{person}", f"homeassistant/device/edgeface/{person}/config"

    def kept() -> dict[str, Any]:
        told: dict[str, Any] = broker.retained(topic) or {"devices": {}, "present": None, "device": None}
        return told

    assert "no daemon runs" in door.refusal("people", "home")
    daemon = door.start("run")
    with running(gate) as stage:
        assert eventually(lambda: kept()["present"], 120), daemon.told
        assert eventually(lambda: kept()["devices"].keys() == {"door", "gate"})
        (anna,) = door.json("people", "home")["people"]
        assert (anna["id"], anna["state"], anna["device"], anna["camera"]) == (person, "home", "door", "front")
        assert "Anna" in door("people", "home").stdout
        assert door.json("status")["home"] == ["Anna"]
        assert any(line.split() == ["home", "Anna"] for line in door("status").stdout.splitlines())

        stage.scene = load_image(demo_photos / "obama_portrait.jpg")
        assert eventually(lambda: kept()["devices"]["gate"]["state"] == "present")
        stage.scene = EMPTY
        assert eventually(lambda: kept()["devices"]["gate"]["state"] == "left")
        daemon.stop(signal.SIGKILL)
        assert eventually(lambda: kept()["present"] is False), kept()
        assert kept()["state"] == "home"
        assert {one["topic"] for one in broker.state(tracker)["availability"]} == {
            "edgeface/door/availability",
            "edgeface/gate/availability",
        }
        door("people", "forget", "Anna")  # while the door's daemon is dead
        door("gallery", "sync")
        assert eventually(lambda: broker.retained(topic) is None and broker.retained(tracker) is None)
