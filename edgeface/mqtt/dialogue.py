"""Connects to a broker for a short exchange: asks, waits for the answer, and disconnects."""

import secrets
from collections.abc import Callable, Iterator
from queue import Empty, Queue
from typing import Any, TypeVar

import paho.mqtt.client as paho

from edgeface.config import schema
from edgeface.errors import BrokerError, ConfigError
from edgeface.mqtt.client import address, cut_short, new_client, oversized, port

T = TypeVar("T")
ANSWER_TIMEOUT = 10.0
"""Seconds for which a dialogue waits for an answer."""


class Dialogue:
    """A connection whose calls each wait for the broker's answer; a context manager.

    It has no client id, so that it does not end a running daemon's connection. With ``reconnect`` it connects and subscribes
    again by itself; ``tell`` is given a line at each loss and return.

    Raises:
        ConfigError: no broker is set, or the password or a certificate's file cannot be read.
        BrokerError: the broker cannot be reached, refuses, or does not answer. Every call may raise it.
    """

    def __init__(
        self, settings: schema.Config, *, reconnect: bool = False, tell: Callable[[str], None] = lambda _: None
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
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_message = lambda _client, _data, message: self._inbox.put(message)
        client.on_publish = lambda _client, _data, number, reason, _properties: self._answers.put((number, reason))
        client.on_subscribe = lambda _client, _data, number, reasons, _properties: self._answers.put((number, reasons[0]))
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
        """Subscribe to topics; messages wait for ``messages`` or ``collect``."""
        for topic in topics:
            self._topics.append(topic)
            reason = self._answer(self._client.subscribe(topic, qos=1)[1])
            if reason.is_failure:
                raise BrokerError(f"the broker does not let this user read {topic}: {reason}")

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Send one message, and wait for its acknowledgement, which a broker may give by MQTT 3.1.1 without delivering it."""
        reason = self._answer(self._client.publish(topic, payload, 1, retain).mid)
        if reason.is_failure:
            raise BrokerError(
                f"the broker at {self.address} refuses what is published on {topic}: {reason}; look at its access control list"
            )

    def collect(self) -> list[paho.MQTTMessage]:
        """Return all messages that the broker had for us; one that we send to ourselves marks the end of them."""
        mark, messages = f"{self._base}/doctor/{secrets.token_hex(4)}", list[paho.MQTTMessage]()
        self.subscribe(mark)
        self.publish(mark, b"?")
        lost = f"connected, but what is published under {self._base}/ does not come back: access control?"
        while (message := _next(self._inbox, lost)).topic != mark:
            messages.append(message)
        return messages

    def messages(self) -> Iterator[paho.MQTTMessage]:
        """Yield every message as it comes, for ever; a lost connection ends it only without ``reconnect``."""
        while True:
            item = self._inbox.get()
            if isinstance(item, BrokerError):
                raise item
            yield item

    def _answer(self, number: int | None) -> Any:
        """Wait for the broker's answer to the packet of this number; 0 is the connection."""
        while True:
            answered, reason = _next(self._answers, f"the broker at {self.address} does not answer")
            if answered == number:
                return reason

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


def _next(queue: "Queue[T | BrokerError]", silence: str) -> T:
    """Take the next item; raise ``silence`` as a ``BrokerError`` if none comes within ``ANSWER_TIMEOUT``."""
    try:
        item = queue.get(timeout=ANSWER_TIMEOUT)
    except Empty:
        raise BrokerError(silence) from None
    if isinstance(item, BrokerError):
        raise item
    return item
