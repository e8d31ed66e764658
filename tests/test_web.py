"""The page against whoever means it ill: each thing that it must refuse, refused."""

import json
import re
import socket
import stat
import struct
import zlib
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from broker import authority, eventually, needs_openssl
from hypothesis import given
from hypothesis import strategies as st
from page import serving, settings

from edgeface.errors import ConfigError, EdgefaceError
from edgeface.imaging import load_image
from edgeface.web import access, live, server
from edgeface.web.access import is_ours
from edgeface.web.listener import MAX_SIGNED_IN, MAX_STRANGERS
from edgeface.web.people import MAX_PHOTO, MAX_UPLOADS
from edgeface.web.server import PATIENCE, refuse_exposure
from edgeface.web.sessions import MAX_SESSIONS, Sessions
from edgeface.web.token import Token, address

VIEWS = ("/", "/people", "/visits", "/unknown", "/enrol", "/health")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("page")) as running:
        yield running


@pytest.fixture(scope="module")
def other_session(page):
    """The path and the cookie of somebody else who has signed in."""
    return page.sign_in()


@pytest.fixture
def own(tmp_path):
    """A page that a test may spoil."""
    with serving(tmp_path) as running:
        yield running


# Who gets in


@pytest.mark.parametrize("path", [*VIEWS, "/stream", "/live/picture", "/static/page.js", "/visits/x/picture", "/nowhere"])
def test_nothing_is_shown_without_the_cookie(page, path):
    status, headers, body = page.ask("GET", path, signed=False)
    assert status == 401
    assert b"edgeface web url" in body
    assert "set-cookie" not in headers


def test_the_token_opens_a_session_that_scripts_and_other_sites_cannot_use(page):
    status, headers, _ = page.ask("GET", f"/?token={page.token.text()}", signed=False)
    assert status == 303
    assert re.fullmatch(r"/~[\w-]{22}/", headers["location"])
    cookie = headers["set-cookie"]
    parts = {part.strip() for part in cookie.split(";")}
    assert {"HttpOnly", "SameSite=Strict", f"Path={headers['location']}"} <= parts
    assert page.token.text() not in cookie
    assert page.ask("GET", headers["location"], signed=False, cookie=cookie.partition(";")[0])[0] == 200


@pytest.mark.parametrize("cookie", ["", "x", "0" * 64, "ä", "a" * 8000])
def test_a_wrong_cookie_opens_nothing(page, cookie):
    sent = f"edgeface-{page.port}={cookie}".encode().decode("latin-1")
    assert page.ask("GET", page.session[0] + "/", signed=False, cookie=sent)[0] == 401


@pytest.mark.parametrize(
    "root", ["", "/~", "/~x", "/~" + "A" * 22, "/~{key}x", "/{key}", "/~{other}", "/%7E{other}", "/~{key}%00"]
)
@pytest.mark.parametrize("path", [*VIEWS, "/static/page.js", "/stream", "/live/picture"])
def test_the_cookie_alone_opens_nothing(page, other_session, root, path):
    key, other = (session[0].removeprefix("/~") for session in (page.session, other_session))
    status, _, body = page.ask("GET", root.format(key=key, other=other) + path, signed=False, cookie=page.session[1])
    assert status == 401
    assert key.encode() not in body


def test_the_address_alone_opens_nothing(page, other_session):
    for path in VIEWS:
        assert page.ask("GET", page.session[0] + path, signed=False)[0] == 401
        assert page.ask("GET", page.session[0] + path, signed=False, cookie=other_session[1])[0] == 401


def test_a_cookie_of_another_port_does_not_stand_in_the_way(page):
    root, cookie = page.session
    assert page.ask("GET", root + "/", signed=False, cookie=f"{cookie}; edgeface-{page.port}=forged")[0] == 200


def test_who_signs_out_is_out_and_nobody_else(own):
    (root, cookie), other = own.sign_in(), own.sign_in()
    with own.raw(f"GET {root}/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookie}\r\n\r\n".encode()) as stream:
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


def test_a_session_ends_unless_it_is_used(tmp_path):
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


