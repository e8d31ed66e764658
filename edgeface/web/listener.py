"""Shares the page's connections between who is signed in and strangers."""

import socket
from collections import Counter
from contextlib import suppress
from typing import Any, TypeAlias

MAX_STRANGERS, MAX_SIGNED_IN = 48, 64
MAX_BATCH = MAX_STRANGERS // 2
"""Connections accepted at once, at most: fewer than there are places, so that each is read before newer ones take its place."""

Client: TypeAlias = tuple[str, int]


class Listener(socket.socket):
    """Accepts everybody, each as a stranger until a request of theirs is signed in.

    When the strangers' places are taken, the newest gets that of the oldest among those of the address that has most of them.
    So connections that are only held open keep nobody out. They are counted from the moment they come: until TLS is agreed on,
    the server knows nothing of them.
    """

    def __init__(self, family: socket.AddressFamily) -> None:
        super().__init__(family)
        self._strangers: dict[Client, socket.socket] = {}
        self._signed_in: dict[Client, socket.socket] = {}

    def accept(self) -> tuple[socket.socket, Any]:
        """The next client."""
        connection, address = super().accept()
        self._strangers = _open(self._strangers)
        if len(self._strangers) >= MAX_STRANGERS:
            held = Counter(host for host, _ in self._strangers)
            most = max(held.values())
            oldest = next(client for client in self._strangers if held[client[0]] == most)
            with suppress(OSError):  # they have gone by themselves
                self._strangers.pop(oldest).shutdown(socket.SHUT_RDWR)
        self._strangers[address[:2]] = connection
        return connection, address

    def seat(self, client: Client) -> bool:
        """Count a connection among those of who is signed in; whether there was room."""
        if client in self._signed_in:
            return True
        self._signed_in = _open(self._signed_in)
        if len(self._signed_in) >= MAX_SIGNED_IN:
            return False
        if connection := self._strangers.pop(client, None):
            self._signed_in[client] = connection
        return True


def _open(connections: dict[Client, socket.socket]) -> dict[Client, socket.socket]:
    return {client: connection for client, connection in connections.items() if connection.fileno() >= 0}
