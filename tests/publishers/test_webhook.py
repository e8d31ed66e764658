import base64
import hashlib
import hmac
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from email.header import decode_header
from functools import partial
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from typing import Any

import msgspec
import numpy as np
import pytest
from fixtures.broker import authority, eventually, free_port, needs_openssl
from fixtures.commandline import Cli
from fixtures.contract import problems
from fixtures.publishing import ANNA, BERT, HEALTH, MODEL, event, finishes
from fixtures.receiver import Receiver

from edgeface import publishers
from edgeface.config.schema import EVENT_TYPES, Config
from edgeface.errors import ConfigError
from edgeface.health import health_payload
from edgeface.publishers.webhook import WebhookPublisher
from edgeface.types import EventType
from edgeface.vision.images import decode_image

FRAME = np.full((480, 640, 3), 127, np.uint8)
EVERY = [str(kind) for kind in EventType]


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WebhookPublisher, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(WebhookPublisher, "LONGEST_PAUSE", 0.2)
    monkeypatch.setattr(WebhookPublisher, "GOODBYE", 0.3)


@pytest.fixture
def receive() -> Iterator[Callable[..., Receiver]]:
    """Starts receivers, and stops them."""
    built: list[Receiver] = []

    def start(*answers: int, **more: Any) -> Receiver:
        built.append(Receiver(*answers, **more))
        return built[-1]

    yield start
    for receiver in built:
        receiver.close()


@pytest.fixture
def hook() -> Iterator[Callable[..., WebhookPublisher]]:
    """Builds open webhooks, and closes them."""
    built: list[WebhookPublisher] = []

    def build(url: str, **more: Any) -> WebhookPublisher:
        built.append(made(url, **more))
        built[-1].open()
        return built[-1]

    yield build
    for webhook in built:
        assert finishes(webhook.close)


def made(url: str, language: str = "en", **more: Any) -> WebhookPublisher:
    given = {
        "device": {"id": "door", "language": language},
        "camera": {"name": "front"},
        "webhook": {"url": url, "events": EVERY} | more,
    }
    webhook = publishers.create("webhook", msgspec.convert(given, Config), MODEL)
    assert isinstance(webhook, WebhookPublisher)
    return webhook


def secret(folder: Path, text: str = "open sesame") -> str:
    file = folder / "secret"
    file.write_text(f"{text}\n")
    file.chmod(0o600)
    return str(file)


def dropped(webhook: WebhookPublisher) -> bool:
    return webhook.link.dropped == 1


Hook = Callable[..., WebhookPublisher]
Receive = Callable[..., Receiver]


def test_an_event_is_posted_as_on_mqtt_and_signed(hook: Hook, receive: Receive, tmp_path: Path) -> None:
    receiver = receive()
    news = event()
    webhook = hook(f"{receiver.url}/in?key=1", secret_file=secret(tmp_path))
    webhook.publish(news, FRAME)
    (post,) = receiver.wait_for(1)
    assert (post.path, post.headers["content-type"]) == ("/in?key=1", "application/json")
    assert problems("event", post.body) == []
    told = json.loads(post.body)
    assert (told["event_id"], told["name"], "image" in told) == (news.event_id, ANNA.name, False)
    signature = hmac.new(b"open sesame", post.body, hashlib.sha256).hexdigest()
    assert post.headers["x-edgeface-signature"] == f"sha256={signature}"
    assert eventually(lambda: (webhook.link.state, webhook.link.queue, webhook.link.dropped) == ("up", 0, 0))


def test_a_picture_goes_along_where_it_is_wanted(hook: Hook, receive: Receive) -> None:
    receiver = receive()
    hook(receiver.url, images=True).publish(event(EventType.UNKNOWN), FRAME)
    told = json.loads(receiver.wait_for(1)[0].body)
    assert decode_image(base64.b64decode(told["image"]), "image").shape[2] == 3
    assert "x-edgeface-signature" not in receiver.posts[0].headers


def test_only_the_events_that_are_wanted_are_posted_in_their_order(hook: Hook, receive: Receive) -> None:
    receiver = receive()
    webhook = hook(receiver.url, events=["recognized", "left"])
    for kind in EventType:
        webhook.publish(event(kind))
    assert [json.loads(post.body)["event_type"] for post in receiver.wait_for(2)] == ["recognized", "left"]


def test_a_receiver_that_fails_is_tried_again_and_told_of(hook: Hook, receive: Receive) -> None:
    told: list[str | None] = []
    hooks: list[WebhookPublisher] = []
    receiver = receive(500, 429, before=lambda: told.append(hooks[0].link.reason))
    webhook = hook(receiver.url)
    hooks.append(webhook)
    webhook.publish(event())
    posts = receiver.wait_for(3)
    assert len({post.body for post in posts}) == 1
    assert eventually(lambda: webhook.link.state == "up")
    assert told[0] is None
    assert told[1:] == [f"webhook: {receiver.url}: the receiver answers {status}" for status in (500, 429)]
    assert (webhook.link.reason, webhook.link.dropped) == (None, 0)


