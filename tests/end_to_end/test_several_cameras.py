"""Several cameras in one daemon: real photos, the real networks, a real mosquitto, and the process as a user starts it."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from fixtures.broker import Broker, Listener, broker, eventually, needs_broker
from fixtures.commandline import Cli
from fixtures.contract import problems
from fixtures.daemon import EMPTY, Stage, ask, enroll, settings
from msgspec.structs import replace

from edgeface.config.schema import CameraSettings, Config
from edgeface.daemon.assembly import assemble
from edgeface.daemon.loop import Daemon
from edgeface.daemon.pausable_camera import PausableCamera
from edgeface.operations.pause import Pause
from edgeface.types import Image
from edgeface.vision.images import load_image

__all__ = ["broker"]
ALLOWED = {"allow": ["snapshot", "enroll", "pause", "resume"], "per_minute": 600}


@pytest.fixture
def obama(demo_photos: Path) -> Image:
    return load_image(demo_photos / "obama_portrait.jpg")


@pytest.fixture
def collins(demo_photos: Path) -> Image:
    return load_image(demo_photos / "collins_portrait.jpg")


def house(folder: Path, broker: Broker, **sections: Any) -> Config:
    """A device whose cameras are called front and garden."""
    garden = CameraSettings("garden")
    return replace(settings(folder, broker, commands=ALLOWED, **sections), cameras=(garden,))


@contextmanager
def two(config: Config) -> Iterator[tuple[Daemon, Stage, Stage]]:
    """A daemon that runs meanwhile, and what its two cameras show."""
    front, garden = Stage(), Stage()
    front.live = garden.live = False  # a pause lets them wait, for each is one camera that cannot be opened again
    daemons: list[Daemon] = []

    def live() -> None:
        pause = Pause(config)
        daemon = assemble(config, pause=pause, camera=PausableCamera(lambda: front, pause.now))
        daemon.beside["garden"].camera = PausableCamera(lambda: garden, pause.now)
        daemons.append(daemon)
        daemon.run()

    thread = Thread(target=live, daemon=True)
    thread.start()
    assert eventually(lambda: daemons)
    try:
        yield daemons[0], front, garden
    finally:
        daemons[0].signals.stop = True
        assert eventually(lambda: not thread.is_alive())


def events(listener: Listener) -> list[tuple[str, str, str]]:
    return [(told["camera"], told["event_type"], told.get("name", "")) for told in listener.on("door/event")]


@needs_broker
def test_each_camera_tells_of_its_own_and_a_person_is_there_while_at_any(
    tmp_path: Path, broker: Broker, demo_photos: Path, obama: Image, collins: Image
) -> None:
    config = house(tmp_path, broker)
    person = enroll(config, "Obama", demo_photos / "obama_congress.jpg")
    listener = broker.listen()

    def states() -> list[str]:
        return listener.on(f"person/{person}/state")

    with two(config) as (_, front, garden):
        listener.wait_for("availability")
        front.scene = obama
        assert eventually(lambda: ("front", "recognized", "Obama") in events(listener))
        garden.scene = obama
        assert eventually(lambda: ("garden", "recognized", "Obama") in events(listener))
        front.scene = EMPTY
        assert eventually(lambda: ("front", "left", "Obama") in events(listener))
        listener.settle()
        assert states()[-1] == "ON"
        assert broker.state("edgeface/door/front/presence")["people"] == []
        assert [one["name"] for one in broker.state("edgeface/door/garden/presence")["people"]] == ["Obama"]
        assert [one["name"] for one in broker.state("edgeface/door/presence/all")["people"]] == ["Obama"]
        front.scene, garden.scene = collins, EMPTY
        assert eventually(lambda: ("garden", "left", "Obama") in events(listener))
        assert eventually(lambda: ("front", "unknown", "") in events(listener))
        assert eventually(lambda: states()[-1] == "OFF")
        everybody = broker.retained("edgeface/door/presence/all")
        assert (everybody["people"], everybody["unknown"], everybody["last"]["name"]) == ([], 1, "Obama")
        assert broker.state("edgeface/door/garden/presence")["unknown"] == 0
        assert problems("front/presence", json.dumps(everybody).encode()) == []


@needs_broker
def test_a_camera_that_is_lost_and_back_is_told_by_its_name_and_the_other_goes_on(
    tmp_path: Path, broker: Broker, demo_photos: Path, obama: Image
) -> None:
    config = house(tmp_path, broker, homeassistant={"enabled": True})
    enroll(config, "Obama", demo_photos / "obama_congress.jpg")
    listener = broker.listen()

    def health() -> dict[str, Any]:
        told: dict[str, Any] = listener.wait_for("door/health")[-1]
        return told

    with two(config) as (_, front, garden):
        listener.wait_for("availability")
        garden.scene = "unplugged"
        assert eventually(lambda: ("garden", "camera_lost", "") in events(listener))
        assert eventually(lambda: health()["camera_state"] == "lost")
        assert problems("health", json.dumps(health()).encode()) == []
        assert health()["camera_reason"] == "garden: unplugged"
        told = {"front": ("ok", None), "garden": ("lost", "unplugged")}
        assert eventually(lambda: {one["name"]: (one["state"], one["reason"]) for one in health()["cameras"]} == told)
        front.scene = obama
        assert eventually(lambda: ("front", "recognized", "Obama") in events(listener))
        garden.scene = EMPTY
        assert eventually(lambda: ("garden", "camera_back", "") in events(listener))
        assert eventually(lambda: health()["camera_state"] == "ok")
        assert not [told for told in events(listener) if told[1] == "left"]


@pytest.mark.slow
@needs_broker
def test_commands_name_the_camera_that_they_are_for_and_a_pause_is_for_all(
    tmp_path: Path, broker: Broker, demo_photos: Path, obama: Image, collins: Image
) -> None:
    listener = broker.listen()
    with two(house(tmp_path, broker)) as (daemon, front, garden):
        listener.wait_for("availability")
        front.scene, garden.scene = collins, obama
        assert ask(listener, "snapshot")["result"]["camera"] == "front"
        taken = ask(listener, "snapshot", camera="garden")["result"]
        assert (taken["camera"], taken["width"], taken["height"]) == ("garden", obama.shape[1], obama.shape[0])
        assert ask(listener, "snapshot", camera="attic")["error"] == "there is no camera 'attic'; there is front, garden"
        assert ask(listener, "enroll", name="Obama", count=1, camera="garden")["ok"]
        assert eventually(lambda: ("garden", "recognized", "Obama") in events(listener), 180)
        assert ask(listener, "pause")["ok"]
        assert eventually(lambda: [one["state"] for one in listener.on("door/health")[-1]["cameras"]] == ["paused"] * 2)
        assert eventually(lambda: ("garden", "left", "Obama") in events(listener))
        assert {one.camera_monitor.state for one in daemon.each.values()} == {"paused"}


@pytest.fixture
def scenes(tmp_path: Path, demo_photos: Path) -> dict[str, Path]:
    """A folder for each camera, with a photo of who stands before it."""
    photos = {"front": "obama_portrait.jpg", "garden": "collins_portrait.jpg", "attic": "biden_portrait.jpg"}
    for camera, photo in photos.items():
        (tmp_path / camera).mkdir()
        (tmp_path / camera / photo).write_bytes((demo_photos / photo).read_bytes())
    return {camera: tmp_path / camera for camera in photos}


def write(cli: Cli, broker: Broker, scenes: dict[str, Path], first: str, *others: str, hold: float = 600.0) -> None:
    mqtt = broker.settings()
    cli.set(
        device={"id": "door"},
        camera={"name": first, "source": f"folder:{scenes[first]}", "hold": hold, "fps": 5.0},
        mqtt=mqtt,
    )
    more = [f'[[cameras]]\nname = "{name}"\nsource = "folder:{scenes[name]}"\nhold = {hold}\nfps = 5.0\n' for name in others]
    cli.file.write_text(cli.file.read_text() + "".join(more))


@needs_broker
def test_a_reload_adds_and_removes_a_camera_and_disturbs_no_other(
    cli: Cli, broker: Broker, scenes: dict[str, Path], demo_photos: Path
) -> None:
    write(cli, broker, scenes, "front", "garden")
    cli("enroll", "Obama", "--image", demo_photos / "obama_congress.jpg")
    listener = broker.listen()
    daemon = cli.start("run")
    assert eventually(lambda: {("front", "recognized", "Obama"), ("garden", "unknown", "")} <= set(events(listener)))
    write(cli, broker, scenes, "front", "attic")
    daemon.process.send_signal(signal.SIGHUP)
    assert eventually(lambda: {("garden", "left", ""), ("attic", "unknown", "")} <= set(events(listener)))
    listener.settle()
    assert not [told for told in events(listener) if told[0] == "front" and told[1] != "recognized"]
    assert listener.on("availability") == ["online"]
    assert broker.retained("edgeface/door/garden/presence") is None
    assert broker.state("edgeface/door/attic/presence")["unknown"] == 1
    status = cli.json("status")
    assert [one["name"] for one in status["cameras"]] == ["front", "attic"]
    assert "attic: ok" in cli("status").stdout
    write(cli, broker, scenes, "front")
    daemon.process.send_signal(signal.SIGHUP)
    assert eventually(lambda: ("attic", "left", "") in events(listener))
    assert eventually(lambda: "cameras" not in cli.json("status"))
    listener.settle()
    assert not [told for told in events(listener) if told[0] == "front" and told[1] != "recognized"]
    assert broker.retained("edgeface/door/presence/all") is None


@needs_broker
def test_settings_with_a_camera_that_cannot_be_built_leave_the_others_as_they_are(
    cli: Cli, broker: Broker, scenes: dict[str, Path]
) -> None:
    write(cli, broker, scenes, "front", "garden")
    listener = broker.listen()
    daemon = cli.start("run")
    assert eventually(lambda: {("front", "unknown", ""), ("garden", "unknown", "")} <= set(events(listener)))
    write(cli, broker, scenes | {"attic": Path("/absent")}, "front", "garden", "attic")
    daemon.process.send_signal(signal.SIGHUP)
    assert "camera attic: camera.source: /absent" in cli.trouble("settings read last")
    listener.settle()
    assert not [told for told in events(listener) if told[1] == "left"]


@needs_broker
def test_two_recordings_are_played_to_their_ends(cli: Cli, broker: Broker, scenes: dict[str, Path]) -> None:
    write(cli, broker, scenes, "front", "garden", hold=2.0)
    listener = broker.listen()
    cli("run")
    listener.settle()
    told = [one for one in events(listener) if one[1] != "camera_lost"]
    assert sorted(told) == [(camera, kind, "") for camera in ("front", "garden") for kind in ("left", "unknown")]


def test_enrollment_asks_the_camera_that_is_named(cli: Cli, broker: Broker, scenes: dict[str, Path]) -> None:
    write(cli, broker, scenes, "front", "garden", hold=3.0)
    assert "there is no camera 'attic'; there is front, garden" in cli.refusal("enroll", "Eve", "--camera", "attic", code=2)
    assert cli.json("enroll", "Susan Collins", "--camera", "garden", "--count", 1)["accepted"] == ["view 1"]
    (seen,) = cli.json("identify", scenes["garden"] / "collins_portrait.jpg")["images"][0]["faces"]
    assert seen["name"] == "Susan Collins"
    (other,) = cli.json("identify", scenes["front"] / "obama_portrait.jpg")["images"][0]["faces"]
    assert other["decision"] == "reject"


def test_the_doctor_takes_a_frame_of_each_camera(cli: Cli, broker: Broker, scenes: dict[str, Path]) -> None:
    write(cli, broker, scenes, "front", "garden")
    (check,) = cli.json("doctor", "--only", "camera")["checks"]
    assert check["ok"]
    assert check["found"].startswith("front: folder: a frame of")
    assert "; garden: folder: a frame of" in check["found"]