def test_a_session_lasts_hours_or_days_and_its_cookie_as_long(own, monkeypatch):
    def age(**headers):
        given = own.ask("GET", f"/?token={own.token.text()}", signed=False, **headers)[1]
        return int(re.search(r"Max-Age=(\d+)", given["set-cookie"])[1]), given["set-cookie"]

    assert age()[0] == 12 * 3600
    length, cookie = age(x_forwarded_proto="https")
    assert length == 30 * 24 * 3600
    assert cookie.startswith(f"__Host-edgeface-{own.port}=")
    assert "Path=/; Secure" in cookie
    assert admitted(own)
    monkeypatch.setattr(access, "LIFETIME", 24 * 3600)
    _, headers, _ = own.ask("GET", "/people")
    assert headers["set-cookie"].startswith(f"{own.session[1]}; Max-Age=86400; Path={own.session[0]}/")
    assert "set-cookie" not in own.ask("GET", "/people")[1]  # it was told a moment ago


def test_there_are_only_so_many_sessions(tmp_path):
    sessions = Sessions(Token(tmp_path / "web.token"))
    opened = [sessions.open(100.0) for _ in range(MAX_SESSIONS + 10)]
    assert [sessions.admits(session) for session in opened] == [False] * 10 + [True] * MAX_SESSIONS


def test_kept_sessions_outlast_the_process_and_their_file_opens_nothing(tmp_path):
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


def test_the_token_cannot_be_guessed_at_any_rate(own):
    statuses = [own.ask("GET", f"/?token={guess}", signed=False)[0] for guess in range(14)]
    assert set(statuses[:10]) == {401}
    assert set(statuses[11:]) == {429}
    assert own.ask("GET", f"/?token={own.token.text()}", signed=False)[0] == 303  # the owner is not shut out
    assert own.ask("GET", "/")[0] == 200  # who is signed in does not notice


def test_the_right_token_opens_at_any_rate(own):
    assert {own.ask("GET", f"/?token={own.token.text()}", signed=False)[0] for _ in range(14)} == {303}


def test_a_new_token_shuts_everybody_out(own):
    assert own.ask("GET", "/")[0] == 200
    own.token.renew()
    assert own.ask("GET", "/")[0] == 401


def test_the_token_is_for_its_owner_alone(tmp_path):
    token = Token(tmp_path / "web.token")
    assert stat.S_IMODE((tmp_path / "web.token").stat().st_mode) == 0o600
    assert len(token.text()) >= 43
    assert Token(tmp_path / "web.token").text() == token.text()
    (tmp_path / "web.token").chmod(0o644)
    with pytest.raises(EdgefaceError, match="others may read"):
        Token(tmp_path / "web.token")


def test_a_token_that_others_may_read_opens_nothing(own):
    assert admitted(own)
    own.config.token_path.chmod(0o644)
    assert own.ask("GET", "/")[0] == 503


def test_a_link_from_elsewhere_is_followed_once_more_from_here(page):
    where = f"{page.session[0]}/people"
    status, _, body = page.ask("GET", where, signed=False, sec_fetch_site="cross-site", sec_fetch_mode="navigate")
    assert status == 200
    assert b'http-equiv="refresh"' in body
    assert b"<nav" not in body


# Where requests come from


STRANGE_HOSTS = [
    *(
        "evil.example",
        "evil.example:8480",
        "127.0.0.1.evil.example",
        "",
        "[",
        "door@evil.example",
        "x@127.0.0.1",
        "127.0.0.1#evil",
    ),
    *(
        "127.0.0.1?evil",
        "127.0.0.1/evil",
        "127.0.0.1:x",
        "127.0.0.1:123456",
        "127.0.0.1:70000",
        "127.0.0.1:",
        "127.1",
        "0x7f000001",
    ),
    *(
        "[127.0.0.1]",
        "::1",
        "[::1%eth0]",
        "[::1]evil",
        "localhost.",
        "127.0.0.1,evil.example",
        "evil.example\\@127.0.0.1",
    ),
]


@pytest.mark.parametrize("host", STRANGE_HOSTS)
def test_a_name_that_is_not_ours_is_refused(page, host):
    assert not is_ours(host, {"localhost"})
    status, _, body = page.ask("GET", "/", host=host)
    assert status in (400, 421)
    assert b"<nav" not in body


