"""A TCP proxy that damages what comes from the server."""

import random
import socket
from contextlib import suppress
from threading import Thread


class Proxy:
    """``damage`` is the share of packets in which a random stretch of bytes becomes random ones."""

    def __init__(self) -> None:
        self.damage = 0.0
        self._dice = random.Random(0)

    def open(self, port: int) -> int:
        """Pass on to a port of this machine; gives the proxy's own."""
        self._to = port
        self._ear = socket.create_server(("127.0.0.1", 0))
        Thread(target=self._accept, daemon=True).start()
        return int(self._ear.getsockname()[1])

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._ear.accept()
                with suppress(OSError):
                    server = socket.create_connection(("127.0.0.1", self._to), 5)
                    server.settimeout(None)
                    for ends in ((client, server, False), (server, client, True)):
                        Thread(target=self._pass, args=ends, daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, damaging: bool) -> None:
        with suppress(OSError):
            while data := bytearray(source.recv(65536)):
                if damaging and self._dice.random() < self.damage:
                    start = self._dice.randrange(len(data))
                    stretch = data[start : start + 200]
                    data[start : start + 200] = self._dice.randbytes(len(stretch))
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._ear.close()
