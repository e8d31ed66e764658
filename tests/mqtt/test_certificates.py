"""A real broker that knows devices by their certificates, and lets each write its own topics only."""

import logging
import subprocess
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fixtures.broker import OPENSSL, USER, Broker, authority, certificate, eventually, needs_broker, needs_openssl
from fixtures.commandline import Cli
from fixtures.daemon import running, settings

from edgeface.config.load import load
from edgeface.config.schema import Config, MqttSettings
from edgeface.errors import BrokerError, ConfigError
from edgeface.mqtt import client, subscriber
from edgeface.mqtt.retained import clear

pytestmark = [needs_broker, needs_openssl]
# An operator reads everything; a device reads and writes below its own name.
ACL = f"pattern readwrite edgeface/%u/#\nuser {USER}\ntopic readwrite #\n"


@pytest.fixture
def tls(tmp_path: Path) -> Path:
    return authority(tmp_path / "tls")


@pytest.fixture
def fleet(tmp_path: Path, tls: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path / "fleet", tls=tls, acl=ACL, certificates=True).start()
    yield broker
    broker.close()


def place(broker: Broker, **files: Any) -> dict[str, Any]:
    return {"host": "127.0.0.1", "port": broker.port} | files


@pytest.fixture
def shown(tmp_path: Path, fleet: Broker, tls: Path) -> Callable[..., Config]:
    """The settings of a device "gate" that shows its own certificate, or with other files in the section [mqtt]."""

    def given(device: str = "gate", **files: Any) -> Config:
        mqtt = MqttSettings(**place(fleet, **(files or certificate(tls, "gate"))))
        return msgspec.structs.replace(settings(tmp_path, fleet, device={"id": device}), mqtt=mqtt)

    return given


def test_a_device_publishes_listens_and_clears_by_its_certificate(fleet: Broker, shown: Callable[..., Config]) -> None:
    config, ear = shown(), fleet.listen("edgeface/gate/#")
    with running(config):
        ear.wait_for("gate/availability")
        ear.wait_for("health")
    heard = subscriber.events(config, tell=lambda _: ear.say("edgeface/gate/event", camera_lost()))
    assert next(heard)["reason"] == "unplugged"
    assert isinstance(heard, Generator)
    heard.close()
    assert "edgeface/gate/availability" in clear(config)


def camera_lost() -> dict[str, str]:
    head = {"event_type": "camera_lost", "ts": "2026-11-24T10:15:07.238Z", "device": "gate", "camera": "front"}
    return head | {"reason": "unplugged"}


def test_another_devices_topics_are_refused_and_that_is_told(
    fleet: Broker, shown: Callable[..., Config], caplog: pytest.LogCaptureFixture
) -> None:
    ear = fleet.listen("edgeface/#")
    with caplog.at_level(logging.ERROR), running(shown(device="door")):
        assert eventually(lambda: "refuses what is published under edgeface/door/: Not authorized" in caplog.text), fleet.log()
    assert ear.messages == []
    with pytest.raises(
        BrokerError, match=r"refuses what is published on edgeface/door/doctor/.*Not authorized.*access control"
    ):
        clear(shown(device="door"))


@pytest.mark.parametrize("who", ["nobody", "somebody of another authority"])
def test_a_broker_that_rejects_the_certificate_is_told_by_all_that_connect(
    tmp_path: Path, fleet: Broker, tls: Path, shown: Callable[..., Config], caplog: pytest.LogCaptureFixture, who: str
) -> None:
    files: dict[str, Any] = {"tls": True, "ca_file": str(tls / "ca.pem")}
    if who != "nobody":
        files = certificate(authority(tmp_path / "foreign"), "gate") | files
    config = shown(**files)
    for use in (clear, lambda config: next(subscriber.events(config))):
        with pytest.raises(BrokerError, match=r"mqtt\.cert_file|alert|certificate"):
            use(config)
    with caplog.at_level(logging.ERROR), running(config):
        assert eventually(lambda: "cert" in caplog.text), fleet.log()


def test_the_doctor_names_the_certificate_and_whoever_may_read_its_key(tmp_path: Path, fleet: Broker, tls: Path) -> None:
    cli, files = Cli(tmp_path), certificate(tls, "gate")

    def found(check: str) -> dict[str, Any]:
        found: dict[str, Any] = next(one for one in cli.json("doctor", code=1)["checks"] if one["name"] == check)
        return found

    cli.set(device={"id": "gate"}, mqtt=place(fleet, **files))
    assert "own certificate CN=gate, until 20" in found("broker")["found"]
    (tls / "gate.key").chmod(0o644)
    assert f"{tls}/gate.key is 0644" in found("permissions")["found"]
    (tls / "gate.key").write_text("no key")
    assert "mqtt.key_file" in found("broker")["found"]


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ('tls = true\ncert_file = "a"', "both or neither"),
        ('tls = true\nkey_file = "a"', "both or neither"),
        ('cert_file = "a"\nkey_file = "b"', "tls = true"),
    ],
)
def test_half_a_certificate_is_refused_by_the_settings(tmp_path: Path, lines: str, told: str) -> None:
    (tmp_path / "edgeface.toml").write_text(f"[mqtt]\n{lines}\n")
    with pytest.raises(ConfigError, match=told) as caught:
        load(tmp_path / "edgeface.toml")
    assert "[mqtt]" in str(caught.value)


@pytest.mark.parametrize("damage", ["absent", "empty", "another's", "locked"])
def test_files_that_will_not_do_are_one_clear_line(tls: Path, damage: str) -> None:
    files = certificate(tls, "gate")
    if damage == "absent":
        files["key_file"] += ".old"
    elif damage == "empty":
        (tls / "gate.pem").write_bytes(b"")
    elif damage == "another's":
        files["key_file"] = certificate(tls, "door")["key_file"]
    else:
        words = ("pkcs8", "-topk8", "-in", "gate.key", "-out", "locked.key", "-passout", "pass:sesame")
        subprocess.run([OPENSSL, *words], cwd=tls, check=True, capture_output=True, timeout=60)
        files["key_file"] = str(tls / "locked.key")
    with pytest.raises(ConfigError, match=r"mqtt\.key_file") as caught:
        client.new_client(MqttSettings("127.0.0.1", **files), "")
    assert len(str(caught.value).splitlines()) == 1


def test_a_certificate_may_be_a_credential_of_systemd(tls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tls))
    files = certificate(tls, "gate") | {"cert_file": "gate.pem", "key_file": "gate.key"}
    assert client.new_client(MqttSettings("127.0.0.1", **files), "")
