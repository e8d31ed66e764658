"""The example that names Frigate's events, with a real broker and a stand-in for Frigate's two addresses."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec
import pytest
from fixtures.broker import PASSWORD, USER, Broker, Listener, broker, eventually, needs_broker
from fixtures.publishing import MODEL, event

from edgeface.types import Box
from edgeface.wire.events import event_payload

__all__ = ["broker"]
pytestmark = needs_broker
EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "frigate.py"


class Frigate(BaseHTTPRequestHandler):
    """Answers as Frigate 0.17 does, and remembers who was named."""

    named: list[tuple[str, Any]]

    def do_GET(self) -> None:
        self._answer({"cameras": {"front": {"detect": {"width": 1280, "height": 720}}}})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.named.append((self.path, body))
        self._answer({"success": True})

    def _answer(self, body: Any) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: Any) -> None:
        pass


class Scene:
    def __init__(self, ear: Listener, named: list[tuple[str, Any]]) -> None:
        self.named, self._ear = named, ear

    def frigate(self, key: str, box: list[int], *, ended: float | None = None, **more: Any) -> None:
        after = {"id": key, "label": "person", "camera": "front", "box": box, "end_time": ended} | more
        self._ear.say("frigate/events", {"type": "update", "before": {}, "after": after})

    def edgeface(self, **fields: Any) -> str:
        """A face whose middle is at three quarters of the width and a quarter of the height."""
        one = event(box=Box(432, 90, 96, 60), **fields)
        payload = msgspec.to_builtins(event_payload(one, "door", MODEL))
        self._ear.say("edgeface/door/event", payload)
        return str(payload["name"])


@pytest.fixture
def scene(broker: Broker) -> Iterator[Scene]:
    named: list[tuple[str, Any]] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Here", (Frigate,), {"named": named}))
    Thread(target=server.serve_forever, daemon=True).start()
    command = [sys.executable, str(EXAMPLE), f"http://127.0.0.1:{server.server_port}/", "127.0.0.1", str(broker.port)]
    program = subprocess.Popen(command, env=os.environ | {"MQTT_USER": USER, "MQTT_PASSWORD": PASSWORD})
    try:
        assert eventually(lambda: "frigate/events (QoS 1)" in broker.log()), broker.log()
        yield Scene(broker.listen(), named)
        assert program.poll() is None
    finally:
        program.kill()
        program.wait(10)
        server.shutdown()


def test_the_event_in_whose_box_the_face_is_gets_the_name(scene: Scene) -> None:
    scene.frigate("left", [100, 50, 500, 700])
    scene.frigate("right", [800, 50, 1200, 700])
    scene.frigate("car", [800, 50, 1200, 700], label="car")
    scene.frigate("elsewhere", [800, 50, 1200, 700], camera="garden")
    name = scene.edgeface()
    assert eventually(lambda: scene.named == [("/api/events/right/sub_label", {"subLabel": name})])


def test_a_name_that_comes_first_waits_and_who_cannot_be_told_apart_is_not_named(scene: Scene) -> None:
    name = scene.edgeface()
    scene.frigate("later", [800, 50, 1200, 700])
    assert eventually(lambda: [path for path, _ in scene.named] == ["/api/events/later/sub_label"])
    scene.frigate("over", [700, 10, 1250, 710])
    scene.edgeface(name="Bert")
    scene.frigate("later", [100, 50, 500, 700])  # walks away: now only one of the two can be Bert
    assert eventually(lambda: len(scene.named) == 2)
    assert scene.named == [
        ("/api/events/later/sub_label", {"subLabel": name}),
        ("/api/events/over/sub_label", {"subLabel": "Bert"}),
    ]