@pytest.mark.parametrize("status", [301, 307, 400, 401, 404, 410])
def test_what_a_receiver_refuses_is_dropped_and_nothing_follows_a_redirect(hook: Hook, receive: Receive, status: int) -> None:
    receiver = receive(status)
    webhook = hook(receiver.url)
    webhook.publish(event())
    assert eventually(lambda: webhook.link.dropped == 1)
    assert f"refuses events with {status}" in str(webhook.link.reason)
    webhook.publish(event(EventType.UNKNOWN))
    assert [post.path for post in receiver.wait_for(2)] == ["/", "/"]
    assert eventually(lambda: webhook.link.reason is None)


def test_an_event_that_is_too_old_is_dropped_and_never_posted_late(hook: Hook, receive: Receive) -> None:
    receiver = receive()
    webhook = hook(receiver.url)
    webhook.publish(event(age=11.0))
    webhook.publish(event(EventType.UNKNOWN))
    assert json.loads(receiver.wait_for(1)[0].body)["event_type"] == "unknown"
    assert eventually(lambda: (webhook.link.queue, webhook.link.dropped) == (0, 1))


def test_what_a_receiver_that_is_away_misses_is_dropped_in_time(hook: Hook) -> None:
    webhook = hook(f"http://127.0.0.1:{free_port()}/", max_event_age=0.5)
    webhook.publish(event())
    assert eventually(lambda: (webhook.link.queue, webhook.link.dropped, webhook.link.state) == (0, 1, "down"))
    assert "refused" in str(webhook.link.reason).lower()


def test_a_receiver_that_drips_its_answer_holds_nobody_up(hook: Hook) -> None:
    ended = Flag()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            while not ended.is_set():
                with suppress(OSError):  # the webhook closes the connection, or the test the listener
                    client, _ = listener.accept()
                    with client:
                        while not ended.wait(0.05):
                            client.sendall(b"H")

        Thread(target=drip, daemon=True).start()
        webhook = hook(f"http://127.0.0.1:{listener.getsockname()[1]}/", timeout=0.3, max_event_age=1.0)
        webhook.publish(event())
        assert eventually(lambda: webhook.link.dropped == 1)
        ended.set()


def test_no_more_events_wait_than_there_is_room_for_and_publishing_never_waits(receive: Receive) -> None:
    gate = Flag()
    receiver = receive(before=lambda: gate.wait(30))
    webhook = made(receiver.url, timeout=30, max_event_age=60)
    webhook.open()
    for number in range(WebhookPublisher.QUEUE + 20):
        webhook.publish(event(EventType.CAMERA_LOST, reason=f"number {number}"))
    assert (webhook.link.queue, webhook.link.dropped) == (WebhookPublisher.QUEUE, 20)
    gate.set()
    assert eventually(lambda: webhook.link.queue == 0)
    assert json.loads(receiver.posts[-1].body)["reason"] == f"number {WebhookPublisher.QUEUE + 19}"
    assert webhook.link.dropped == 20
    webhook.close()


def test_the_waiting_events_of_who_is_forgotten_are_dropped() -> None:
    webhook = made(f"http://127.0.0.1:{free_port()}/")
    for news in (event(), event(person_id=BERT.id, name=BERT.name), event(EventType.UNKNOWN)):
        webhook.publish(news)
    webhook.people([BERT])
    assert [one.event.person_id for one in webhook._waiting] == [BERT.id, None]
    assert webhook.link.dropped == 1


def test_an_heir_takes_over_what_waits(hook: Hook, receive: Receive) -> None:
    before = hook(f"http://127.0.0.1:{free_port()}/", max_event_age=60)
    before.publish(event())
    receiver = receive()
    heir = made(receiver.url, max_event_age=60)
    before.close(heir)
    heir.open()
    receiver.wait_for(1)
    assert eventually(lambda: heir.link.queue == 0)
    assert (before.link.queue, heir.link.dropped) == (0, 0)
    heir.close()


# TLS and the secret


@needs_openssl
def test_the_receiver_s_certificate_is_verified(hook: Hook, receive: Receive, tmp_path: Path) -> None:
    ours, other = authority(tmp_path / "ours"), authority(tmp_path / "other")
    receiver = receive(tls=ours)
    for trusted in (str(other / "ca.pem"), ""):
        webhook = hook(receiver.url, ca_file=trusted, max_event_age=1.0)
        webhook.publish(event())
        assert eventually(partial(dropped, webhook))
        assert "CERTIFICATE_VERIFY_FAILED" in str(webhook.link.reason)
    assert receiver.posts == []
    hook(receiver.url, ca_file=str(ours / "ca.pem")).publish(event())
    receiver.wait_for(1)


