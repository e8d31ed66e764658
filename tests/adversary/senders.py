"""A daemon in a control group with the memory of its unit, and hostile senders at its doors, one after the other."""

import json
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from io import BufferedIOBase
from pathlib import Path
from random import Random
from typing import Any

import pytest
from faults.test_exhaustion import COMMAND, SHARED, STATUS
from faults.test_giants import MEMORY, REFUSED, SEEN, Sender, serving, status
from faults.test_squeeze import Group, grouped
from fixtures.broker import MOSQUITTO, PASSWD, Broker, eventually, free_port
from fixtures.commandline import Cli

from edgeface.config.load import load
from edgeface.control.discovery import socket_path

SOURCES = SEEN | {name: send for name, (send, _) in REFUSED.items()}
GOOD = "JPEGs that grow and shrink"


class House:
    """The daemon, whose camera shows what ``shows`` names."""

    def __init__(self, folder: Path, group: Group, stack: ExitStack[bool | None]) -> None:
        self.shows = GOOD
        self._made: dict[str, Sender] = {}
        url = stack.enter_context(serving(self._film))
        self.broker = Broker(folder / "broker", persistence=False).start()
        stack.callback(self.broker.close)
        self.cli, self.port = Cli(folder), free_port()
        self.cli.set(
            device={"id": "door"},
            camera={"source": url, "name": "front", "fps": 5},
            mqtt=self.broker.settings(),
            commands={"allow": ["people", "enroll"], "per_minute": 600},
            homeassistant={"enabled": True},
            sync={"enabled": True, "topic": "edgeface/gallery/home"},
            web={"enabled": True, "port": self.port},
        )
        self.cli("gallery", "key")
        self.path = socket_path(load(self.cli.file))
        with group.inside():
            self.daemon = self.cli.start("run")
        stack.callback(self.daemon.process.kill)
        assert eventually(lambda: status(self.cli).get("broker", {}).get("state") == "up", 90)

    def _film(self, stream: BufferedIOBase) -> None:
        if self.shows not in self._made:
            self._made[self.shows] = SOURCES[self.shows]()
        self._made[self.shows](stream)

    def connected(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), 10)

    def connected_to_socket(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(10)
        client.connect(str(self.path))
        return client


def _at_camera(dice: Random, house: House) -> str:
    house.shows = dice.choice(sorted(SOURCES))
    time.sleep(4)
    said = house.shows
    house.shows = GOOD
    return said


def _at_broker(dice: Random, house: House) -> None:
    size = 10 ** dice.randint(0, 6)
    payloads: list[Callable[[], bytes]] = [
        lambda: dice.randbytes(size),
        lambda: b"[" * size,
        lambda: b'{"id": "' + b"1" * size + b'"}',
        lambda: b'{"id": ' + b"9" * size + b"}",
        lambda: b'{"a":' * size,
        lambda: json.dumps({"id": "1", "name": "Eve", "image": "/9j/" + "A" * size}).encode(),
        lambda: b"\xff\xfe" + b"\0" * size,
        lambda: bytes(50 * 10**6),
    ]
    payload = dice.choice(payloads)()
    command = COMMAND.rpartition("/")[0]
    topic = dice.choice(
        [SHARED, STATUS, COMMAND, f"{command}/enroll", f"{command}/{'x' * 1000}", f"{SHARED}/+".replace("+", "y")]
    )
    ear = house.broker.listen("nothing")
    for _ in range(3):
        ear.say(topic, payload, retain=dice.random() < 0.5)


def _at_page(dice: Random, house: House) -> None:
    size = 10 ** dice.randint(0, 7)
    host = f"Host: 127.0.0.1:{house.port}\r\n".encode()
    requests: list[Callable[[], bytes]] = [
        lambda: dice.randbytes(size),
        lambda: b"GET /" + b"a" * size + b" HTTP/1.1\r\n" + host + b"\r\n",
        lambda: b"GET /?token=" + b"%00" * min(size, 10**4) + b" HTTP/1.1\r\n" + host + b"\r\n",
        lambda: b"GET / HTTP/1.1\r\n" + host + b"X: y\r\n" * size,
        lambda: b"GET / HTTP/1.1\r\n" + host + b"Cookie: " + b"edgeface=a; " * size + b"\r\n\r\n",
        lambda: b"POST /people/photo?name=Eve HTTP/1.1\r\n" + host + b"Content-Length: %d\r\n\r\n" % 10**18 + bytes(size),
        lambda: b"POST /people HTTP/1.1\r\n" + host + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * size,
        lambda: b"POST /people HTTP/1.1\r\n" + host + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * size,
        lambda: b"GET / HTTP/1.1\r\nContent-Length: -1\r\n" + host + b"\r\n",
        lambda: b"\x16\x03\x01" + dice.randbytes(200),
    ]
    request = dice.choice(requests)()
    _send_to_many(dice, house.connected, request)


def _at_socket(dice: Random, house: House) -> None:
    size = 10 ** dice.randint(0, 7)
    lines: list[Callable[[], bytes]] = [
        lambda: dice.randbytes(size),
        lambda: b"[" * size,
        lambda: b'{"verb": "people"}\n' * min(size, 1000),
        lambda: b'{"verb": "' + b"x" * size + b'"}\n',
        lambda: b'{"verb": ' + b"9" * size + b"}\n",
        lambda: b'{"verb": "photos", "name": "Eve"}\n{"photo": "x", "bytes": 8388608}\n' + bytes(size),
        lambda: b'{"verb": "photos", "name": "Eve"}\n{"photo": "x", "bytes": -1}\n' + dice.randbytes(size),
    ]
    line = dice.choice(lines)()
    _send_to_many(dice, house.connected_to_socket, line)


def _send_to_many(dice: Random, connect: Callable[[], socket.socket], data: bytes) -> None:
    with ExitStack() as open_ones:
        for _ in range(dice.choice([1, 4, 30])):
            with suppress(OSError):
                client = open_ones.enter_context(connect())
                client.settimeout(2)
                client.sendall(data)
                if dice.random() < 0.5:
                    client.recv(1000)


DOORS: dict[str, Callable[[Random, House], str | None]] = {
    "camera": _at_camera,
    "broker": _at_broker,
    "page": _at_page,
    "socket": _at_socket,
}
SENDERS = 12


def attack(dice: Random, folder: Path, senders: int = SENDERS) -> str:
    """Each door has as many senders as the others, in an order of chance; then all is well again within a minute and a half."""
    if not (MOSQUITTO and PASSWD):
        pytest.skip("mosquitto is not installed")
    with grouped(MEMORY, 2.0) as group, ExitStack() as stack:
        house = House(folder, group, stack)
        said = []
        for door in dice.sample(list(DOORS) * (senders // len(DOORS)), senders):
            said.append((door, DOORS[door](dice, house)))
            assert group.killed == 0, said
            assert house.daemon.process.poll() is None, (said, house.daemon.err.queue)
        told: dict[str, Any] = {}

        def well() -> bool:
            told.update(status(house.cli))
            return bool(told.get("running")) and told["broker"]["state"] == "up" and told["camera_state"] == "ok"

        assert eventually(well, 90), (said, told)
        with house.connected() as client:
            client.sendall(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{house.port}\r\n\r\n".encode())
            assert b" 401 " in client.recv(100), said
        assert group.killed == 0
        print(f"{group.most:.0f} MB at most")
        assert house.daemon.stop() == 0
    return "went on"
