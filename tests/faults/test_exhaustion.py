"""The daemon in a control group with the MemoryMax of its unit, against what others send to exhaust its memory."""

import base64
import json
import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fixtures.broker import Broker, eventually, needs_broker
from fixtures.commandline import Cli
from fixtures.daemon import EMPTY

from edgeface.vision.drawing import save_image

from .test_squeeze import Group

pytestmark = pytest.mark.slow
MEMORY, SHARE = 400 * 2**20, 1.0
SHARED, STATUS, COMMAND = "edgeface/gallery/home/" + "0" * 32, "homeassistant/status", "edgeface/door/cmd/people"


@pytest.fixture
def group() -> Iterator[Group]:
    if os.geteuid() != 0:
        pytest.skip("needs root, to make a control group")
    try:
        group = Group(MEMORY, SHARE)
    except (OSError, StopIteration):
        pytest.skip("no control group for memory and processor can be made here")
    yield group
    group.remove()


class Squeezed:
    """A daemon in the group, before a camera that shows nobody for an hour."""

    def __init__(self, cli: Cli, group: Group, **sections: Any) -> None:
        scene = cli.folder / "scene"
        scene.mkdir()
        save_image(scene / "empty.png", EMPTY)
        self._cli, self._group = cli, group
        camera = {"source": f"folder:{scene}", "name": "front", "hold": 3600.0, "fps": 10}
        cli.set(device={"id": "door"}, camera=camera, **sections)
        if "sync" in sections:
            cli("gallery", "key")
        with group.inside():
            self.running = cli.start("run")
        assert eventually(lambda: self.status()["running"], 60), self.log()

    def status(self) -> dict[str, Any]:
        command = self._cli.command("status", "--json")
        done = subprocess.run(command, capture_output=True, env=self._cli.environment, check=False)
        status: dict[str, Any] = json.loads(done.stdout)
        return status

    def log(self) -> list[str]:
        while not self.running.err.empty():
            self.running.told.append(self.running.err.get())
        return self.running.told

    def check(self) -> None:
        """It is the same process, and was not even near its end."""
        print(f"{self._group.most:.0f} MB at most")
        assert self.running.process.poll() is None, self.log()
        assert self._group.killed == 0
        assert self.running.stop() == 0


@needs_broker
def test_messages_of_200_mb_neither_end_the_daemon_nor_silence_it(cli: Cli, group: Group, tmp_path: Path) -> None:
    broker = Broker(tmp_path / "broker", persistence=False).start()
    try:
        ear, bomb = broker.listen("edgeface/door/#"), bytes(200 * 10**6)
        for topic in (SHARED, STATUS):
            broker.listen("nothing").say(topic, bomb, retain=True)
        daemon = Squeezed(
            cli,
            group,
            mqtt=broker.settings(protocol="3.1.1"),
            commands={"allow": ["people"]},
            homeassistant={"enabled": True},
            sync={"enabled": True, "topic": "edgeface/gallery/home"},
        )
        assert eventually(lambda: sum("over the limit" in line for line in daemon.log()) == 2), daemon.log()
        assert eventually(lambda: daemon.status()["broker"]["state"] == "up")
        ear.say(COMMAND, {"id": "1"})
        assert ear.wait_for("resp/people")[0]["ok"]
        ear.say(COMMAND, bomb)
        assert eventually(lambda: sum("over the limit" in line for line in daemon.log()) == 3), daemon.log()
        told = {}
        assert eventually(lambda: told.update(daemon.status()) or told["broker"]["state"] == "up")
        assert any("a message of 191 MB on" in trouble for trouble in told["troubles"])
        ear.wait(lambda message: message.topic.endswith("/health") and b"a message of 191 MB" in message.payload, 45)
        assert broker.log().count("as edgeface-door") == 4  # once for each message that it had to leave
        daemon.check()
    finally:
        broker.close()


def large_photo() -> bytes:
    """A JPEG of just under 16 megapixels that costs its decoder the most: progressive, full colour, too small to be halved."""
    noise = np.random.default_rng(0).integers(0, 256, (488, 512, 3), np.uint8)
    image = cv2.resize(noise, (4090, 3900), interpolation=cv2.INTER_CUBIC)
    words = [cv2.IMWRITE_JPEG_QUALITY, 40, cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
    return cv2.imencode(".jpg", image, [*words, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444])[
        1
    ].tobytes()


@needs_broker
def test_photos_of_16_megapixels_by_several_users_and_over_mqtt_stay_within_the_memory(
    cli: Cli, group: Group, tmp_path: Path
) -> None:
    broker = Broker(tmp_path / "broker", persistence=False).start()
    photo = large_photo()
    assert len(photo) < 4 * 2**20
    with tempfile.TemporaryDirectory() as runtime:
        Path(runtime).chmod(0o755)
        cli.environment["RUNTIME_DIRECTORY"] = runtime
        try:
            ear = broker.listen("edgeface/door/resp/#")
            daemon = Squeezed(cli, group, mqtt=broker.settings(), commands={"allow": ["enroll"], "per_minute": 60})
            place = next(Path(runtime).glob("*.sock"))
            place.chmod(0o666)
            with ThreadPoolExecutor(3) as users:
                told = [users.submit(talk, connected(place, number), photo) for number in (1001, 1002, 1003)]
                text = base64.b64encode(photo).decode()
                for number in range(8):
                    ear.say("edgeface/door/cmd/enroll", {"id": str(number), "name": "Eve", "image": text})
                assert [one.result() for one in told] == [6, 6, 6]
            errors = [answer["error"] for answer in ear.wait_for("resp/enroll", 4)]
            assert any("no face was found" in error for error in errors), errors
            daemon.check()
        finally:
            broker.close()


def connected(place: Path, user: int) -> socket.socket:
    """A connection of another user."""
    os.seteuid(user)
    try:
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(120)
        client.connect(str(place))
    finally:
        os.seteuid(0)
    return client


def talk(client: socket.socket, photo: bytes) -> int:
    """How many of six photos were looked at."""
    lines = client.makefile("rb")
    client.sendall(b'{"verb": "photos", "name": "Eve"}\n')
    looked = 0
    for _ in range(6):
        client.sendall(json.dumps({"photo": "large", "bytes": len(photo)}).encode() + b"\n" + photo)
        looked += "no face was found" in json.loads(lines.readline())["told"]["reason"]
    client.close()
    return looked
