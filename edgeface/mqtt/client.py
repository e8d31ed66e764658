"""Makes an MQTT client from the settings, and says errors in plain words."""

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion

from edgeface.config import paths, schema
from edgeface.config.tls import client_context
from edgeface.errors import ConfigError
from edgeface.platform.files import read_small
from edgeface.platform.secret_files import SecretFile
from edgeface.types import MAX_REQUEST_BYTES

MAX_PACKET = 2 * MAX_REQUEST_BYTES
"""Bytes of the largest message that is read."""
MAX_PASSWORD_BYTES = 65_535
"""The longest password that MQTT can carry."""
MAX_TOPIC_SHOWN = 100


class Client(paho.Client):
    """A client that disconnects at a message over ``MAX_PACKET`` bytes instead of reading it, and reports its topic.

    paho reads a whole message before it hands it over, and only by MQTT 5 can a client tell the broker its limit.
    """

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self.on_oversized: Callable[[str, int], None] = lambda _topic, _size: None
        self.on_pong: Callable[[], None] = lambda: None

    def _sock_recv(self, bufsize: int) -> bytes:
        packet = self._in_packet
        if not packet["have_remaining"] or packet["remaining_length"] <= MAX_PACKET:
            return super()._sock_recv(bufsize)
        head = packet["packet"]
        topic, end = "", 2 + int.from_bytes(head[:2], "big")
        if packet["command"] & 0xF0 == paho.PUBLISH:
            if len(head) < 2 or len(head) < end:
                return super()._sock_recv(2 if len(head) < 2 else end - len(head))
            topic = head[2:end].decode(errors="replace")
        self.on_oversized(topic, packet["remaining_length"])
        raise ConnectionAbortedError(f"a message of {packet['remaining_length']} bytes")

    def _handle_pingresp(self) -> MQTTErrorCode:
        self.on_pong()
        return super()._handle_pingresp()


def oversized(topic: str, size: int) -> str:
    """Say that a message is too large to be read, and how to remove it from the broker."""
    shown = topic if topic.isprintable() and len(topic) <= MAX_TOPIC_SHOWN else f"{topic[:MAX_TOPIC_SHOWN]!a}..."
    return (
        f"a message of {size / 2**20:.0f} MB on {shown} is over the limit of {MAX_PACKET // 2**20} MB; "
        f"if the broker keeps it, an empty one removes it: mosquitto_pub -r -n -t {shown}"
    )


def new_client(settings: schema.MqttSettings, client_id: str, *, reconnect: bool = True) -> Client:
    """Make a client with a clean session; raise ``ConfigError`` if the password or a certificate's file cannot be read."""
    version = MQTTProtocolVersion.MQTTv5 if settings.protocol == "5" else MQTTProtocolVersion.MQTTv311
    client = Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=version, reconnect_on_failure=reconnect)
    client.connect_timeout = 5.0
    if settings.username:
        client.username_pw_set(settings.username, read_password(settings))
    if settings.tls:
        client.tls_set_context(_tls(settings))
    return client


def _tls(settings: schema.MqttSettings) -> ssl.SSLContext:
    context = client_context(settings.ca_file, "mqtt.ca_file")
    if settings.cert_file:
        files = own_files(settings)
        for name, path in files.items():
            try:
                read_small(path)  # OpenSSL does not say which of the two it could not read
            except OSError as error:
                raise ConfigError(f"{name} {path}: {error.strerror or error}") from None
        certificate, key = files.values()
        try:
            context.load_cert_chain(certificate, key, password="")  # else OpenSSL would ask for one on the terminal
        except (OSError, ssl.SSLError) as error:
            reason = getattr(error, "reason", None) or "not in PEM format, or the key has a passphrase"
            raise ConfigError(f"mqtt.cert_file {certificate}, mqtt.key_file {key}: {reason}") from None
    return context


def read_password(settings: schema.MqttSettings) -> str | None:
    """Read the first line of ``password_file``, if it is set; raise ``ConfigError`` if the file cannot be read."""
    if not settings.password_file:
        return None
    file = SecretFile(password_path(settings), "the password", ConfigError, "mqtt.password_file", shared=True)
    password = file.first_line()
    if len(password.encode()) > MAX_PASSWORD_BYTES:
        raise file.refusal(f"longer than the {MAX_PASSWORD_BYTES} bytes of MQTT")
    return password


def password_path(settings: schema.MqttSettings) -> Path:
    """Return the path of the password; a relative name is one of systemd's credentials, if there are any."""
    return paths.secret_path(settings.password_file, "mqtt.password_file")


def own_files(settings: schema.MqttSettings) -> dict[str, Path]:
    """Return the paths of this device's certificate and private key by setting, if they are set; see ``password_path``."""
    files = {"mqtt.cert_file": settings.cert_file, "mqtt.key_file": settings.key_file}
    return {name: paths.secret_path(path, name) for name, path in files.items() if path}


def port(settings: schema.MqttSettings) -> int:
    return settings.port or (8883 if settings.tls else 1883)


def address(settings: schema.MqttSettings) -> str:
    return f"{settings.host}:{port(settings)}"


def cut_short(settings: schema.MqttSettings, reason: object) -> str:
    """Say that the broker closed a connection without an answer, as brokers do when they reject a certificate."""
    certificate = "does it accept this device's certificate (mqtt.cert_file)?"
    cure = certificate if settings.tls else "does it want TLS (mqtt.tls)?"
    return f"the broker at {address(settings)} closed the connection without an answer ({reason}): {cure}"
