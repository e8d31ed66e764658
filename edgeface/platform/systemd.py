"""Tells systemd that the service is ready, reloading, alive or stopping."""

import socket

from edgeface.platform import environment


class Systemd:
    """Writes to the service manager's socket, if there is one, and never waits for it.

    The kernel holds only a few messages. Those that it does not take are kept, the newest of each kind, and go with the next.
    """

    def __init__(self) -> None:
        address = environment.text("NOTIFY_SOCKET")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._unsent: dict[str, str | int] = {}

    def notify(self, **fields: str | int) -> None:
        """Tell systemd, in the words of sd_notify(3): ``notify(READY=1)``."""
        if not self._address:
            return
        self._unsent |= fields
        message = "\n".join(f"{name}={value}" for name, value in self._unsent.items())
        try:
            self._socket.sendto(message.encode(), socket.MSG_DONTWAIT, self._address)
        except OSError:  # it is busy, or not there for the moment
            return
        self._unsent.clear()
