"""Connects to a broker for a short exchange: asks, waits for the answer, and disconnects."""

import secrets
from collections.abc import Callable, Iterator
from queue import Empty, Queue
from typing import Any

import paho.mqtt.client as paho

from edgeface.config import schema
from edgeface.errors import BrokerError, ConfigError
from edgeface.mqtt.client import address, cut_short, new_client, oversized, port

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
        while True:
            try:
                item = self._inbox.get(timeout=ANSWER_TIMEOUT)
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
        """Yield every message as it comes, for ever; a lost connection ends it only without ``reconnect``."""
        while True:
            try:
                item = self._inbox.get(timeout=0.5)
            except Empty:
                continue
            if isinstance(item, BrokerError):
                raise item
            yield item

    def _answer(self, number: int | None) -> Any:
        """Wait for the broker's answer to the packet of this number; 0 is the connection."""
        while True:
            try:
                answer = self._answers.get(timeout=ANSWER_TIMEOUT)
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
