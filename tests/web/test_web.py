"""The page against whoever means it ill: each thing that it must refuse, refused."""

import json
import re
import socket
import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from fixtures.broker import eventually
from fixtures.page import Page, serving, settings
from hypothesis import given
from hypothesis import strategies as st

from edgeface.errors import ConfigError, EdgefaceError
from edgeface.vision.images import load_image
from edgeface.web import live, server
from edgeface.web.auth import is_ours
from edgeface.web.exposure import refuse_exposure
from edgeface.web.people import MAX_PHOTO, MAX_UPLOADS
from edgeface.web.token import Token

VIEWS = ("/", "/people", "/visits", "/unknown", "/enroll", "/health", "/regions", "/settings", "/welcome")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with serving(tmp_path_factory.mktemp("page")) as running:
        yield running


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Page]:
    """A page that a test may spoil."""
    with serving(tmp_path) as running:
        yield running


# Who gets in


@pytest.mark.parametrize(
    "path", [*VIEWS, "/stream", "/live/picture", "/static/page.js", "/visits/x/picture", "/operations/people", "/nowhere"]
)
def test_nothing_is_shown_without_the_cookie(page: Page, path: str) -> None:
    status, headers, body = page.ask("GET", path, signed=False)
    assert status == 401
    assert b"edgeface web url" in body
    assert "set-cookie" not in headers


def test_a_phone_gets_manifest_and_icons_and_no_key_with_them(page: Page) -> None:
    text = page.get("/")
    assert '<link rel="manifest" href="/manifest.webmanifest">' in text
    status, headers, body = page.ask("GET", "/manifest.webmanifest", signed=False)
    assert (status, headers["content-type"]) == (200, "application/manifest+json")
    assert b"~" not in body
    assert b"door" not in body.replace(b"Who is at the door", b"")
    for icon in json.loads(body)["icons"]:
        status, _, png = page.ask("GET", icon["src"], signed=False)
        assert (status, png[:4]) == (200, b"\x89PNG")
        assert icon["sizes"] == "{}x{}".format(*struct.unpack(">II", png[16:24]))
    assert page.ask("POST", "/manifest.webmanifest", signed=False)[0] == 401
    assert page.ask("GET", "/icon-193.png", signed=False)[0] == 401
    assert page.ask("GET", "/manifest.webmanifest", signed=False, host="evil.example")[0] == 421


def test_home_assistant_gets_the_blueprint_without_a_key(tmp_path: Path) -> None:
    with serving(tmp_path, hosts=["door.local"]) as page:
        told = page.get("/phone", host=f"door.local:{page.port}", origin=f"http://door.local:{page.port}")
        (url,) = re.findall(rf"<code>http://door\.local:{page.port}(/[\w.-]+\.yaml)</code>", told)
        assert f"?blueprint_url=http%3A%2F%2Fdoor.local%3A{page.port}{url.replace('/', '%2F')}" in told
        status, headers, body = page.ask("GET", url, signed=False)
        assert (status, headers["content-type"]) == (200, "application/yaml")
        assert body.startswith(b"# Home Assistant")
        assert b"blueprint:" in body
        assert page.ask("POST", url, signed=False)[0] == 401


def test_the_token_cannot_be_guessed_at_any_rate(own: Page) -> None:
    statuses = [own.ask("GET", f"/?token={guess}", signed=False)[0] for guess in range(14)]
    assert set(statuses[:10]) == {401}
    assert set(statuses[11:]) == {429}
    assert own.ask("GET", f"/?token={own.token.text()}", signed=False)[0] == 303  # the owner is not shut out
    assert own.ask("GET", "/")[0] == 200  # who is signed in does not notice


def test_the_right_token_opens_at_any_rate(own: Page) -> None:
    assert {own.ask("GET", f"/?token={own.token.text()}", signed=False)[0] for _ in range(14)} == {303}


def test_a_new_token_shuts_everybody_out(own: Page) -> None:
    assert own.ask("GET", "/")[0] == 200
    own.token.renew()
    assert own.ask("GET", "/")[0] == 401


def test_the_token_is_for_its_owner_alone(tmp_path: Path) -> None:
    token = Token(tmp_path / "web.token")
    assert stat.S_IMODE((tmp_path / "web.token").stat().st_mode) == 0o600
    assert len(token.text()) >= 43
    assert Token(tmp_path / "web.token").text() == token.text()
    (tmp_path / "web.token").chmod(0o644)
    with pytest.raises(EdgefaceError, match="others may read"):
        Token(tmp_path / "web.token")


def test_a_token_that_others_may_read_opens_nothing(own: Page) -> None:
    assert own.admits()
    own.config.token_path.chmod(0o644)
    assert own.ask("GET", "/")[0] == 503


