"""A real mosquitto for the tests, and a subscriber that remembers what it received."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from threading import Event as Flag
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
MOSQUITTO, PASSWD, OPENSSL = (shutil.which(name, path=PATH) for name in ("mosquitto", "mosquitto_passwd", "openssl"))
USER, PASSWORD = "door", "open sesame"

needs_broker = pytest.mark.skipif(not (MOSQUITTO and PASSWD), reason="mosquitto is not installed")
needs_openssl = pytest.mark.skipif(not OPENSSL, reason="openssl is not installed")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(true, seconds=15.0):
    """Whether the condition comes true before patience ends."""
    end = time.monotonic() + seconds
    while not (found := true()) and time.monotonic() < end:
        time.sleep(0.02)
    return found


class Broker:
    """One mosquitto on a port of its own that wants a password; ``tls`` is a folder that ``authority`` filled.

    With ``certificates`` it wants a client's certificate in place of a password, whose common name is the user.
    """

    def __init__(
        self,
        folder: Path,
        *,
        tls: Path | None = None,
        acl: str = "",
        certificates: bool = False,
        persistence: bool = True,
        quiet: bool = False,
        more: str = "",
    ) -> None:
        self._quiet, self._more = quiet, more
        self.port, self.tls, self.certificates, self._persistence = free_port(), tls, certificates, persistence
        self.folder, self._acl, self._process = folder, acl, None
        self._listeners: list[Listener] = []
        folder.mkdir(parents=True, exist_ok=True)
        self.password_file = folder / "password"
        self.password_file.write_text(f"{PASSWORD}\n")
        self.password_file.chmod(0o600)

    def start(self) -> "Broker":
        users, settings = self.folder / "users", self.folder / "mosquitto.conf"
        if not settings.exists():
            subprocess.run([PASSWD, "-b", "-c", users, USER, PASSWORD], check=True, capture_output=True, timeout=20)
            lines = [
                f"listener {self.port} 127.0.0.1",
                "allow_anonymous false",
                *([] if self.certificates else [f"password_file {users}"]),
            ]
            if (
                self._persistence
            ):  # subscriptions outlive a restart: a listener misses nothing, however fast a publisher is back
                lines += [
                    "persistence true",
                    f"persistence_location {self.folder}/",
                    "autosave_on_changes true",
                    "autosave_interval 1",
                ]
            if self._more:
                lines.append(self._more)
            if os.geteuid() == 0:
                lines.append("user root")
            if self.tls:
                lines += [f"certfile {self.tls}/server.pem", f"keyfile {self.tls}/server.key"]
            if self.certificates:
                lines += [f"cafile {self.tls}/ca.pem", "require_certificate true", "use_identity_as_username true"]
            if self._acl:
                (self.folder / "acl").write_text(self._acl)
                lines.append(f"acl_file {self.folder}/acl")
            settings.write_text("\n".join(lines) + "\n")
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [MOSQUITTO, *([] if self._quiet else ["-v"]), "-c", settings], stdout=log, stderr=log
            )
        assert eventually(self._up), self.log()
        return self

    def _up(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self._process:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(number)
            self._process.wait(10)
            self._process = None

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    @property
    def pid(self) -> int:
        return self._process.pid

    def pause(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def listen(self, topic: str = "edgeface/#") -> "Listener":
        listener = Listener(self, topic, f"listener-{len(self._listeners)}")
        self._listeners.append(listener)
        return listener

    def retained(self, topic: str) -> Any:
        """What a newcomer is told on a topic, or nothing."""
        newcomer = Listener(self, topic, "")
        try:
            newcomer.wait(lambda message: message.retain, seconds=1.0, needed=False)
            return next((decoded(message.payload) for message in newcomer.messages if message.retain), None)
        finally:
            newcomer.close()

    def settings(self, **more: Any) -> dict[str, Any]:
        """The section [mqtt] of a configuration for this broker."""
        return {"host": "127.0.0.1", "port": self.port, "username": USER, "password_file": str(self.password_file)} | more

    def close(self) -> None:
        for listener in self._listeners:
            listener.close()
        self.stop()


class Listener:
    """A subscriber; ``messages`` are those received so far. With a client id its subscription survives restarts."""

    def __init__(self, broker: Broker, topic: str, client_id: str) -> None:
        self.messages: list[paho.MQTTMessage] = []
        self._ready = Flag()
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id, clean_session=not client_id, protocol=MQTTProtocolVersion.MQTTv311
        )
        self._client.username_pw_set(USER, PASSWORD)
        self._client.reconnect_delay_set(0.1, 0.2)  # type: ignore[arg-type]
        if broker.tls and broker.certificates:
            certificate(broker.tls, USER)
            self._client.tls_set(str(broker.tls / "ca.pem"), str(broker.tls / f"{USER}.pem"), str(broker.tls / f"{USER}.key"))
        elif broker.tls:
            self._client.tls_set(str(broker.tls / "ca.pem"))
        self._client.on_connect = lambda client, _data, flags, *_: flags.session_present or client.subscribe(topic, 1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = lambda _client, _data, message: self.messages.append(message)
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()
        assert self._ready.wait(10), broker.log()

    def say(self, topic: str, payload: Any, *, retain: bool = False) -> None:
        """Publish; what is no text and no bytes becomes JSON."""
        data = payload if isinstance(payload, str | bytes) else json.dumps(payload)
        self._client.publish(topic, data, 1, retain).wait_for_publish(10)

    def on(self, topic: str) -> list[Any]:
        """The payloads received on topics that end so."""
        return [decoded(message.payload) for message in tuple(self.messages) if message.topic.endswith(topic)]

    def wait(self, wanted, seconds=15.0, *, needed=True) -> None:
        """Until a message is as wanted."""
        found = eventually(lambda: any(wanted(message) for message in tuple(self.messages)), seconds)
        assert found or not needed, [(message.topic, message.payload) for message in self.messages]

    def wait_for(self, topic: str, count: int = 1) -> list[Any]:
        """Until ``count`` messages came on topics that end so."""
        assert eventually(lambda: len(self.on(topic)) >= count), [(m.topic, m.payload) for m in self.messages]
        return self.on(topic)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def decoded(payload: bytes) -> Any:
    return json.loads(payload) if payload.startswith(b"{") else payload.decode()


def _openssl(folder: Path, *words: str) -> None:
    subprocess.run([OPENSSL, *words], cwd=folder, check=True, capture_output=True, timeout=60)


KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30")


def authority(folder: Path) -> Path:
    """A folder with a certificate authority (ca.pem) and a certificate for 127.0.0.1 that it signed."""
    folder.mkdir()
    _openssl(folder, "req", "-x509", *KEY, "-keyout", "ca.key", "-out", "ca.pem", "-subj", f"/CN=CA of {folder.name}")
    certificate(folder, "127.0.0.1", "server", "-addext", "subjectAltName=IP:127.0.0.1")
    return folder


def certificate(folder: Path, who: str, file: str = "", *more: str) -> dict[str, str]:
    """Settings of [mqtt] with a certificate for ``who`` that the authority in this folder has signed."""
    file = file or who
    if not (folder / f"{file}.pem").exists():
        _openssl(
            *(folder, "req", "-x509", *KEY, "-keyout", f"{file}.key", "-out", f"{file}.pem", "-subj", f"/CN={who}"),
            *("-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE", *more),
        )
    files = {"ca_file": "ca.pem", "cert_file": f"{file}.pem", "key_file": f"{file}.key"}
    return {"tls": True} | {setting: str(folder / name) for setting, name in files.items()}


@pytest.fixture
def broker(tmp_path):
    running = Broker(tmp_path / "broker").start()
    yield running
    running.close()
