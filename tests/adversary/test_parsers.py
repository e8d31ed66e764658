"""Whatever bytes others send or leave, each parser that reads them gives a value or one line that names what is wrong.

Parsers with a test of this kind of their own: settings in test_config, images in test_imaging and test_jpeg2000, imports in
test_gallery, sealed exports in test_passphrase, commands over MQTT in test_commands, requests to the socket in test_control,
the page's Host in test_web, a camera's address in test_secrets, names in test_gallery, what the key opens in test_encryption.
"""

import json
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import partial
from http.client import BadStatusLine, HTTPConnection
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
from fixtures.backup import config, enrolled, no_credentials
from fixtures.galleries import MODEL
from fixtures.optional import needed
from fixtures.page import Page, serving
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from edgeface.config.schema import Config, MqttSettings, SyncSettings
from edgeface.errors import EdgefaceError, GalleryError, ModelError
from edgeface.gallery import copies
from edgeface.gallery.backup import Backups
from edgeface.gallery.encryption import Key, find_key
from edgeface.gallery.shared import SharedPerson, SharedTemplate
from edgeface.gallery.store import Gallery
from edgeface.gallery.versions import Revision
from edgeface.mqtt import client as mqtt_client
from edgeface.mqtt import subscriber
from edgeface.mqtt.homeassistant import Announcement
from edgeface.sync.messages import PersonSealer, read_key
from edgeface.vision.model_card import SHIPPED, load_card
from edgeface.web.sessions import Sessions
from edgeface.web.token import Token
from edgeface.wire.description import describe

