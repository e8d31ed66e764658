"""Every example against a real broker, with the events of a real daemon; the automations are in tests/homeassistant."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

import pytest
from fixtures.broker import PASSWORD, USER, Broker, broker, eventually, free_port, needs_broker
from fixtures.daemon import EMPTY, enroll, running, settings
from fixtures.optional import needed
from fixtures.publishing import event

from edgeface.types import EventType
from edgeface.vision.images import load_image
from edgeface.wire.events import Event, event_payload

__all__ = ["broker"]
EXAMPLES = Path(__file__).parent.parent.parent / "examples"
NODE, SUB, NODE_RED = shutil.which("node"), shutil.which("mosquitto_sub"), os.environ.get("EDGEFACE_NODE_RED")
WORDS = ["Änna is there", "Somebody unknown is there", None, "Änna has left after 12 s", "A picture of Änna was shown"]
WORDS += ["The camera is lost: no frame for 5 s", "The camera is back"]


class Program:
    """An example that runs, and what it prints."""

    def __init__(self, command: list[str], **environment: Any) -> None:
        self.lines: Queue[str] = Queue()
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ | environment
        )
        Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in needed(self._process.stdout):
            self.lines.put(line.strip())

    def stop(self) -> None:
        self._process.kill()
        self._process.wait(10)


@pytest.fixture
def start() -> Iterator[Callable[..., Program]]:
    programs = []

    def launch(command: list[str], **environment: Any) -> Program:
        programs.append(Program(command, **environment))
        return programs[-1]

    yield launch
    for program in programs:
        program.stop()


def visit(folder: Path, broker: Broker, demo_photos: Path) -> dict[str, Any]:
    """Anna comes and goes before a real daemon's camera; gives her event."""
    config = settings(folder, broker)
    enroll(config, "Anna", demo_photos / "obama_portrait.jpg")
    ear = broker.listen()
    with running(config) as stage:
        stage.scene = load_image(demo_photos / "obama_portrait.jpg")
        ear.wait_for("/event", 1)
        stage.scene = EMPTY
        event: dict[str, Any] = ear.wait_for("/event", 2)[0]
        return event


@needs_broker
def test_the_python_subscriber_greets_who_is_recognized_once(
    tmp_path: Path, broker: Broker, demo_photos: Path, start: Callable[..., Program]
) -> None:
    command = [sys.executable, EXAMPLES / "subscriber.py", "127.0.0.1", str(broker.port)]
    program = start(command, MQTT_USER=USER, MQTT_PASSWORD=PASSWORD)
    assert eventually(lambda: "edgeface/+/event (QoS 1)" in broker.log()), broker.log()
    told = visit(tmp_path, broker, demo_photos)
    assert program.lines.get(timeout=20) == f"Hello Anna! (score {told['score']:.2f} of {told['threshold']:.2f})"
    broker.listen().say("edgeface/door/event", told)  # a repeat
    broker.listen().say("edgeface/door/event", told | {"event_id": "another", "name": "Bert"})
    assert program.lines.get(timeout=20).startswith("Hello Bert!")


@needs_broker
@pytest.mark.skipif(not SUB, reason="mosquitto_sub is not installed")
def test_the_line_for_a_shell_prints_events(
    tmp_path: Path, broker: Broker, demo_photos: Path, start: Callable[..., Program]
) -> None:
    line = needed(re.search(r"^mosquitto_sub .*$", (EXAMPLES / "README.md").read_text(), re.M))[0]
    words = shlex.split(line.replace("-h broker.local", f"-h 127.0.0.1 -p {broker.port} -u {USER} -P '{PASSWORD}'"))
    program = start(words)
    assert eventually(lambda: "edgeface/door/event (QoS 0)" in broker.log()), broker.log()
    told = visit(tmp_path, broker, demo_photos)
    assert json.loads(program.lines.get(timeout=20)) == told


def flow() -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = json.loads((EXAMPLES / "node-red-flow.json").read_text())
    return nodes


def test_the_flow_is_wired_in_itself() -> None:
    ids = {node["id"] for node in flow()}
    assert len(ids) == len(flow())
    for node in flow():
        assert {target for output in node.get("wires", []) for target in output} <= ids
        assert node.get("broker", "edgeface-broker") in ids | {"broker.local"}
        assert node.get("z", "edgeface-tab") in ids


@pytest.mark.skipif(not NODE, reason="node is not installed")
def test_the_function_of_the_flow_puts_every_event_into_words() -> None:
    (function,) = [node["func"] for node in flow() if node["type"] == "function"]
    events = [msgspec_json(event(kind)) for kind in EventType]
    events.insert(1, events[0])
    events.append(events[0] | {"event_id": "another", "event_type": "of a newer version"})
    script = (
        "const kept = {}, context = {get: k => kept[k], set: (k, v) => { kept[k] = v; }};\n"
        f"const run = new Function('msg', 'context', {json.dumps(function)});\n"
        f"console.log(JSON.stringify({json.dumps(events)}.map(payload => run({{payload}}, context))));\n"
    )
    out = subprocess.run([needed(NODE), "-e", script], capture_output=True, text=True, check=True, timeout=60).stdout
    assert [answer and answer["payload"] for answer in json.loads(out)] == [WORDS[0], None, *WORDS[1:], None]


def msgspec_json(event: Event) -> Any:
    import msgspec

    return json.loads(msgspec.json.encode(event_payload(event, "door", "m")))


@needs_broker
@pytest.mark.skipif(not NODE_RED, reason="EDGEFACE_NODE_RED names no node-red (npm install node-red)")
def test_the_flow_runs_in_node_red(tmp_path: Path, broker: Broker, demo_photos: Path, start: Callable[..., Program]) -> None:
    nodes = flow()
    for node in nodes:
        if node["type"] == "mqtt-broker":
            node |= {"broker": "127.0.0.1", "port": str(broker.port)}
    (tmp_path / "flows.json").write_text(json.dumps(nodes))
    (tmp_path / "flows_cred.json").write_text(json.dumps({"edgeface-broker": {"user": USER, "password": PASSWORD}}))
    (tmp_path / "settings.js").write_text(
        "module.exports = {flowFile: 'flows.json', credentialSecret: false, uiHost: '127.0.0.1', "
        f"uiPort: {free_port()}, telemetry: {{enabled: false}}}};\n"
    )
    start([NODE_RED, "--userDir", tmp_path, "--settings", tmp_path / "settings.js"], HOME=str(tmp_path))
    assert eventually(lambda: "edgeface/door/event (QoS 1)" in broker.log(), 120), broker.log()
    ear = broker.listen("home/announcements")
    visit(tmp_path, broker, demo_photos)
    said = ear.wait_for("announcements", 2)
    assert said[0] == "Anna is there"
    assert re.fullmatch(r"Anna has left after \d+ s", said[1])
