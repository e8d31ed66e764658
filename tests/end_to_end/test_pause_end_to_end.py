"""A daemon that is paused at every door, with a real broker, and the process as a user starts it."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from fixtures.broker import Broker, Listener, broker, eventually, needs_broker
from fixtures.commandline import Cli
from fixtures.contract import problems
from fixtures.daemon import Stage, ask, enroll, running, settings

from edgeface.daemon.pausable_camera import PausableCamera
from edgeface.interfaces import Camera
from edgeface.operations.pause import Pause
from edgeface.types import Image
from edgeface.vision.images import load_image

__all__ = ["broker"]
ALLOWED = {"allow": ["pause", "resume", "snapshot", "enroll"], "per_minute": 600}


class Stages:
    """Makes a stage whenever the camera is opened, with the scene of now."""

    def __init__(self) -> None:
        self.made: list[Stage] = []
        self.scene: Image | str | None = None

    def __call__(self) -> Camera:
        self.made.append(Stage())
        self.show(self.scene)
        return self.made[-1]

    def show(self, scene: Image | str | None) -> None:
        self.scene = scene
        self.made[-1].scene = scene

    @property
    def open(self) -> list[Stage]:
        return [stage for stage in self.made if not stage._closed.is_set()]


@pytest.fixture
def obama(demo_photos: Path) -> Image:
    return load_image(demo_photos / "obama_portrait.jpg")


def states(listener: Listener) -> list[str]:
    return [health["camera_state"] for health in listener.on("/health")]


@needs_broker
def test_who_was_there_leaves_and_nothing_is_seen_until_somebody_resumes(
    tmp_path: Path, broker: Broker, demo_photos: Path, obama: Image
) -> None:
    config = settings(tmp_path, broker, commands=ALLOWED, homeassistant={"enabled": True})
    person = enroll(config, "Obama", demo_photos / "obama_portrait.jpg")
    stages, pause, listener = Stages(), Pause(config), broker.listen()
    home = broker.listen("homeassistant/#")
    stages.scene = obama
    with running(config, pause=pause, camera=PausableCamera(stages, pause.now)):
        listener.wait(lambda message: message.topic.endswith("/event"))
        switch = home.wait_for("/config")[-1]["components"]["pause"]
        listener.say(switch["command_topic"], switch["payload_on"])
        (answer,) = listener.wait_for("resp/pause")
        assert answer["ok"]
        assert answer["result"]["paused"]
        assert problems("resp/pause", json.dumps(answer).encode()) == []
        assert eventually(lambda: "paused" in states(listener))
        assert eventually(lambda: [event["event_type"] for event in listener.on("/event")] == ["recognized", "left"])
        assert stages.open == []
        health = listener.on("/health")[-1]
        assert problems("health", json.dumps(health).encode()) == []
        assert health["pause"] == {"since": answer["result"]["since"], "until": None, "why": ""}
        assert broker.retained("edgeface/door/availability") == "online"
        assert broker.state("edgeface/door/front/presence")["people"] == []
        assert listener.on(f"person/{person}/state")[-1] == "OFF"
        seen = health["frames_seen"]
        assert "paused" in ask(listener, "snapshot")["error"]
        assert "paused" in ask(listener, "enroll", name="Eve")["error"]
        until = ask(listener, "pause", minutes=90, reason="guests")["result"]
        assert until["until"] > until["since"]
        assert eventually(lambda: listener.on("/health")[-1]["pause"]["why"] == "guests")
        assert listener.on("/health")[-1]["frames_seen"] == seen
        assert len(listener.on("/event")) == 2
        listener.say(switch["command_topic"], switch["payload_off"])
        assert eventually(lambda: len(listener.on("/event")) == 3)
        assert listener.on("/event")[-1]["name"] == "Obama"
        assert len(stages.open) == 1
        assert "pause" not in listener.on("/health")[-1]
    audit = [json.loads(line)["action"] for line in config.audit_path.read_text().splitlines()]
    assert audit == ["pause", "pause", "resume"]


@needs_broker
def test_a_stranger_s_request_needs_the_allow_list_and_sense(tmp_path: Path, broker: Broker) -> None:
    config = settings(tmp_path, broker, commands={"allow": ["pause"]}, homeassistant={"enabled": True})
    listener = broker.listen()
    with running(config):
        listener.wait(lambda message: message.topic.endswith("/health"))
        assert "not allowed" in ask(listener, "resume")["error"]
        wrong = ({"minutes": -1}, {"minutes": 1e9}, {"until": "25:99"}, {"minutes": 1, "until": "18:00"}, {"reason": "\x00"})
        for nonsense in wrong:
            assert not ask(listener, "pause", **nonsense)["ok"]
        assert not config.pause_path.exists()


@needs_broker
def test_without_leave_home_assistant_gets_no_switch(tmp_path: Path, broker: Broker) -> None:
    home = broker.listen("homeassistant/#")
    with running(settings(tmp_path, broker, homeassistant={"enabled": True})):
        assert "pause" not in home.wait_for("/config")[-1]["components"]


@pytest.fixture
def paused(cli: Cli, scene: dict[str, Any]) -> Cli:
    cli.set(camera=scene | {"hold": 86400}, gallery={"path": str(cli.gallery)})
    assert cli("pause", "--for", "2h", "--reason", "guests").stdout.startswith("paused until ")
    return cli


@pytest.mark.slow
def test_a_pause_survives_kills_and_reloads_and_is_told_until_resume(paused: Cli) -> None:
    cli = paused
    daemon = cli.start("run")
    assert eventually(lambda: '"paused"' in cli("status", "--json", code=None).stdout)
    daemon.process.send_signal(signal.SIGHUP)
    daemon.hears("settings read again")
    daemon.process.kill()
    daemon.process.wait(60)
    again = cli.start("run")
    assert eventually(lambda: "guests" in cli("status", code=None).stdout)
    status = cli.json("status")
    assert (status["camera_state"], status["pause"]["why"], status["frames_seen"]) == ("paused", "guests", 0)
    assert "paused   since " in cli("status").stdout
    assert cli.json("resume") == {"paused": False, "since": None, "until": None, "why": None}
    assert eventually(lambda: cli.json("status", code=None)["frames_seen"] > 0)
    assert again.stop() == 0


def test_a_pause_with_a_wrong_end_is_refused_in_a_line(cli: Cli) -> None:
    assert "no duration" in cli("pause", "--for", "soon", code=2).stderr
    assert "give one of the two" in cli("pause", "--for", "2h", "--until", "18:00", code=2).stderr
    assert "over 366 days away" in cli.refusal("pause", "--until", "2126-01-01T00:00")
    assert "is no time" in cli.refusal("pause", "--until", "teatime")
