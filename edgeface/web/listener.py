"""Limits the page's connections, those of strangers apart from those signed in."""

import socket
from collections import Counter
from contextlib import suppress
from typing import Any, TypeAlias

MAX_STRANGERS, MAX_SIGNED_IN = 48, 64
MAX_BATCH = MAX_STRANGERS // 2
"""Connections accepted at once, at most: fewer than may be open, so that each is read before newer ones replace it."""

Client: TypeAlias = tuple[str, int]


class Listener(socket.socket):
    """Accepts every connection as a stranger's until one of its requests is signed in.

    With ``MAX_STRANGERS`` open, a new one replaces the oldest of the address that has the most. So connections that are only
    held open keep nobody out. They are counted when they are accepted: before the TLS handshake the server does not know them.
    """

    def __init__(self, host: str, port: int) -> None:
        super().__init__(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self._strangers: dict[Client, socket.socket] = {}
        self._signed_in: dict[Client, socket.socket] = {}
        try:
            self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.bind((host, port))
            self.listen(MAX_BATCH)
        except BaseException:
            self.close()
            raise

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept the next connection, and close a stranger's if there are too many."""
        connection, address = super().accept()
        self._strangers = _open(self._strangers)
        if len(self._strangers) >= MAX_STRANGERS:
            held = Counter(host for host, _ in self._strangers)
            most = max(held.values())
            oldest = next(client for client in self._strangers if held[client[0]] == most)
            with suppress(OSError):  # the client has gone by itself
                self._strangers.pop(oldest).shutdown(socket.SHUT_RDWR)
        self._strangers[address[:2]] = connection
        return connection, address

    def has_room(self, client: Client) -> bool:
        """Count a connection among those signed in; return whether there was room."""
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
