import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeface.platform.systemd import Systemd


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The service manager's socket, which nobody reads but the test."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield manager


def drained(manager: socket.socket) -> list[str]:
    manager.setblocking(False)
    messages = []
    try:
        while True:
            messages.append(manager.recv(4096).decode())
    except BlockingIOError:
        return messages


def test_each_message_is_one_datagram(manager: socket.socket) -> None:
    systemd = Systemd()
    systemd.notify(READY=1)
    systemd.notify(RELOADING=1, MONOTONIC_USEC=17)
    assert drained(manager) == ["READY=1", "RELOADING=1\nMONOTONIC_USEC=17"]


def test_a_manager_that_does_not_read_holds_nobody_up_and_hears_the_newest_later(manager: socket.socket) -> None:
    systemd = Systemd()
    for number in range(5000):
        systemd.notify(WATCHDOG=1, STATUS=f"{number}")
    heard = drained(manager)
    assert 0 < len(heard) < 5000
    systemd.notify(STOPPING=1)
    assert drained(manager) == ["WATCHDOG=1\nSTATUS=4999\nSTOPPING=1"]
    systemd.notify(WATCHDOG=1)
    assert drained(manager) == ["WATCHDOG=1"]


def test_an_abstract_socket_is_one_that_starts_with_an_at(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"edgeface-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}")
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        Systemd().notify(READY=1)
        assert drained(manager) == ["READY=1"]


@pytest.mark.parametrize("address", ["", "/nowhere/notify"])
def test_where_nobody_listens_nothing_happens(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    Systemd().notify(READY=1)