@given(
    st.text(st.sampled_from("127.0localhstevi@#?/\\:[]%- \t\0\xe9\u212a\u017f"), max_size=24)
    | st.tuples(
        st.sampled_from(["", "x@", "evil.example/", " ", "//", "["]),
        st.sampled_from(
            ["localhost", "Door.lan", "127.0.0.1", "192.168.1.7", "[::1]", "[fe80::1]", "evil.example", "1.2.3", "[]"]
        ),
        st.sampled_from(
            ["", ":", ":80", ":65535", ":65536", ":-1", ":0x50", "#evil", "@evil.example", ".", "]", ":80:80", "%00"]
        ),
    ).map("".join)
)
def test_only_a_name_or_an_address_with_a_port_is_ours(host):
    address = r"(?:\d{1,3}\.){3}\d{1,3}|\[[0-9a-fA-F:.]+\]"
    if is_ours(host, {"localhost", "door.lan"}):
        assert re.fullmatch(rf"(?:(?i:localhost|door\.lan)|{address})(?::\d{{1,5}})?", host, re.ASCII)
        assert urlsplit(f"http://{host}/").hostname == host.lower().rpartition(":80")[0].strip("[]") or ":80" not in host


def test_addresses_and_names_of_the_settings_are_ours(tmp_path):
    with serving(tmp_path, hosts=["door.lan"]) as page:
        for host in ("127.0.0.1", "localhost", "[::1]:80", "192.168.1.7:8480", "door.lan", "DOOR.lan:8480"):
            assert page.ask("GET", "/people", host=host)[0] == 200, host


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null", "sec_fetch_site": "cross-site"},
        {"origin": "null", "sec_fetch_site": None},
        {"origin": "", "sec_fetch_site": None},
        {"origin": ""},
        {"origin": "127.0.0.1"},
        {"origin": "http://x@127.0.0.1", "sec_fetch_site": None},
        {"origin": "file://", "sec_fetch_site": None},
        {"origin": "http://127.0.0.1:1"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "none"},
        {"origin": None, "sec_fetch_site": None},
        {"origin": "http://evil.example", "sec_fetch_site": None},
        {"origin": "http://[", "sec_fetch_site": None},
    ],
)
@pytest.mark.parametrize("path", ["/people/{id}/forget", "/people/{id}/rename", "/unknown/dismiss", "/people/photo?name=Eve"])
def test_no_other_page_can_change_anything(page, demo_photos, path, headers):
    person = page.enroll("Collins", demo_photos / "collins_portrait.jpg")
    status, _, body = page.ask("POST", path.format(id=person), {"name": "Eve"}, **headers)
    assert status == 403, body
    assert page.with_gallery(lambda gallery: gallery.find(person)).name == "Collins"


def test_a_change_is_never_made_by_looking(page, demo_photos):
    person = page.enroll("Collins", demo_photos / "collins_portrait.jpg")
    for path in (f"/people/{person}/forget", f"/people/{person}/rename?name=Eve", "/unknown/dismiss", "/people/photo?name=Eve"):
        assert page.ask("GET", path)[0] == 405
    assert page.with_gallery(lambda gallery: gallery.find(person)).name == "Collins"


@pytest.mark.parametrize("path", [*VIEWS, "/nowhere", "/static/page.js"])
def test_every_answer_has_the_headers_of_a_careful_page(page, path):
    _, headers, _ = page.ask("GET", path)
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "server" not in headers


# What is in names and paths


def test_a_name_is_text_wherever_it_is_shown(own, demo_photos):
    evil = """<script>alert(1)</script>"'><img src=x onerror=alert(1)>{{ 7*7 }}"""
    person = own.enroll(evil, demo_photos / "obama_portrait.jpg")
    own.stage.scene = load_image(demo_photos / "obama_press_room.jpg")
    assert eventually(lambda: own.with_gallery(lambda gallery: gallery.events.all()), 60)
    told = own.post(f"/people/{person}/rename", {"name": evil + "!"})
    shown = [told, *(own.get(path) for path in VIEWS), own.get("/live/recent"), own.get(f"/enrol?name={'%3Cscript%3E'}")]
    for text in shown:
        assert not re.search(r"<script(?! src=\"/~[\w-]+/static/page.js\")|<img src=x|onerror=alert\(1\)>(?!.*&gt;)", text)
        assert "49" not in re.sub(r"\d{3,}|:\d\d|\d\d:", "", text) or "{{" in text
    assert any("&lt;script&gt;" in text for text in shown)

    def named():  # in JSON, which the page puts in as text
        faces = json.loads(own.ask("GET", "/live/picture")[1].get("x-view", '{"faces": []}'))["faces"]
        return [face["name"] for face in faces] == [evil + "!"]

    assert eventually(named, 60)


