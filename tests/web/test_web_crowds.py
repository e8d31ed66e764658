"""Crowds before the page, which keep nobody out, and the page with a certificate."""

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from fixtures.broker import authority, eventually, needs_openssl
from fixtures.page import Page, serving

from edgeface.web import server
from edgeface.web.listener import MAX_SIGNED_IN, MAX_STRANGERS
from edgeface.web.server import REQUEST_TIMEOUT

pytestmark = pytest.mark.slow  # hundreds of connections


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Page]:
    """A page that a test may spoil."""
    with serving(tmp_path) as running:
        yield running


@pytest.mark.parametrize("sent", ["", "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: "])
def test_a_crowd_that_says_nothing_keeps_nobody_out_and_the_loop_goes_on(own: Page, sent: str) -> None:
    assert own.admits()
    crowd = [own.raw(sent.encode()) for _ in range(MAX_STRANGERS + MAX_SIGNED_IN + 100)]
    assert own.admits()
    assert eventually(lambda: len(own.server._server.server_state.connections) <= MAX_STRANGERS + 1)
    before = own.beats
    assert eventually(lambda: own.beats > before + 10, 60)
    assert own.admits()
    for client in crowd:
        client.close()
    assert eventually(lambda: not own.server._server.server_state.connections)


def test_a_crowd_that_asks_without_a_session_keeps_nobody_out(own: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    assert own.admits()
    monkeypatch.setattr(server, "REQUEST_TIMEOUT", 1000.0)
    head = b"GET /people HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    crowd = [own.raw(head) for _ in range(MAX_STRANGERS + MAX_SIGNED_IN)]
    assert own.admits()
    assert eventually(lambda: not own.server._server.server_state.connections)  # who is refused does not keep the place
    assert b" 401 " in crowd[-1].recv(4096)
    for client in crowd:
        client.close()


def test_a_place_is_taken_from_the_address_that_holds_most(own: Page) -> None:
    """As a crowd at one address, which takes its own places, and not that of somebody at another who is slow to ask."""
    slow = own.raw(source="127.0.0.2")
    crowd = [own.raw() for _ in range(MAX_STRANGERS + 50)]
    slow.sendall(f"GET {own.session[0]}/people HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {own.session[1]}\r\n\r\n".encode())
    assert b" 200 " in slow.recv(4096)
    for client in (slow, *crowd):
        client.close()


def test_a_crowd_at_many_addresses_keeps_nobody_out(own: Page) -> None:
    assert own.admits()
    crowd = [own.raw(source=f"127.1.{number}.1") for number in range(MAX_STRANGERS + MAX_SIGNED_IN + 20)]
    assert own.admits()
    for client in crowd:
        client.close()


def test_those_signed_in_have_only_so_many_connections_and_are_told(own: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    root, cookie = own.session
    monkeypatch.setattr(server, "REQUEST_TIMEOUT", 1000.0)
    monkeypatch.setattr(own.server._server.config, "timeout_keep_alive", 1000)
    head = f"GET {root}/people HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookie}\r\n\r\n".encode()
    crowd = []
    for _ in range(MAX_SIGNED_IN):
        crowd.append(own.raw(head))
        assert b" 200 " in crowd[-1].recv(4096)
    status, headers, body = own.ask("GET", "/people")
    assert (status, headers["connection"]) == (503, "close")
    assert b"Too many pages are open" in body
    crowd.pop().close()
    assert eventually(own.admits)
    for client in crowd:
        client.close()


@pytest.fixture
def encrypted(tmp_path: Path) -> Iterator[Page]:
    """A page with a certificate."""
    keys = authority(tmp_path / "keys")
    with serving(tmp_path, tls_cert=str(keys / "server.pem"), tls_key=str(keys / "server.key")) as running:
        yield running


@needs_openssl
def test_with_a_certificate_it_is_encrypted_and_the_cookie_never_leaves_that(encrypted: Page) -> None:
    assert encrypted.config.web.url.startswith("https://127.0.0.1:")
    _, headers, _ = encrypted.ask("GET", f"/?token={encrypted.token.text()}", signed=False)
    assert headers["set-cookie"].startswith(f"__Host-edgeface-{encrypted.port}=")
    assert {"Secure", "Path=/", "HttpOnly", "SameSite=Strict"} <= {part.strip() for part in headers["set-cookie"].split(";")}
    assert "domain" not in headers["set-cookie"].lower()
    assert encrypted.admits()
    root, cookie = encrypted.session
    for sent in (cookie, cookie.removeprefix("__Host-")):
        assert encrypted.ask("GET", "/people", signed=False, cookie=sent)[0] == 401  # it goes to other ports, the key does not
    assert encrypted.ask("GET", f"{root}/people", signed=False, cookie=cookie.removeprefix("__Host-"))[0] == 401
    with pytest.raises(OSError, match=r"reset|closed|refused"):
        urlopen(f"http://127.0.0.1:{encrypted.port}/", timeout=5)


@needs_openssl
def test_who_says_nothing_not_even_in_tls_is_cut_off(encrypted: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    assert encrypted.admits()
    server: Any = encrypted.server._server.servers[0]
    assert server._ssl_handshake_timeout == server._ssl_shutdown_timeout == REQUEST_TIMEOUT == 10.0
    monkeypatch.setattr(server, "_ssl_handshake_timeout", 0.3)
    with encrypted.raw() as silent, suppress(ConnectionError):
        assert silent.recv(1) == b""


@needs_openssl
def test_a_crowd_without_tls_keeps_nobody_out(encrypted: Page) -> None:
    assert encrypted.admits()
    before = len(list(Path("/proc/self/fd").iterdir()))
    with ExitStack() as stack:
        silent = [stack.enter_context(encrypted.raw()) for _ in range(MAX_STRANGERS + MAX_SIGNED_IN + 50)]
        assert encrypted.admits()
        silent[0].settimeout(10)
        assert silent[0].recv(1) == b""  # its place was needed
        assert eventually(lambda: len(list(Path("/proc/self/fd").iterdir())) - before <= len(silent) + MAX_STRANGERS + 10)
        assert encrypted.admits()
