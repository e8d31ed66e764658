"""The daemon in a control group with the MemoryMax of its unit, against what others send to exhaust its memory."""

import json
import os
import subprocess

import pytest
from broker import Broker, eventually, needs_broker
from theatre import EMPTY

from edgeface.annotate import save_image

from .test_squeeze import Group

MEMORY, SHARE = 400 * 2**20, 1.0
SHARED, STATUS, COMMAND = "edgeface/gallery/home/" + "0" * 32, "homeassistant/status", "edgeface/door/cmd/people"


@pytest.fixture
def group():
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

    def __init__(self, cli, group, **sections):
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

    def status(self):
        command = self._cli.command("status", "--json")
        return json.loads(subprocess.run(command, capture_output=True, env=self._cli.environment, check=False).stdout)

    def log(self):
        while not self.running.err.empty():
            self.running.told.append(self.running.err.get())
        return self.running.told

    def check(self):
        """It is the same process, and was not even near its end."""
        print(f"{self._group.most:.0f} MB at most")
        assert self.running.process.poll() is None, self.log()
        assert self._group.killed == 0
        assert self.running.stop() == 0


@needs_broker
def test_messages_of_200_mb_neither_end_the_daemon_nor_silence_it(cli, group, tmp_path):
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
        assert eventually(lambda: sum("over the limit" in line for line in daemon.log()) == 2, 30), daemon.log()
        assert eventually(lambda: daemon.status()["broker"]["state"] == "up")
        ear.say(COMMAND, {"id": "1"})
        assert ear.wait_for("resp/people")[0]["ok"]
        ear.say(COMMAND, bomb)
        assert eventually(lambda: sum("over the limit" in line for line in daemon.log()) == 3, 30), daemon.log()
        told = {}
        assert eventually(lambda: told.update(daemon.status()) or told["broker"]["state"] == "up")
        assert any("a message of 191 MB on" in trouble for trouble in told["troubles"])
        ear.wait(lambda message: message.topic.endswith("/health") and b"a message of 191 MB" in message.payload, 45)
        assert broker.log().count("as edgeface-door") == 4  # once for each message that it had to leave
        daemon.check()
    finally:
        broker.close()