@pytest.mark.parametrize("name", ["", " ", "a\nb", "\u202e", "x" * 101, "\x00"])
def test_a_name_that_is_none_is_refused(page, demo_photos, name):
    person = page.enroll("Collins", demo_photos / "collins_portrait.jpg")
    assert "Not renamed" in page.post(f"/people/{person}/rename", {"name": name})


@pytest.mark.parametrize(
    "path",
    [
        "/static/../token.py",
        "/static/..%2f..%2fconfig.py",
        "/static/%2e%2e/server.py",
        "/static//etc/passwd",
        "/static/..\\token.py",
        "/../../../../etc/passwd",
        "/visits/..%2f..%2fgallery.key/picture",
        "/visits/%00/picture",
        "/visits/01M86GTN766HKSFCZ15NNMEFKP'%20OR%201=1--/picture",
    ],
)
def test_no_path_leads_out_of_the_page(page, path):
    status, _, body = page.ask("GET", path)
    assert status == 404
    assert b"import " not in body
    assert b"root:" not in body


# What is sent


def png(width, height):
    """A PNG of a few bytes that says it is so large."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "empty"),
        (b"hello", "not a JPEG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a JPEG"),
        (b"GIF89a" + bytes(100), "not a JPEG"),
        (png(50_000, 50_000), "too large"),
        (png(4_001, 4_001), "too large"),
        (png(2**31 - 1, 1), "too large"),
        (png(4_000, 4_000), "damaged|no face"),
        (b"\xff\xd8\xff\xe0" + bytes(100), "not a JPEG"),
    ],
)
def test_what_is_no_photo_is_refused_before_it_unfolds(page, body, told):
    status, _, answer = page.ask("POST", "/people/photo?name=Eve", body)
    assert status == 422
    assert re.search(told, json.loads(answer)["text"])
    assert page.ask("GET", "/people")[0] == 200


def test_a_photo_cut_short_enrols_nobody(page, demo_photos):
    data = (demo_photos / "obama_portrait.jpg").read_bytes()
    for length in (10, 200, len(data) // 8):
        status, _, answer = page.ask("POST", "/people/photo?name=Cut", data[:length])
        assert status == 422, answer
    assert "Cut" not in [person.name for person in page.with_gallery(lambda gallery: gallery.people())]


def test_too_much_is_refused_unread(page):
    status, _, answer = page.ask("POST", "/people/photo?name=Eve", None, content_length=str(MAX_PHOTO + 1))
    assert status == 413
    assert "MB" in json.loads(answer)["text"]
    assert page.ask("POST", "/unknown/dismiss", {"events": "x" * 20_000})[0] == 413
    root, cookie = page.session
    endless = page.raw(
        f"POST {root}/people/photo?name=Eve HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://127.0.0.1\r\nCookie: {cookie}\r\n"
        "Transfer-Encoding: chunked\r\n\r\n".encode()
    )
    sent, chunk = 0, b"10000\r\n" + bytes(0x10000) + b"\r\n"
    try:
        while sent <= 3 * MAX_PHOTO:
            endless.sendall(chunk)
            sent += len(chunk)
    except OSError:
        pass
    endless.close()
    assert sent < 3 * MAX_PHOTO  # it is cut off, not read to its end


def test_photos_come_one_at_a_time_and_more_than_a_few_are_told_to_come_again(own, demo_photos):
    root, cookie = own.session
    head = f"POST {root}/people/photo?name=Eve HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://127.0.0.1\r\nCookie: {cookie}\r\n"
    slow = [own.raw(f"{head}Content-Length: 1000\r\n\r\n".encode()) for _ in range(MAX_UPLOADS)]
    assert eventually(lambda: own.site.uploads == MAX_UPLOADS)
    status, headers, answer = own.ask("POST", "/people/photo?name=Eve", b"hello")
    assert (status, headers["retry-after"]) == (503, "5")
    assert json.loads(answer)["text"] == "Other photos are being looked at; try again in a moment."
    for client in slow:
        client.close()
    assert eventually(lambda: own.site.uploads == 0)
    photo = (demo_photos / "obama_portrait.jpg").read_bytes()
    assert own.ask("POST", "/people/photo?name=Anna", photo)[0] == 200


def test_a_good_photo_enrols(own, demo_photos):
    status, _, answer = own.ask("POST", "/people/photo?name=Anna", (demo_photos / "obama_portrait.jpg").read_bytes())
    assert (status, json.loads(answer)["text"]) == (
        200,
        "Anna is known from 1 view now. With 5 or more they are recognised more surely.",
    )
    status, _, answer = own.ask("POST", "/people/photo?name=Eve", (demo_photos / "obama_press_room.jpg").read_bytes())
    assert status == 422
    assert "already enrolled as 'Anna'" in json.loads(answer)["text"]


# Who dawdles, and who comes in crowds


def test_a_client_that_never_asks_is_cut_off(own, monkeypatch):
    monkeypatch.setattr(server, "PATIENCE", 0.3)
    silent, slow = own.raw(), own.raw(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: ")
    for client in (silent, slow):
        with suppress(ConnectionError):
            assert client.recv(10) == b""
        client.close()


def test_a_client_that_drips_its_request_is_cut_off(own, monkeypatch):
    monkeypatch.setattr(server, "PATIENCE", 0.5)
    client = own.raw(b"GET / HTTP/1.1\r\n")

    def dripped():  # a byte now and then does not buy time
        try:
            client.sendall(b"X")
        except OSError:
            return True
        return False

    assert eventually(dripped)
    client.close()


def admitted(page):
    """Whether who is signed in is let in, over a connection of their own."""
    return page.ask("GET", "/people")[0] == 200


@pytest.mark.parametrize("sent", ["", "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: "])
def test_a_crowd_that_says_nothing_keeps_nobody_out_and_the_loop_goes_on(own, sent):
    assert admitted(own)
    crowd = [own.raw(sent.encode()) for _ in range(MAX_STRANGERS + MAX_SIGNED_IN + 100)]
    assert admitted(own)
    assert eventually(lambda: len(own.server._server.server_state.connections) <= MAX_STRANGERS + 1)
    before = own.beats
    assert eventually(lambda: own.beats > before + 10, 60)
    assert admitted(own)
    for client in crowd:
        client.close()
    assert eventually(lambda: not own.server._server.server_state.connections)


def test_a_crowd_that_asks_without_a_session_keeps_nobody_out(own, monkeypatch):
    assert admitted(own)
    monkeypatch.setattr(server, "PATIENCE", 1000.0)
    head = b"GET /people HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    crowd = [own.raw(head) for _ in range(MAX_STRANGERS + MAX_SIGNED_IN)]
    assert admitted(own)
    assert eventually(lambda: not own.server._server.server_state.connections)  # who is refused does not keep the place
    assert b" 401 " in crowd[-1].recv(4096)
    for client in crowd:
        client.close()


def test_a_place_is_taken_from_the_address_that_holds_most(own):
    """As a crowd at one address, which takes its own places, and not that of somebody at another who is slow to ask."""
    slow = own.raw(source="127.0.0.2")
    crowd = [own.raw() for _ in range(MAX_STRANGERS + 50)]
    slow.sendall(f"GET {own.session[0]}/people HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {own.session[1]}\r\n\r\n".encode())
    assert b" 200 " in slow.recv(4096)
    for client in (slow, *crowd):
        client.close()


def test_a_crowd_at_many_addresses_keeps_nobody_out(own):
    assert admitted(own)
    crowd = [own.raw(source=f"127.1.{number}.1") for number in range(MAX_STRANGERS + MAX_SIGNED_IN + 20)]
    assert admitted(own)
    for client in crowd:
        client.close()


def test_those_signed_in_have_only_so_many_connections_and_are_told(own, monkeypatch):
    root, cookie = own.session
    monkeypatch.setattr(server, "PATIENCE", 1000.0)
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
    assert eventually(lambda: admitted(own))
    for client in crowd:
        client.close()


def test_of_200_streams_some_are_served_and_none_reaches_the_loop(own):
    """The loop's side of the window takes no lock and no call of the page's: it goes on though the page's thread hangs."""
    crowd = [own.stream() for _ in range(200)]
    assert eventually(lambda: own.site.streams == live.MAX_STREAMS)
    gate = socket.socketpair()
    loop = own.server._server.servers[0].get_loop()
    loop.call_soon_threadsafe(gate[0].recv, 1)  # the page's thread hangs until the test lets it go
    before = own.beats
    assert eventually(lambda: own.beats > before + 20, 60)
    gate[1].send(b"x")
    assert own.site.streams <= live.MAX_STREAMS
    for client in crowd:
        client.close()
    assert eventually(lambda: own.site.streams == 0)
    assert own.ask("GET", "/")[0] == 200


