"""Keeps a connection to one broker, made anew for ever, and says in plain words what is wrong with it."""

import logging
import math
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from threading import Event as Flag
from threading import RLock, Thread
from typing import Any, Literal

import msgspec
import paho.mqtt.client as paho
from msgspec import Struct
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edgeface.config import schema
from edgeface.errors import ConfigError
from edgeface.health import BrokerStatus
from edgeface.mqtt.client import MAX_PACKET, address, cut_short, new_client, oversized, port
from edgeface.mqtt.outbox import Outbox
from edgeface.mqtt.unread import Unread

log = logging.getLogger(__name__)

SESSION_TAKEN_OVER = 142
REFUSALS = {134, 135}
"""MQTT's reasons for bad credentials and a user who is not authorised."""


class Connection(ABC):
    """Connects to one broker again and again, from a thread of its own; a subclass says what to send and subscribe to.

    Each connection gets a new client: paho keeps messages that it could not deliver and would send them hours late. Events wait
    in an outbox instead. ``_lock`` guards everything here.
    """

    FIRST_PAUSE, LONGEST_PAUSE, REFUSED_PAUSE = 0.5, 30.0, 30.0
    STEADY, SUSPICIOUS = 10.0, 3
    """Seconds after which a connection counts as good, and how many shorter ones in a row are suspicious."""
    MIN_TIMEOUT = 5.0
    """Seconds without a confirmation after which a broker counts as hung, if ``max_event_age`` is shorter."""
    FRESH = 0.5
    """Seconds after a confirmation for which a broker counts as alive."""

    def __init__(self, settings: schema.Config) -> None:
        self._settings, self._base, self._device = settings.mqtt, settings.base, settings.device.id
        self.address = address(self._settings)
        self._client_id = f"edgeface-{self._device}"
        self._lock = RLock()
        self._outbox = Outbox(self._settings.queue, self._settings.max_event_age)
        self._other_topics: dict[int, str] = {}
        self._connections = 0
        self._client: paho.Client | None = None
        self._closing, self._ended, self._wake = Flag(), Flag(), Flag()
        self._confirmed = self._awaited_since = float("-inf")
        self._awaited: paho.MQTTMessageInfo | None = None
        self._unread = Unread()
        self._refused = self._cut = self._unproven = False
        self._complaint = ""
        self._state: Literal["connecting", "up", "down"] = "connecting"
        self._thread = Thread(target=self._serve, name="mqtt", daemon=True)
        new_client(self._settings, self._client_id)  # raises here, not in the thread, if a file cannot be read

    @property
    def link(self) -> BrokerStatus:
        with self._lock:
            why = self._complaint or self._unread.reason
            confirmed = self._confirmed if math.isfinite(self._confirmed) else None
            return BrokerStatus(self._state, self.address, why, len(self._outbox), self._outbox.dropped, confirmed)

    @abstractmethod
    def _topics(self) -> Sequence[str]:
        """Return the topics to subscribe to."""

    @abstractmethod
    def _on_connected(self) -> None:
        """Publish the state, before the topics are subscribed to; called with the lock."""

    @abstractmethod
    def _on_tick(self) -> None:
        """Send what is due; called with the lock, five times a second and at each confirmation."""

    @abstractmethod
    def _on_message(self, message: paho.MQTTMessage) -> None:
        """Queue a message; called in paho's thread, which must not be held up."""

    def _serve(self) -> None:
        pause, short = self.FIRST_PAUSE, 0
        while not self._closing.is_set():
            began = time.monotonic()
            reached = self._connect()
            steady = reached and time.monotonic() - began > self.STEADY
            pause = self.FIRST_PAUSE if steady else min(self.LONGEST_PAUSE, pause * 2)
            short = short + 1 if reached and not steady and not self._cut else 0
            if short == self.SUSPICIOUS:
                # MQTT 3.1.1 has no word for a session that another client took over.
                self._complain(f"thrown out again and again: is another client there with the device id {self._device!r}?")
            self._closing.wait((self.REFUSED_PAUSE if self._refused else pause) * random.uniform(0.75, 1.25))

    def _connect(self) -> bool:
        """Connect, serve the connection to its end, and return whether the broker accepted it."""
        self._refused = self._cut = False
        self._ended.clear()
        try:
            client = new_client(self._settings, self._client_id, reconnect=False)
            client.will_set(f"{self._base}/availability", "offline", qos=1, retain=True)
            client.on_connect, client.on_disconnect, client.on_publish = self._on_connect, self._on_disconnect, self._on_publish
            client.on_message = lambda _client, _data, message: self._on_message(message)
            client.on_subscribe = self._on_subscribe
            client.on_oversized, client.on_pong = self._on_oversized, self._on_pong
            properties = self._properties(PacketTypes.CONNECT, MaximumPacketSize=MAX_PACKET)
            client.connect(self._settings.host, port(self._settings), self._settings.keepalive, properties=properties)
        except (OSError, ValueError, ConfigError) as error:  # paho raises a ValueError for what is no host name
            reason = error if isinstance(error, ConfigError) else f"{self.address} cannot be reached: {error}"
            self._complain(f"no broker: {reason}")
            self._state = "down"
            return False
        if self._closing.is_set():
            return False
        client.loop_start()
        while not self._ended.is_set():
            self._wake.wait(0.2)
            self._wake.clear()
            with self._lock:
                if not self._closing.is_set():
                    self._on_tick()
                    self._read_again()
                since = self._awaited_since if self._is_awaiting() else math.inf
                waited = time.monotonic() - min(self._outbox.unconfirmed_since, since)
            if waited > max(self._settings.max_event_age, self.MIN_TIMEOUT):
                self._complain(f"the broker at {self.address} is connected but confirms nothing; connecting anew")
                break
        with self._lock:
            reached, self._client, self._state = self._client is not None, None, "down"
            self._outbox.recall()
            self._awaited = None
        self._ended.set()
        client.disconnect()
        client.loop_stop()
        return reached

    def _on_connect(self, client: paho.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._refused = reason.value in REFUSALS
            self._complain(f"the broker at {self.address} refuses {self._client_id}: {reason}")
            self._ended.set()
            return
        log.info("connected to the broker at %s", self.address)
        self._unproven = True
        with self._lock:
            self._client = client
            self._connections += 1
            self._other_topics.clear()
            self._send("availability", "online", retain=True)
            self._on_connected()
        for topic in self._topics():
            if topic not in self._unread:
                client.subscribe(topic, qos=1)

    def _on_oversized(self, topic: str, size: int) -> None:
        """Reconnect without the topic of an oversized message, or the broker would send the message again at once."""
        reason = oversized(topic, size)
        with self._lock:
            notice = self._unread.add(self._topics(), topic, reason)
        if notice:
            log.error("mqtt: %s", notice)
        else:
            self._complain(reason)
        self._cut = True
        self._ended.set()

    def _read_again(self) -> None:
        if self._client:
            for topic in self._unread.take_due():
                self._client.subscribe(topic, qos=1)

    def _on_subscribe(self, _client: paho.Client, _data: Any, _number: int, reasons: Any, _properties: Any) -> None:
        self._confirm()
        if any(reason.is_failure for reason in reasons):
            self._complain(
                "the broker refuses a subscription: commands, the shared gallery, Home Assistant and pause.topic need its "
                "access control list to allow it"
            )

    def _properties(self, packet: int, **values: Any) -> Properties | None:
        """Return the properties of a packet, which MQTT 5 alone has."""
        if self._settings.protocol != "5":
            return None
        properties = Properties(packet)  # type: ignore[no-untyped-call]
        for name, value in values.items():
            setattr(properties, name, value)
        return properties

    def _on_disconnect(self, _client: paho.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.value == SESSION_TAKEN_OVER:
            self._refused = True
            self._complain(f"another client is on the broker with the device id {self._device!r}; each needs its own")
        elif not (self._cut or self._closing.is_set()):
            if self._client is not None:
                self._complain(f"lost the broker at {self.address}: {reason}")
            elif not self._ended.is_set():
                self._complain(cut_short(self._settings, reason))
        self._ended.set()

    def _on_pong(self) -> None:
        self._confirmed = time.monotonic()

    def _confirm(self) -> None:
        """Note that the broker has confirmed something; a broker that only accepts the connection may still hang."""
        self._confirmed = time.monotonic()
        if self._unproven:
            self._unproven, self._complaint, self._state = False, "", "up"

    def _on_publish(self, _client: paho.Client, _data: Any, number: int, reason: Any, _properties: Any) -> None:
        # paho holds a lock of its own here that publish() wants too: taking ours would be a deadlock.
        self._confirm()
        self._wake.set()
        topic = self._other_topics.pop(number, self._base)
        if reason.is_failure:
            self._complain(f"the broker refuses what is published under {topic}/: {reason}; look at its access control list")

    def _complain(self, text: str) -> None:
        """Log a fault once, not at each attempt."""
        if text != self._complaint:
            log.error("mqtt: %s", text)
            self._complaint = text

    def _is_fresh(self) -> bool:
        """Return whether the broker confirmed something within ``FRESH`` seconds.

        A broker that hangs would deliver messages sent to it whenever it wakes up, hours late.
        """
        return time.monotonic() - self._confirmed < self.FRESH

    def _is_awaiting(self) -> bool:
        """Return whether the broker has yet to confirm a message other than an event."""
        awaited = self._awaited
        return awaited is not None and awaited.rc == paho.MQTT_ERR_SUCCESS and not awaited.is_published()

    def _send(
        self,
        topic: str,
        payload: str | bytes | Struct,
        *,
        qos: int = 1,
        retain: bool = False,
        properties: Mapping[str, Any] | None = None,
    ) -> paho.MQTTMessageInfo | None:
        if self._client is None:
            return None
        data = msgspec.json.encode(payload) if isinstance(payload, Struct) else payload
        told = self._properties(PacketTypes.PUBLISH, **properties) if properties else None
        sent = self._client.publish(f"{self._base}/{topic}", data, qos, retain, told)
        if qos and topic != "event" and not self._is_awaiting():
            self._awaited, self._awaited_since = sent, time.monotonic()
        return sent
