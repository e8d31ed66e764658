"""Removing what a broker keeps of this device: its retained messages, for good."""

import re
import secrets
import time
from collections.abc import Set
from queue import Empty, Queue
from typing import Any

import paho.mqtt.client as paho

from edgeface import mqtt
from edgeface.config import Config
from edgeface.contract import TOPICS
from edgeface.errors import BrokerError, ConfigError, EdgefaceError
from edgeface.publishers.homeassistant import Announcement

PATIENCE = 10.0
GRACE = 1.0
"""Seconds for Home Assistant to let go of the device's other topics, in which it would else miss what is removed."""


def clear(config: Config, *, force: bool = False) -> list[str]:
    """Remove every retained message of this device, and see that it is gone; returns their topics.

    Raises:
        ConfigError: no broker is configured.
        BrokerError: the broker cannot be reached, refuses, or keeps what it should not.
        EdgefaceError: the daemon is running, which would publish all of it again; not with ``force``.
    """
    if not config.mqtt.host:
        raise ConfigError("no broker: set mqtt.host in the configuration")
    broker = _Broker(config)
    try:
        kept = broker.retained()
        if kept.get(f"{config.base}/availability") == b"online" and not force:
            raise EdgefaceError(
                f"the daemon of {config.device.id} is running and would publish all of it again: stop it first, or use --force"
            )
        announced = kept.keys() & {Announcement(config).topic}
        if announced:
            broker.remove(announced)
            time.sleep(GRACE)
        broker.remove(kept.keys() - announced)
    finally:
        broker.close()
    return sorted(kept)


class _Broker:
    """A connection that is asked and answers in turn, with a topic of its own to know when an answer is complete."""

    def __init__(self, config: Config) -> None:
        self._config, self._answers = config, Queue[paho.MQTTMessage | BrokerError | None]()
        self._address = mqtt.address(config.mqtt)
        # The same as doctor's: an access control list that allows the one allows the other.
        self._mark = f"{config.base}/doctor/{secrets.token_hex(4)}"
        retained = [re.sub("{.*?}", "+", topic.name) for topic in TOPICS if topic.retained]
        self._topics = [*(f"{config.base}/{name}" for name in retained), Announcement(config).topic, self._mark]
        self._client = mqtt.new_client(config.mqtt, "", reconnect=False)
        self._client.on_connect, self._client.on_message = self._on_connect, self._on_message
        try:
            self._client.connect(config.mqtt.host, mqtt.port(config.mqtt))
        except (OSError, ValueError) as error:
            raise BrokerError(f"the broker at {self._address} cannot be reached: {error}") from None
        self._client.loop_start()

    def retained(self) -> dict[str, bytes]:
        """What the broker keeps, by topic."""
        messages = self._until_mark()
        return {message.topic: bytes(message.payload) for message in messages if message.retain and message.payload}

    def remove(self, topics: Set[str]) -> None:
        """Remove messages; the broker sends each removal back to us, its subscriber."""
        for topic in topics:
            self._client.publish(topic, b"", qos=1, retain=True)
        self._client.publish(self._mark, b"", qos=1)
        gone = {message.topic for message in self._until_mark() if not message.payload}
        kept = sorted(topics - gone)
        if kept:
            raise BrokerError(f"the broker at {self._address} does not let this user remove {', '.join(kept)}: access control?")

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()

    def _until_mark(self) -> list[paho.MQTTMessage]:
        messages: list[paho.MQTTMessage] = []
        while True:
            try:
                answer = self._answers.get(timeout=PATIENCE)
            except Empty:
                raise BrokerError(
                    f"connected, but what is published under {self._config.base}/ does not come back: access control?"
                ) from None
            if isinstance(answer, BrokerError):
                raise answer
            if answer is None:
                return messages
            messages.append(answer)

    def _on_connect(self, _client: paho.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._answers.put(BrokerError(f"the broker at {self._address} refuses: {reason}"))
            return
        for topic in self._topics:
            self._client.subscribe(topic, qos=1)
        self._client.publish(self._mark, b"", qos=1)

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        self._answers.put(None if message.topic == self._mark else message)