def test_a_new_token_ends_open_streams_too(own):
    with own.stream() as client:
        assert b"200" in client.recv(4096)
        own.token.renew()
        while client.recv(4096):
            pass
    assert eventually(lambda: own.site.streams == 0)


def test_a_stream_tells_how_it_is(page):
    with page.stream() as client:
        received = b""
        while b"\n\n" not in received.partition(b"data: ")[2]:
            part = client.recv(4096)
            assert part
            received += part
    told = json.loads(received.partition(b"data: ")[2].partition(b"\n\n")[0])
    assert told["facts"]["state"] == "well"
    assert len(told["version"]) == 3


# Where it is served


@pytest.mark.parametrize("where", ["0.0.0.0", "", "::", "192.168.1.5", "door.lan"])
def test_it_is_not_served_to_a_network_in_the_clear(tmp_path, where):
    with pytest.raises(ConfigError, match="must be encrypted"):
        refuse_exposure(settings(tmp_path, address=where).web)
    refuse_exposure(settings(tmp_path, address=where, behind_proxy=True).web)
    refuse_exposure(settings(tmp_path, address=where, tls_cert="a", tls_key="b").web)


def test_half_of_tls_is_a_mistake(tmp_path):
    with pytest.raises(ConfigError, match="both are needed"):
        refuse_exposure(settings(tmp_path, tls_cert="a").web)