@pytest.mark.parametrize(("text", "why"), [("", "printable ASCII"), ("a\x07", "printable ASCII"), ("ä", "printable ASCII")])
def test_a_secret_that_is_none_is_told(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        made("https://example.org", secret_file=secret(tmp_path, text))
    with pytest.raises(ConfigError, match="No such file"):
        made("https://example.org", secret_file=str(tmp_path / "none"))


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a/",
        "file:///etc/passwd",
        "https://",
        "https://user:pass@a/",
        "http://a b/",
        "http://a:0/",
        "http://a:99999/",
        "a",
    ],
)
def test_an_address_that_is_none_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(msgspec.ValidationError, match="a token goes into secret_file") as caught:
        made(url)
    assert len(url) < 9 or url not in str(caught.value)


def test_an_event_type_that_is_none_is_refused() -> None:
    assert list(EVENT_TYPES) == EVERY
    with pytest.raises(msgspec.ValidationError, match="there is no 'seen'; there are recognized, unknown, "):
        made("http://a/", events=["seen"])


def test_the_settings_are_shown_without_what_may_be_a_secret_and_checked(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.set(webhook={"url": "https://ntfy.sh/a-secret-topic?auth=x", "click": "https://home.example/?token=y"})
    shown = cli("config", "show").stdout
    assert '"https://ntfy.sh/***"' in shown
    assert '"https://home.example/***"' in shown
    assert "secret-topic" not in shown
    cli("config", "check", cli.file)
    cli.set(webhook={"url": "https://ntfy.sh/a", "secret_file": str(tmp_path / "none")})
    assert "webhook.secret_file" in cli.refusal("config", "check", cli.file, code=2)


# ntfy


def test_a_notification_for_ntfy(hook: Hook, receive: Receive, tmp_path: Path) -> None:
    receiver = receive()
    webhook = hook(
        f"{receiver.url}/door", format="ntfy", secret_file=secret(tmp_path, "tk_1"), click="https://home.example/", images=True
    )
    webhook.publish(event(EventType.UNKNOWN), FRAME)
    webhook.publish(event(EventType.LEFT))
    with_picture, plain = receiver.wait_for(2)
    assert decode_image(with_picture.body, "picture").shape[2] == 3
    headers = with_picture.headers
    assert (headers["title"], headers["message"], headers["priority"]) == ("door", "Somebody unknown is there", "high")
    assert (headers["click"], headers["authorization"]) == ("https://home.example/", "Bearer tk_1")
    assert headers["filename"].endswith(".jpg")
    assert plain.body.decode() == f"{ANNA.name} has left"
    assert plain.headers["priority"] == "default"


def test_a_notification_tells_who_was_there_before_and_whom_a_picture_shows(hook: Hook, receive: Receive) -> None:
    receiver = receive()
    told = {"events": ["unknown", "presentation_attack"]}
    webhook = hook(f"{receiver.url}/door", format="ntfy", **told)
    webhook.publish(event(EventType.UNKNOWN, visits=3))
    webhook.publish(event(EventType.PRESENTATION_ATTACK))
    webhook.publish(event(EventType.PRESENTATION_ATTACK, name=None, person_id=None))
    assert [one.body.decode() for one in receiver.wait_for(3)] == [
        "Somebody unknown is there, visit 3",
        f"A picture shows {ANNA.name} to the camera front",
        "A picture shows a face to the camera front",
    ]


def test_a_notification_in_the_language_of_the_device(hook: Hook, receive: Receive) -> None:
    receiver = receive()
    webhook = hook(receiver.url, format="ntfy", language="de")
    webhook.publish(event(EventType.UNSURE))
    webhook.publish(event(name="Zoë"))
    unsure, recognized = receiver.wait_for(2)
    assert unsure.body.decode() == "Jemand war da, aber es ist nicht sicher, wer"
    assert recognized.body.decode() == "Zoë ist da"


@pytest.mark.parametrize("name", ["Änna", "王", "a\r\nX-Evil: 1", "=?UTF-8?B?eA==?="])
def test_a_name_is_no_header(hook: Hook, receive: Receive, name: str) -> None:
    receiver = receive()
    hook(receiver.url, format="ntfy", images=True).publish(event(name=name), FRAME)
    headers = receiver.wait_for(1)[0].headers
    ((text, encoding),) = decode_header(headers["message"])
    assert text.decode(encoding or "ascii") == f"{name} is there" if isinstance(text, bytes) else text == f"{name} is there"
    assert "x-evil" not in headers


# In the daemon


def test_health_counts_what_was_dropped() -> None:
    webhook = made(f"http://127.0.0.1:{free_port()}/")
    for _ in range(WebhookPublisher.QUEUE + 2):
        webhook.publish(event())
    told = json.loads(msgspec.json.encode(health_payload(replace(HEALTH, webhook=webhook.link), time.time())))
    assert told["webhook"] == {"waiting": WebhookPublisher.QUEUE, "dropped": 2, "trouble": None}
    assert problems("health", json.dumps(told)) == []
    assert "webhook" not in json.loads(msgspec.json.encode(health_payload(HEALTH, time.time())))