def test_a_link_from_elsewhere_is_followed_once_more_from_here(page: Page) -> None:
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
def test_a_name_that_is_not_ours_is_refused(page: Page, host: str) -> None:
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
def test_only_a_name_or_an_address_with_a_port_is_ours(host: str) -> None:
    address = r"(?:\d{1,3}\.){3}\d{1,3}|\[[0-9a-fA-F:.]+\]"
    if is_ours(host, {"localhost", "door.lan"}):
        assert re.fullmatch(rf"(?:(?i:localhost|door\.lan)|{address})(?::\d{{1,5}})?", host, re.ASCII)
        assert urlsplit(f"http://{host}/").hostname == host.lower().rpartition(":80")[0].strip("[]") or ":80" not in host


def test_addresses_and_names_of_the_settings_are_ours(tmp_path: Path) -> None:
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
@pytest.mark.parametrize(
    "path", ["/people/{id}/forget", "/people/{id}/rename", "/unknown/dismiss", "/people/photo?name=Eve", "/operations/forget"]
)
def test_no_other_page_can_change_anything(
    page: Page, demo_photos: Path, path: str, headers: dict[str, str | None] | dict[str, str]
) -> None:
    person = page.enroll("Collins", demo_photos / "collins_portrait.jpg")
    status, _, body = page.ask("POST", path.format(id=person), {"name": "Eve"}, **headers)
    assert status == 403, body
    assert page.with_gallery(lambda gallery: gallery.find(person)).name == "Collins"


def test_a_change_is_never_made_by_looking(page: Page, demo_photos: Path) -> None:
    person = page.enroll("Collins", demo_photos / "collins_portrait.jpg")
    for path in (f"/people/{person}/forget", f"/people/{person}/rename?name=Eve", "/unknown/dismiss", "/people/photo?name=Eve"):
        assert page.ask("GET", path)[0] in (404, 405)
    assert page.ask("GET", "/operations/forget")[0] == 405
    assert page.with_gallery(lambda gallery: gallery.find(person)).name == "Collins"


@pytest.mark.parametrize("path", [*VIEWS, "/nowhere", "/static/page.js"])
def test_every_answer_has_the_headers_of_a_careful_page(page: Page, path: str) -> None:
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


def test_a_name_is_text_wherever_it_is_shown(own: Page, demo_photos: Path) -> None:
    evil = """<script>alert(1)</script>"'><img src=x onerror=alert(1)>{{ 7*7 }}"""
    person = own.enroll(evil, demo_photos / "obama_portrait.jpg")
    own.stage.scene = load_image(demo_photos / "obama_press_room.jpg")
    assert eventually(lambda: own.with_gallery(lambda gallery: gallery.events.all()), 60)
    told = own.post(f"/people/{person}/rename", {"name": evil + "!"})
    shown = [
        told,
        *(own.get(path) for path in VIEWS),
        own.get("/live/recent"),
        own.get(f"/people/{person}"),
        own.get(f"/enroll?name={'%3Cscript%3E'}"),
    ]
    for text in shown:
        assert not re.search(r"<script(?! src=\"/~[\w-]+/static/\w+.js\")|<img src=x|onerror=alert\(1\)>(?!.*&gt;)", text)
        assert "49" not in re.sub(r"\d{3,}|:\d\d|\d\d:", "", text) or "{{" in text
    assert any("&lt;script&gt;" in text for text in shown)

    def named() -> bool:  # in JSON, which the page puts in as text
        faces = json.loads(own.ask("GET", "/live/picture")[1].get("x-view", '{"faces": []}'))["faces"]
        return [face["name"] for face in faces] == [evil + "!"]

    assert eventually(named, 60)


@pytest.mark.parametrize("name", ["", " ", "a\nb", "\u202e", "x" * 101, "\x00"])
def test_a_name_that_is_none_is_refused(page: Page, demo_photos: Path, name: str) -> None:
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
def test_no_path_leads_out_of_the_page(page: Page, path: str) -> None:
    status, _, body = page.ask("GET", path)
    assert status == 404
    assert b"import " not in body
    assert b"root:" not in body


# What is sent


