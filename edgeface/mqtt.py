"""What everything that speaks MQTT here shares: a client made from the settings, a dialogue, and errors in plain words."""

import secrets
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion

from edgeface import config
from edgeface.errors import BrokerError, ConfigError
from edgeface.files import read_small
from edgeface.types import MAX_REQUEST_BYTES

PATIENCE = 10.0
"""Seconds for which a dialogue waits for an answer."""
MAX_PACKET = 2 * MAX_REQUEST_BYTES
"""Bytes of the largest message that is read."""
MAX_PASSWORD_BYTES = 65_535
"""As many as MQTT can carry."""
MAX_TOPIC_SHOWN = 100


class Client(paho.Client):
    """A client that reads no message over ``MAX_PACKET``, whatever the broker sends: it tells its topic, and hangs up.

    paho takes in a whole message before it hands it over, and only by MQTT 5 can a broker be told to keep large ones.
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
    """What to say of a message that is too large to be read, and what to do about it."""
    shown = topic if topic.isprintable() and len(topic) <= MAX_TOPIC_SHOWN else f"{topic[:MAX_TOPIC_SHOWN]!a}..."
    return (
        f"a message of {size / 2**20:.0f} MB on {shown} is over the limit of {MAX_PACKET // 2**20} MB; "
        f"if the broker keeps it, an empty one removes it: mosquitto_pub -r -n -t {shown}"
    )


def new_client(settings: config.Mqtt, client_id: str, *, reconnect: bool = True) -> Client:
    """A client that is ready to connect, with a clean session; ``reconnect`` lets paho connect again by itself.

    Raises:
        ConfigError: the password or a certificate's file cannot be read.
    """
    version = MQTTProtocolVersion.MQTTv5 if settings.protocol == "5" else MQTTProtocolVersion.MQTTv311
    client = Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=version, reconnect_on_failure=reconnect)
    client.connect_timeout = 5.0
    if settings.username:
        client.username_pw_set(settings.username, read_password(settings))
    if settings.tls:
        client.tls_set_context(_tls(settings))
    return client


def _tls(settings: config.Mqtt) -> ssl.SSLContext:
    """Whom to trust, and what to show of ourselves."""
    try:
        if settings.ca_file:
            read_small(_ca_path(settings))  # OpenSSL would wait for a pipe
        context = ssl.create_default_context(cafile=_ca_path(settings) if settings.ca_file else None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"mqtt.ca_file {settings.ca_file}: {getattr(error, 'strerror', None) or error}") from None
    # From Python 3.13 on, the default refuses authorities made as mosquitto's manual shows, for a missing extension.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if settings.cert_file:
        for name, path in own_files(settings).items():
            try:
                read_small(path)  # OpenSSL does not say which of the two it could not read
            except OSError as error:
                raise ConfigError(f"{name} {path}: {error.strerror or error}") from None
        certificate, key = own_files(settings).values()
        try:
            context.load_cert_chain(certificate, key, password="")  # else it would ask for one on the terminal
        except (OSError, ssl.SSLError) as error:
            reason = getattr(error, "reason", None) or "not in PEM format, or the key has a passphrase"
            raise ConfigError(f"mqtt.cert_file {certificate}, mqtt.key_file {key}: {reason}") from None
    return context


def _ca_path(settings: config.Mqtt) -> Path:
    return config.expand(settings.ca_file, "mqtt.ca_file")


def read_password(settings: config.Mqtt) -> str | None:
    """The first line of ``password_file``, or none.

    Raises:
        ConfigError: the file cannot be read.
    """
    if not settings.password_file:
        return None
    try:
        lines = read_small(password_path(settings))[0].decode().splitlines()
    except UnicodeDecodeError:
        raise ConfigError(f"mqtt.password_file {settings.password_file}: not UTF-8") from None
    except OSError as error:
        raise ConfigError(f"mqtt.password_file {settings.password_file}: {error.strerror or error}") from None
    password = lines[0] if lines else ""
    if len(password.encode()) > MAX_PASSWORD_BYTES:
        raise ConfigError(f"mqtt.password_file {settings.password_file}: longer than the {MAX_PASSWORD_BYTES} bytes of MQTT")
    return password


def password_path(settings: config.Mqtt) -> Path:
    """Where the password is; a relative name is one of systemd's credentials, where there are any."""
    return config.secret_path(settings.password_file, "mqtt.password_file")


def own_files(settings: config.Mqtt) -> dict[str, Path]:
    """Certificate and private key of this device by the setting's name, if there are any; found as the password is."""
    files = {"mqtt.cert_file": settings.cert_file, "mqtt.key_file": settings.key_file}
    return {name: config.secret_path(path, name) for name, path in files.items() if path}


def port(settings: config.Mqtt) -> int:
    """The port as set, or the usual one."""
    return settings.port or (8883 if settings.tls else 1883)


def address(settings: config.Mqtt) -> str:
    """``host:port``, for messages."""
    return f"{settings.host}:{port(settings)}"


def cut_short(settings: config.Mqtt, reason: object) -> str:
    """What to say of a broker that closes a connection without an answer, as it does with a certificate that it rejects."""
    certificate = "does it accept this device's certificate (mqtt.cert_file)?"
    cure = certificate if settings.tls else "does it want TLS (mqtt.tls)?"
    return f"the broker at {address(settings)} closed the connection without an answer ({reason}): {cure}"