@pytest.fixture
def encrypted(tmp_path):
    """A page with a certificate."""
    keys = authority(tmp_path / "keys")
    with serving(tmp_path, tls_cert=str(keys / "server.pem"), tls_key=str(keys / "server.key")) as running:
        yield running


@needs_openssl
def test_with_a_certificate_it_is_encrypted_and_the_cookie_never_leaves_that(encrypted):
    assert address(encrypted.config.web).startswith("https://127.0.0.1:")
    _, headers, _ = encrypted.ask("GET", f"/?token={encrypted.token.text()}", signed=False)
    assert headers["set-cookie"].startswith(f"__Host-edgeface-{encrypted.port}=")
    assert {"Secure", "Path=/", "HttpOnly", "SameSite=Strict"} <= {part.strip() for part in headers["set-cookie"].split(";")}
    assert "domain" not in headers["set-cookie"].lower()
    assert admitted(encrypted)
    root, cookie = encrypted.session
    for sent in (cookie, cookie.removeprefix("__Host-")):
        assert encrypted.ask("GET", "/people", signed=False, cookie=sent)[0] == 401  # it goes to other ports, the key does not
    assert encrypted.ask("GET", f"{root}/people", signed=False, cookie=cookie.removeprefix("__Host-"))[0] == 401
    with pytest.raises(OSError, match=r"reset|closed|refused"):
        urlopen(f"http://127.0.0.1:{encrypted.port}/", timeout=5)


@needs_openssl
def test_who_says_nothing_not_even_in_tls_is_cut_off(encrypted, monkeypatch):
    server = encrypted.server._server.servers[0]
    assert server._ssl_handshake_timeout == server._ssl_shutdown_timeout == PATIENCE == 10.0
    monkeypatch.setattr(server, "_ssl_handshake_timeout", 0.3)
    with encrypted.raw() as silent, suppress(ConnectionError):
        assert silent.recv(1) == b""


@needs_openssl
def test_a_crowd_without_tls_keeps_nobody_out(encrypted):
    assert admitted(encrypted)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with ExitStack() as stack:
        silent = [stack.enter_context(encrypted.raw()) for _ in range(MAX_STRANGERS + MAX_SIGNED_IN + 50)]
        assert admitted(encrypted)
        silent[0].settimeout(10)
        assert silent[0].recv(1) == b""  # its place was needed
        assert eventually(lambda: len(list(Path("/proc/self/fd").iterdir())) - before <= len(silent) + MAX_STRANGERS + 10)
        assert admitted(encrypted)