def png(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is so large."""

    def chunk(kind: bytes, data: bytes) -> bytes:
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
def test_what_is_no_photo_is_refused_before_it_unfolds(page: Page, body: bytes, told: str) -> None:
    status, _, answer = page.ask("POST", "/people/photo?name=Eve", body)
    assert status == 422
    assert re.search(told, json.loads(answer)["text"])
    assert page.ask("GET", "/people")[0] == 200


def test_a_photo_cut_short_enrolls_nobody(page: Page, demo_photos: Path) -> None:
    data = (demo_photos / "obama_portrait.jpg").read_bytes()
    for length in (10, 200, len(data) // 8):
        status, _, answer = page.ask("POST", "/people/photo?name=Cut", data[:length])
        assert status == 422, answer
    assert "Cut" not in [person.name for person in page.with_gallery(lambda gallery: gallery.people())]


def test_too_much_is_refused_unread(page: Page) -> None:
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


def test_photos_come_one_at_a_time_and_more_than_a_few_are_told_to_come_again(own: Page, demo_photos: Path) -> None:
    root, cookie = own.session
    head = f"POST {root}/people/photo?name=Eve HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://127.0.0.1\r\nCookie: {cookie}\r\n"
    slow = [own.raw(f"{head}Content-Length: 1000\r\n\r\n".encode()) for _ in range(MAX_UPLOADS)]
    assert eventually(lambda: own.context.uploads == MAX_UPLOADS)
    status, headers, answer = own.ask("POST", "/people/photo?name=Eve", b"hello")
    assert (status, headers["retry-after"]) == (503, "5")
    assert json.loads(answer)["text"] == "Other photos are being looked at; try again in a moment."
    for client in slow:
        client.close()
    assert eventually(lambda: own.context.uploads == 0)
    photo = (demo_photos / "obama_portrait.jpg").read_bytes()
    assert own.ask("POST", "/people/photo?name=Anna", photo)[0] == 200


def test_a_good_photo_enrolls(own: Page, demo_photos: Path) -> None:
    status, _, answer = own.ask("POST", "/people/photo?name=Anna", (demo_photos / "obama_portrait.jpg").read_bytes())
    assert (status, json.loads(answer)["text"]) == (
        200,
        "Anna is known from 1 view now. With 5 or more, recognition is more reliable.",
    )
    status, _, answer = own.ask("POST", "/people/photo?name=Eve", (demo_photos / "obama_press_room.jpg").read_bytes())
    assert status == 422
    assert "already enrolled as 'Anna'" in json.loads(answer)["text"]


def test_a_photo_of_another_face_is_added_by_the_tick_alone(own: Page, demo_photos: Path) -> None:
    own.enroll("Anna", demo_photos / "obama_portrait.jpg")
    photo = (demo_photos / "biden_portrait.jpg").read_bytes()
    status, _, answer = own.ask("POST", "/people/photo?name=Anna&force=", photo)
    assert status == 422
    assert "(needs 0.30); force enrolls it anyway" in json.loads(answer)["text"]
    status, _, answer = own.ask("POST", "/people/photo?name=Anna&force=yes", photo)
    assert status == 200


# Who dawdles, and who comes in crowds


def test_a_client_that_never_asks_is_cut_off(own: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "REQUEST_TIMEOUT", 0.3)
    silent, slow = own.raw(), own.raw(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: ")
    for client in (silent, slow):
        with suppress(ConnectionError):
            assert client.recv(10) == b""
        client.close()


def test_a_client_that_drips_its_request_is_cut_off(own: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "REQUEST_TIMEOUT", 0.5)
    client = own.raw(b"GET / HTTP/1.1\r\n")

    def dripped() -> bool:  # a byte now and then does not buy time
        try:
            client.sendall(b"X")
        except OSError:
            return True
        return False

    assert eventually(dripped)
    client.close()


@pytest.mark.slow
def test_of_200_streams_some_are_served_and_none_reaches_the_loop(own: Page) -> None:
    """The loop's side of the window takes no lock and no call of the page's: it goes on though the page's thread hangs."""
    crowd = [own.stream() for _ in range(200)]
    assert eventually(lambda: own.context.streams == live.MAX_STREAMS)
    gate = socket.socketpair()
    loop = own.server._server.servers[0].get_loop()
    loop.call_soon_threadsafe(gate[0].recv, 1)  # the page's thread hangs until the test lets it go
    before = own.beats
    assert eventually(lambda: own.beats > before + 20, 60)
    gate[1].send(b"x")
    assert own.context.streams <= live.MAX_STREAMS
    for client in crowd:
        client.close()
    assert eventually(lambda: own.context.streams == 0)
    assert own.ask("GET", "/")[0] == 200


def test_a_new_token_ends_open_streams_too(own: Page) -> None:
    with own.stream() as client:
        assert b"200" in client.recv(4096)
        own.token.renew()
        while client.recv(4096):
            pass
    assert eventually(lambda: own.context.streams == 0)


def test_a_stream_tells_how_it_is(page: Page) -> None:
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
def test_it_is_not_served_to_a_network_in_the_clear(tmp_path: Path, where: str) -> None:
    with pytest.raises(ConfigError, match="must be encrypted"):
        refuse_exposure(settings(tmp_path, address=where).web)
    refuse_exposure(settings(tmp_path, address=where, behind_proxy=True).web)
    refuse_exposure(settings(tmp_path, address=where, tls_cert="a", tls_key="b").web)


def test_half_of_tls_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="both are needed"):
        refuse_exposure(settings(tmp_path, tls_cert="a").web)
