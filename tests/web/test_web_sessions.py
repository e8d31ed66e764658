"""Sessions of the page: what opens one, what does not, and when it ends."""

import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fixtures.optional import needed
from fixtures.page import Page, serving

from edgeface.web import auth
from edgeface.web.sessions import MAX_SESSIONS, Sessions
from edgeface.web.token import Token

VIEWS = ("/", "/people", "/visits", "/unknown", "/enroll", "/health", "/regions")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with serving(tmp_path_factory.mktemp("page")) as running:
        yield running


@pytest.fixture(scope="module")
def other_session(page: Page) -> tuple[str, str]:
    """The path and the cookie of somebody else who has signed in."""
    return page.sign_in()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Page]:
    """A page that a test may spoil."""
    with serving(tmp_path) as running:
        yield running


def test_the_token_opens_a_session_that_scripts_and_other_sites_cannot_use(page: Page) -> None:
    status, headers, _ = page.ask("GET", f"/?token={page.token.text()}", signed=False)
    assert status == 303
    assert re.fullmatch(r"/~[\w-]{22}/", headers["location"])
    cookie = headers["set-cookie"]
    parts = {part.strip() for part in cookie.split(";")}
    assert {"HttpOnly", "SameSite=Strict", f"Path={headers['location']}"} <= parts
    assert page.token.text() not in cookie
    assert page.ask("GET", headers["location"], signed=False, cookie=cookie.partition(";")[0])[0] == 200


@pytest.mark.parametrize("cookie", ["", "x", "0" * 64, "ä", "a" * 8000])
def test_a_wrong_cookie_opens_nothing(page: Page, cookie: str) -> None:
    sent = f"edgeface-{page.port}={cookie}".encode().decode("latin-1")
    assert page.ask("GET", page.session[0] + "/", signed=False, cookie=sent)[0] == 401


@pytest.mark.parametrize(
    "root", ["", "/~", "/~x", "/~" + "A" * 22, "/~{key}x", "/{key}", "/~{other}", "/%7E{other}", "/~{key}%00"]
)
@pytest.mark.parametrize("path", [*VIEWS, "/static/page.js", "/stream", "/live/picture"])
def test_the_cookie_alone_opens_nothing(page: Page, other_session: tuple[str, str], root: str, path: str) -> None:
    key, other = (session[0].removeprefix("/~") for session in (page.session, other_session))
    status, _, body = page.ask("GET", root.format(key=key, other=other) + path, signed=False, cookie=page.session[1])
    assert status == 401
    assert key.encode() not in body


def test_the_address_alone_opens_nothing(page: Page, other_session: tuple[str, str]) -> None:
    for path in VIEWS:
        assert page.ask("GET", page.session[0] + path, signed=False)[0] == 401
        assert page.ask("GET", page.session[0] + path, signed=False, cookie=other_session[1])[0] == 401


def test_a_cookie_of_another_port_does_not_stand_in_the_way(page: Page) -> None:
    root, cookie = page.session
    assert page.ask("GET", root + "/", signed=False, cookie=f"{cookie}; edgeface-{page.port}=forged")[0] == 200


def test_who_signs_out_is_out_and_nobody_else(own: Page) -> None:
    (root, cookie), other = own.sign_in(), own.sign_in()
    with own.raw(
        f"GET {root}/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n".encode()
    ) as stream:
        assert b"200" in stream.recv(4096)
        assert own.ask("GET", f"{root}/signout", signed=False, cookie=cookie)[0] == 404  # not by a link
        assert own.ask("POST", f"{root}/signout", signed=False, cookie=cookie, origin="http://evil.example")[0] == 403
        assert own.ask("GET", f"{root}/", signed=False, cookie=cookie)[0] == 200
        status, _, body = own.ask("POST", f"{root}/signout", signed=False, cookie=cookie)
        assert status == 200
        assert b"signed out" in body
        while stream.recv(4096):
            pass
    assert own.ask("GET", f"{root}/", signed=False, cookie=cookie)[0] == 401
    assert own.ask("GET", f"{other[0]}/", signed=False, cookie=other[1])[0] == 200


def test_a_session_ends_unless_it_is_used(tmp_path: Path) -> None:
    sessions, now = Sessions(Token(tmp_path / "web.token")), [0.0]
    sessions._clock = lambda: now[0]
    used, unused = sessions.open(100.0), sessions.open(100.0)
    for now[0] in (60.0, 120.0, 180.0):
        assert sessions.admits(used)
        assert sessions.renew(used, 100.0)
    assert not sessions.renew(used, 100.0)  # at once again: there is nothing to tell the browser
    assert not sessions.admits(unused)
    now[0] = 280.0
    assert not sessions.admits(used)


def test_a_session_lasts_hours_or_days_and_its_cookie_as_long(own: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    def age(**headers: Any) -> tuple[int, Any]:
        given = own.ask("GET", f"/?token={own.token.text()}", signed=False, **headers)[1]
        return int(needed(re.search(r"Max-Age=(\d+)", given["set-cookie"]))[1]), given["set-cookie"]

    assert age()[0] == 12 * 3600
    length, cookie = age(x_forwarded_proto="https")
    assert length == 30 * 24 * 3600
    assert cookie.startswith(f"__Host-edgeface-{own.port}=")
    assert "Path=/; Secure" in cookie
    assert own.admits()
    monkeypatch.setattr(auth, "LIFETIME", 24 * 3600)
    _, headers, _ = own.ask("GET", "/people")
    assert headers["set-cookie"].startswith(f"{own.session[1]}; Max-Age=86400; Path={own.session[0]}/")
    assert "set-cookie" not in own.ask("GET", "/people")[1]  # it was told a moment ago


def test_there_are_only_so_many_sessions(tmp_path: Path) -> None:
    sessions = Sessions(Token(tmp_path / "web.token"))
    opened = [sessions.open(100.0) for _ in range(MAX_SESSIONS + 10)]
    assert [sessions.admits(session) for session in opened] == [False] * 10 + [True] * MAX_SESSIONS


def test_kept_sessions_outlast_the_process_and_their_file_opens_nothing(tmp_path: Path) -> None:
    token, path = Token(tmp_path / "web.token"), tmp_path / "web.sessions"
    session = Sessions(token, path).open(100.0)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert session.secret.encode() not in path.read_bytes()
    assert session.key.encode() not in path.read_bytes()
    again = Sessions(token, path)
    assert again.admits(session)
    again.end(session)
    assert not Sessions(token, path).admits(session)
    session = again.open(100.0)
    token.renew()
    assert not again.admits(session)
    path.write_text("{")
    assert not Sessions(token, path).admits(session)
    path.unlink()
    path.mkdir()
    assert (kept := Sessions(token, path)).admits(kept.open(100.0))  # it cannot be kept, but it is open