__all__ = ["no_credentials"]
DEEP = st.sampled_from([b'{"x": ' + b"[" * 10_000, b"[" * 100_000, b'{"x":' * 10_000, b'"\\ud800"', b"9" * 5000, b"1e999"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def mangled(whole: bytes | dict[str, Any]) -> SearchStrategy[bytes]:
    """Bytes, and JSON, and what is nearly ``whole``: with other fields, cut, or with some bytes changed."""
    whole = whole if isinstance(whole, bytes) else json.dumps(whole).encode()
    changed = st.tuples(st.integers(0, len(whole)), st.binary(max_size=6), st.integers(0, 6)).map(
        lambda edit: whole[: edit[0]] + edit[1] + whole[edit[0] + edit[2] :]
    )
    fields: SearchStrategy[bytes] = st.nothing()
    with suppress(ValueError):
        document = json.loads(whole)
        fields = st.dictionaries(st.sampled_from(sorted(document)) | st.text(max_size=5), JSON, max_size=3).map(
            lambda given: json.dumps(document | given).encode()
        )
    return st.binary(max_size=80) | DEEP | JSON.map(lambda value: json.dumps(value).encode()) | changed | fields


def one_line(error: ValueError | EdgefaceError) -> None:
    assert len(str(error).splitlines()) <= 1, str(error)


SEALER = PersonSealer(bytes(32), MODEL, "edgeface/gallery/home")
PERSON = "p_0123456789abcdef"
NAME = SEALER.name(PERSON)
SEALED = SEALER.seal(
    NAME, Revision(3, "door", b""), PERSON, SharedPerson("Anna", 1.0, (SharedTemplate(bytes(512), 0.5, ""),), ()), 1e9
)


@given(payload=mangled(SEALED), name=st.just(NAME) | st.text(max_size=40))
def test_a_message_of_the_shared_gallery(payload: bytes, name: str) -> None:
    try:
        revision, person_id, copy = SEALER.open(name, payload)
    except ValueError as error:
        one_line(error)
    else:
        assert (name, revision.device, revision.counter, person_id, needed(copy).name) == (NAME, "door", 3, PERSON, "Anna")


@given(payload=mangled({"components": {"x": {"platform": "sensor", "name": "x"}}}))
def test_an_announcement_that_a_broker_holds(payload: bytes) -> None:
    announcement = Announcement(Config())
    announcement.recall(payload)
    announcement.GATHER = 0.0
    if told := announcement.due({}):
        json.loads(told)


@given(
    payload=mangled({"event_type": "left", "ts": "2024-01-01T00:00:00+00:00", "device": "d", "camera": "c", "name": "A\x1b[2J"})
)
def test_an_event_that_is_shown(payload: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subscriber, "Dialogue", lambda *_, **__: Heard(payload))
        for event in subscriber.events(Config(mqtt=MqttSettings(host="broker"))):
            assert describe(event).isprintable()


class Heard:
    """A broker's dialogue of one message."""

    def __init__(self, payload: bytes) -> None:
        self._payload = payload

    def __enter__(self) -> "Heard":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def subscribe(self, topic: object) -> None:
        pass

    def messages(self) -> list[Any]:
        return [SimpleNamespace(payload=self._payload)]


@given(topic=st.text(max_size=200), size=st.integers(0, 2**28))
def test_a_topic_that_is_told(topic: str, size: int) -> None:
    assert len(mqtt_client.oversized(topic, size).splitlines()) == 1


def written(folder: str | Path, name: str, data: bytes) -> Path:
    path = Path(folder) / name
    path.write_bytes(data)
    path.chmod(0o600)
    return path


@given(
    data=st.binary(max_size=80)
    | st.binary(min_size=32, max_size=32)
    | st.text("0123456789abcdefG \n", max_size=70).map(str.encode)
)
def test_keys_token_password_and_sessions(data: bytes) -> None:
    """A key as a file or as a credential of systemd, which is read alike."""
    with tempfile.TemporaryDirectory() as folder:
        path = written(folder, "secret", data)
        for read in (
            lambda: find_key(path, create=False),
            lambda: read_key(Config(sync=SyncSettings(key_file=str(path)))),
            lambda: mqtt_client.read_password(MqttSettings(username="door", password_file=str(path))),
            lambda: Token(path).text(),
        ):
            try:
                assert read() is not None
            except EdgefaceError as error:
                one_line(error)


@given(data=mangled({"proof": 1e9}))
def test_sessions_that_were_kept(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("sessions")
    sessions = Sessions(Token(folder / "token"), written(folder, "sessions.json", data))
    sessions.open(60.0)


@settings(max_examples=60)
@given(data=mangled((SHIPPED / "model.json").read_bytes()))
def test_a_model_card(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        written(folder, "model.json", data)
        try:
            load_card(Path(folder))
        except ModelError as error:
            one_line(error)


@pytest.fixture(scope="module")
def backup(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Key]:
    folder = tmp_path_factory.mktemp("backup")
    with closing(Gallery(folder / "gallery.db", MODEL)) as gallery:
        enrolled(gallery, "Anna", 1, 2)
    backups = Backups(config(folder))
    return needed(backups.make()).new.copy.path.read_bytes(), backups.key()


@settings(max_examples=100)
@given(at=st.integers(0, 10**6), bytes_=st.binary(min_size=1, max_size=40), cut=st.integers(0, 10**6) | st.none())
def test_a_backup(backup: tuple[Any, Key], at: int, bytes_: bytes, cut: int | None) -> None:
    whole, key = backup
    at %= len(whole)
    data = (whole[:at] + bytes_ + whole[at + len(bytes_) :])[: cut % len(whole) if cut is not None else None]
    with tempfile.TemporaryDirectory() as folder:
        path = written(folder, "gallery-copy.db", data)
        try:
            found = copies.check(path, key)
        except GalleryError as error:
            one_line(error)
        else:
            assert (found.people, found.templates) == (1, 2)


HEADERS = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=30)
PATHS = st.sampled_from(
    ["", "/people", "/people/photo", "/visits", "/health", "/stream", "/live", "/enroll", "/static", "/unknown"]
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with serving(tmp_path_factory.mktemp("page")) as page:
        yield page


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from(["GET", "POST", "HEAD", "PUT", "OPTIONS", "X"]),
    path=st.tuples(PATHS, st.text(max_size=12).map(quote), st.text(max_size=12).map(lambda text: "?" + quote(text, safe="=&"))),
    body=st.none() | st.binary(max_size=60) | st.text("name=&%0id;+", max_size=40).map(str.encode),
    header=st.tuples(st.sampled_from(["Cookie", "Origin", "Range", "Accept", "Content-Type", "Sec-Fetch-Site", "X"]), HEADERS),
    signed=st.booleans(),
)
def test_a_request_of_the_page(
    page: Page,
    caplog: pytest.LogCaptureFixture,
    method: str,
    path: tuple[Any, Any, Any],
    body: bytes | None,
    header: tuple[Any, Any],
    signed: bool,
) -> None:
    """With the session or without it; nothing fails inside."""
    caplog.clear()
    start, end, query = path
    if start in ("/stream", "/live"):  # they have no end
        method = "POST"
    root, cookie = page.session
    sent = {"Host": f"127.0.0.1:{page.port}", "Origin": f"http://127.0.0.1:{page.port}", "Sec-Fetch-Site": "same-origin"}
    sent |= {"Cookie": cookie} if signed else {}
    connection = HTTPConnection("127.0.0.1", page.port, timeout=30)
    try:
        connection.request(
            method, f"{root if signed else ''}{start}{end and '/' + end}{query}", body, sent | {header[0]: header[1]}
        )
        assert connection.getresponse().status < 500
    except BadStatusLine:
        pass
    finally:
        connection.close()
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("body", [b"f" * 100, b"zz\r\n", b"1\r\nxyz"])
@pytest.mark.parametrize("path", ["/", "/people", "/people/photo?name=Eve"])
def test_a_body_that_is_no_http(page: Page, caplog: pytest.LogCaptureFixture, path: str, body: bytes) -> None:
    """It comes together with its head, so that an answer is under way when it is found to be none."""
    caplog.clear()
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\nTransfer-Encoding: chunked\r\n\r\n"
    for _ in range(5):
        with page.raw(head.encode() + body) as client:
            answer = b"".join(iter(partial(client.recv, 4096), b""))
            assert answer.startswith(b"HTTP/1.1 4")
            assert answer.count(b"HTTP/1.1") == 1
    assert "Exception" not in caplog.text
