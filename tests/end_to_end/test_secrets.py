"""What stands in a camera's address is shown nowhere: of any camera's form of address, and by every door of a real daemon."""

import re
import signal
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPConnection
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from fixtures.broker import PASSWORD, Broker, broker, eventually, free_port, needs_broker
from fixtures.commandline import Cli
from fixtures.optional import needed
from fixtures.secrets import FORMS, MISTAKES
from hypothesis import given
from hypothesis import strategies as st

from edgeface.cameras import create
from edgeface.config import schema
from edgeface.config.load import load
from edgeface.config.sources import shown
from edgeface.errors import EdgefaceError
from edgeface.web.token import Token

__all__ = ["broker"]
HOSTS = st.sampled_from(["cam", "cam.lan:554", "192.168.1.20", "192.168.1.20:8554", "[fe80::1]", "[::1]:554"])
# Only a secret has Q, X or Z in it. Real ones have anything in them, and are not always escaped.
SECRETS = st.text("QXZ019@/:?#;&=%_.\\ []", min_size=1, max_size=12).filter(lambda text: re.search("[QXZ]", text))


@given(form=st.sampled_from(FORMS + MISTAKES), host=HOSTS, secret=SECRETS)
def test_nothing_of_a_secret_is_shown_wherever_it_stands(form: str, host: str, secret: str) -> None:
    source = form.format(host=host, secret=secret)
    assert not re.search("[QXZ]", shown(source))
    try:  # a live camera is first opened when frames are asked of it
        create(schema.CameraSettings(source=source)).close()
    except EdgefaceError as error:
        assert not re.search("[QXZ]", str(error))  # noqa: PT017


@given(form=st.sampled_from(FORMS), host=HOSTS, secret=st.text("QXZ019_", min_size=1, max_size=12))
def test_where_a_camera_is_can_still_be_read(form: str, host: str, secret: str) -> None:
    scheme = form.partition(":")[0]
    told = shown(form.format(host=host, secret=secret))
    assert re.fullmatch(rf"{scheme}://(\*\*\*@)?{re.escape(host)}/\*\*\*", told) or form.endswith("@{host}")


@pytest.mark.parametrize("source", ["picamera", "v4l2:/dev/video0", "video:/x/y.mp4", "folder:~/x", "rtsp://cam:554", "webcam"])
def test_a_source_without_a_secret_is_shown_as_it_is(source: str) -> None:
    assert shown(source) == source


def signed_in(port: int, token: str) -> tuple[Any, Any]:
    """The path and the cookie of a new session of the page."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", f"/?token={token}")
    answer = connection.getresponse()
    assert answer.status == 303
    return answer.headers["location"].rstrip("/"), answer.headers["set-cookie"].partition(";")[0]


def everything(cli: Cli, broker_words: Callable[[], str], page: tuple[int, Any, Any], metrics: int) -> dict[str, str]:
    """What each door says, by the door."""
    told = {"broker": broker_words()}
    for words in (
        ("status",),
        ("status", "--json"),
        ("config", "show"),
        ("config", "show", "--json"),
        ("config", "check"),
        ("doctor", "--only", "config,permissions,camera,broker,sync"),
        ("doctor", "--only", "camera", "--json"),
    ):
        result = cli(*words, code=int(words[0] == "doctor" or "status" in words))
        told[" ".join(words)] = result.stdout + result.stderr
    with urlopen(f"http://127.0.0.1:{metrics}/metrics", timeout=30) as answer:
        told["metrics"] = answer.read().decode()
    for path in ("/", "/people", "/visits", "/health", "/health?check"):
        request = Request(f"http://127.0.0.1:{page[0]}{page[1]}{path}", headers={"Cookie": page[2]})
        with suppress(HTTPError), urlopen(request, timeout=180) as answer:  # the last one runs the doctor
            told[path] = answer.read().decode()
    return told


@needs_broker
def test_no_door_of_a_daemon_tells_a_secret(cli: Cli, broker: Broker) -> None:
    """The camera is not there, or answers with an error that repeats its address."""
    ear = broker.listen("#")
    page, metrics = free_port(), free_port()
    sections = {
        "mqtt": broker.settings(),
        "sync": {"enabled": True},
        "web": {"enabled": True, "port": page, "pictures": True, "unknown": True},
        "metrics": {"port": metrics},
        "device": {"id": "door"},
    }
    secrets = {"S3CRET", PASSWORD}
    cli.set(**sections)
    secrets.add(cli("gallery", "key").stdout.strip())
    daemon = None
    for form in (FORMS[0], FORMS[7], FORMS[9], FORMS[16], FORMS[19], FORMS[20]):
        camera = free_port()
        cli.set(camera={"source": form.format(host=f"127.0.0.1:{camera}", secret="S3CRET")}, **sections)
        if daemon:
            daemon.process.send_signal(signal.SIGHUP)
        daemon = daemon or cli.start("run")
        reason = f"127.0.0.1:{camera}/*** cannot be opened"
        assert eventually(lambda: any(reason in (one["camera_reason"] or "") for one in ear.on("/health")), 60)  # noqa: B023
    assert any("cannot be opened" in event["reason"] for event in ear.on("/event"))
    token = Token(load(cli.file).token_path)
    root, cookie = signed_in(page, token.text())
    secrets |= {token.text(), cookie.partition("=")[2]}
    told = everything(
        cli, lambda: repr([(one.topic, one.payload) for one in tuple(ear.messages)]), (page, root, cookie), metrics
    )
    assert "127.0.0.1" in told["/health"] + told["status"]
    cli.set(camera={"source": FORMS[7].format(host="cam", secret="S3CRET"), "speed": 1}, **sections)
    told["wrong settings"] = cli("config", "check", code=2).stderr
    needed(daemon).process.send_signal(signal.SIGHUP)
    needed(daemon).hears("settings not taken")
    needed(daemon).stop()
    told["log"] = "\n".join(needed(daemon).told)
    assert "cannot be opened" in told["log"]
    told["standard output"] = "\n".join(iter(lambda: needed(daemon).out.get() if not needed(daemon).out.empty() else "", ""))
    ours = {"edgeface.toml", "sync.key", "web.token"}
    told |= {
        str(file): file.read_bytes().decode(errors="replace") for file in cli.gallery.parent.iterdir() if file.name not in ours
    }
    leaks = {(door, secret) for door, text in told.items() for secret in secrets if secret in text}
    assert not leaks


@needs_broker
def test_a_users_name_which_may_be_a_token_is_not_shown(cli: Cli, broker: Broker) -> None:
    cli.set(mqtt=broker.settings(username="S3CRET"))
    for words in (("config", "show"), ("config", "show", "--json"), ("doctor", "--only", "broker")):
        result = cli(*words, code=int("doctor" in words))
        assert "S3CRET" not in result.stdout + result.stderr


def test_an_address_in_the_place_of_a_host_is_not_repeated(cli: Cli) -> None:
    cli.set(mqtt={"host": "mqtt://anna:S3CRET@broker"})
    assert "S3CRET" not in cli.refusal("config", "check", code=2)