class Dialogue:
    """A connection on which one thing is asked after the other, each until it is answered; a context manager.

    It is a client without a name, so as not to throw out a running daemon. With ``reconnect`` it connects again by itself,
    and subscribes again; ``tell`` is given a line for each.

    Raises:
        ConfigError: no broker is set, or the password or a certificate's file cannot be read.
        BrokerError: the broker cannot be reached, refuses, or does not answer.
    """

    def __init__(
        self, settings: config.Config, *, reconnect: bool = False, tell: Callable[[str], None] = lambda _: None
    ) -> None:
        self._settings, self._base = settings.mqtt, settings.base
        self.address = address(self._settings)
        if not self._settings.host:
            raise ConfigError("no broker: set mqtt.host in the configuration")
        self._topics: list[str] = []
        self._connected = self._closing = False
        self._reconnect, self._tell = reconnect, tell
        self._answers: Queue[tuple[int, Any] | BrokerError] = Queue()
        self._inbox: Queue[paho.MQTTMessage | BrokerError] = Queue()
        client = self._client = new_client(self._settings, "", reconnect=reconnect)
        client.on_connect, client.on_disconnect, client.on_message = self._on_connect, self._on_disconnect, self._on_message
        client.on_publish, client.on_subscribe = self._on_publish, self._on_subscribe
        client.on_oversized = lambda topic, size: self._fail(oversized(topic, size))
        try:
            client.connect(self._settings.host, port(self._settings), self._settings.keepalive)
        except (OSError, ValueError) as error:
            raise BrokerError(f"the broker at {self.address} cannot be reached: {error}") from None
        client.loop_start()
        try:
            self._answer(0)
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> "Dialogue":
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        self._client.disconnect()
        self._client.loop_stop()

    def subscribe(self, *topics: str) -> None:
        """Ask for topics; what comes waits for ``messages`` or ``collect``.

        Raises:
            BrokerError: the broker does not let this user read one.
        """
        for topic in topics:
            self._topics.append(topic)
            reason = self._answer(self._client.subscribe(topic, qos=1)[1])
            if reason.is_failure:
                raise BrokerError(f"the broker does not let this user read {topic}: {reason}")

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Send one message, and see it acknowledged. By MQTT 3.1.1 a broker acknowledges what it then does not deliver, too.

        Raises:
            BrokerError: the broker does not let this user publish there.
        """
        reason = self._answer(self._client.publish(topic, payload, 1, retain).mid)
        if reason.is_failure:
            raise BrokerError(
                f"the broker at {self.address} refuses what is published on {topic}: {reason}; look at its access control list"
            )

    def collect(self) -> list[paho.MQTTMessage]:
        """All that the broker had for us until now: a message of our own, which comes after it, tells that it is complete.

        Raises:
            BrokerError: that message does not come back.
        """
        mark, messages = f"{self._base}/doctor/{secrets.token_hex(4)}", list[paho.MQTTMessage]()
        self.subscribe(mark)
        self.publish(mark, b"?")
        while True:
            try:
                item = self._inbox.get(timeout=PATIENCE)
            except Empty:
                raise BrokerError(
                    f"connected, but what is published under {self._base}/ does not come back: access control?"
                ) from None
            if isinstance(item, BrokerError):
                raise item
            if item.topic == mark:
                return messages
            messages.append(item)

    def messages(self) -> Iterator[paho.MQTTMessage]:
        """Every message as it comes, for ever.

        Raises:
            BrokerError: the connection is lost and not to be made anew, or the broker refuses.
        """
        while True:
            try:
                item = self._inbox.get(timeout=0.5)
            except Empty:
                continue
            if isinstance(item, BrokerError):
                raise item
            yield item

    def _answer(self, number: int | None) -> Any:
        """The broker's answer to the packet of this number; 0 is the connection."""
        while True:
            try:
                answer = self._answers.get(timeout=PATIENCE)
            except Empty:
                raise BrokerError(f"the broker at {self.address} does not answer") from None
            if isinstance(answer, BrokerError):
                raise answer
            if answer[0] == number:
                return answer[1]

    def _fail(self, text: str) -> None:
        self._answers.put(BrokerError(text))
        self._inbox.put(BrokerError(text))

    def _on_connect(self, _client: paho.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._fail(f"the broker at {self.address} refuses: {reason}")
            return
        if self._connected:
            for topic in self._topics:
                self._client.subscribe(topic, qos=1)
            self._tell(f"the broker at {self.address} is back")
        self._connected = True
        self._answers.put((0, reason))

    def _on_disconnect(self, _client: paho.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if self._closing:
            return
        if self._connected and self._reconnect:
            self._tell(f"lost the broker at {self.address}: {reason}; trying again")
            return
        self._fail(f"lost the broker at {self.address}: {reason}" if self._connected else cut_short(self._settings, reason))

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        self._inbox.put(message)

    def _on_publish(self, _client: paho.Client, _data: Any, number: int, reason: Any, _properties: Any) -> None:
        self._answers.put((number, reason))

    def _on_subscribe(self, _client: paho.Client, _data: Any, number: int, reasons: Any, _properties: Any) -> None:
        self._answers.put((number, reasons[0]))
