"""As much of MQTT 3.1.1 as a thousand devices in one process can afford: connect, publish and subscribe at QoS 1."""

import asyncio
import struct
import time
from asyncio.transports import BaseTransport
from collections.abc import Callable
from typing import Any, cast

from fixtures.optional import needed


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack(">H", len(data)) + data


def packet(kind: int, body: bytes) -> bytes:
    length, size = b"", len(body)
    while True:
        size, digit = divmod(size, 128)
        length += bytes([digit | (0x80 if size else 0)])
        if not size:
            return bytes([kind]) + length + body


class Client(asyncio.Protocol):
    """One connection; ``acknowledged`` counts what the broker has confirmed, ``received`` is called with each payload."""

    def __init__(
        self, name: str, user: str = "", password: str = "", received: Callable[[bytes, int], None] | None = None
    ) -> None:
        self._name, self._user, self._password, self._received = name, user, password, received
        self._rest = b""
        self._number = 0
        self.sent = self.acknowledged = 0
        self.ready = asyncio.get_running_loop().create_future()
        self.lost = False

    def connection_made(self, transport: BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        login = text(self._user) + text(self._password) if self._user else b""
        flags = 0xC2 if self._user else 0x02
        self._transport.write(packet(0x10, text("MQTT") + bytes([4, flags]) + struct.pack(">H", 0) + text(self._name) + login))

    def connection_lost(self, _error: object) -> None:
        self.lost = True
        if not self.ready.done():
            self.ready.set_exception(ConnectionError(f"{self._name} was refused"))

    def publish(self, topic: str, payload: bytes) -> None:
        self._number = self._number % 65535 + 1
        self.sent += 1
        self._transport.write(packet(0x32, text(topic) + struct.pack(">H", self._number) + payload))

    def subscribe(self, topic: str) -> None:
        self._transport.write(packet(0x82, struct.pack(">H", 1) + text(topic) + b"\1"))

    def close(self) -> None:
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        at, answers = 0, []
        while (found := self._next(data, at)) is not None:
            kind, body, at = found
            if kind == 0x20 and body[1] == 0 and not self.ready.done():
                self.ready.set_result(None)
            elif kind == 0x40:
                self.acknowledged += 1
            elif kind & 0xF0 == 0x30:
                start = 2 + int.from_bytes(body[:2])
                answers.append(packet(0x40, body[start : start + 2]))
                needed(self._received)(body[start + 2 :], time.monotonic_ns())
        self._rest = data[at:]
        if answers:
            self._transport.write(b"".join(answers))

    @staticmethod
    def _next(data: bytes, at: int) -> tuple[int, bytes, int] | None:
        """Kind, body and end of the packet there, if it is whole."""
        size, shift, place = 0, 0, at + 1
        while place < len(data):
            digit = data[place]
            size, shift, place = size | (digit & 0x7F) << shift, shift + 7, place + 1
            if digit < 0x80:
                end = place + size
                return (data[at], data[place:end], end) if end <= len(data) else None
        return None


async def connect(port: int, name: str, **more: Any) -> Client:
    """A connection that the broker has accepted."""
    _, client = await asyncio.get_running_loop().create_connection(lambda: Client(name, **more), "127.0.0.1", port)
    await asyncio.wait_for(client.ready, 30)
    return client
