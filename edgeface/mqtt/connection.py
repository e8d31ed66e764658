"""A connection to one broker that is made anew for ever, and what is wrong with it in plain words."""

import logging
import math
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
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
REFUSALS = {134, 135}  # bad credentials, not authorised


class Connection(ABC):
    """Connects to one broker again and again, from a thread of its own; whoever inherits says what is told and read.

    Each connection gets a new client: paho keeps what it could not deliver and would send it hours late. Events wait in an
    outbox instead. ``_lock`` guards all of it.
    """

    FIRST_PAUSE, LONGEST_PAUSE, REFUSED_PAUSE = 0.5, 30.0, 30.0
    STEADY, SUSPICIOUS = 10.0, 3
    """Seconds after which a connection counts as good, and how many shorter ones in a row are suspicious."""
    MIN_PATIENCE = 5.0
    """Seconds without a confirmation after which a broker counts as hung, if ``max_event_age`` is shorter."""
    FRESH = 0.5
    """Seconds after a confirmation for which a broker counts as alive."""

    def __init__(self, settings: schema.Config) -> None:
        self._settings, self._base, self._device = settings.mqtt, settings.base, settings.device.id
        self.address = address(self._settings)
        self._client_id = f"edgeface-{self._device}"
        self._lock = RLock()
        self._outbox = Outbox(self._settings.queue, self._settings.max_event_age)
        self._elsewhere: dict[int, str] = {}
        self._connections = 0
        self._client: paho.Client | None = None
        self._closing, self._ended, self._wake = Flag(), Flag(), Flag()
        self._confirmed = self._asked = float("-inf")
        self._question: paho.MQTTMessageInfo | None = None
        self._unread = Unread()
        self._refused = self._cut = self._owes = False
        self._complaint = ""
        self._state: Literal["connecting", "up", "down"] = "connecting"
        self._thread = Thread(target=self._serve, name="mqtt", daemon=True)
        new_client(self._settings, self._client_id)  # unreadable files are the user's to mend now, not in the thread

    @property
    def link(self) -> BrokerStatus:
        """How it stands with the broker, and why not well."""
        with self._lock:
            why = self._complaint or self._unread.reason
            confirmed = self._confirmed if math.isfinite(self._confirmed) else None
            return BrokerStatus(self._state, self.address, why, len(self._outbox), self._outbox.dropped, confirmed)

    @abstractmethod
    def _topics(self) -> Sequence[str]:
        """What is read of the broker."""

    @abstractmethod
    def _on_connected(self) -> None:
        """Tell the broker how all is, before it is asked for the topics; has the lock."""

    @abstractmethod
    def _on_tick(self) -> None:
        """Send what is due: five times a second, and when the broker has confirmed something; has the lock."""

    @abstractmethod
    def _on_message(self, message: paho.MQTTMessage) -> None:
        """Hand on what came in, and no more: this is paho's thread."""

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
        """One connection from its start to its end; whether the broker accepted it."""
        self._refused = self._cut = False
        self._ended.clear()
        try:
            client = new_client(self._settings, self._client_id, reconnect=False)
            client.will_set(f"{self._base}/availability", "offline", qos=1, retain=True)
            client.on_connect, client.on_disconnect, client.on_publish = self._on_connect, self._on_disconnect, self._on_publish
            client.on_message = lambda _client, _data, message: self._on_message(message)
            client.on_subscribe = self._on_subscribe
            client.on_oversized, client.on_pong = self._on_oversized, self._on_pong
            where, keepalive = (self._settings.host, port(self._settings)), self._settings.keepalive
            client.connect(*where, keepalive, properties=self._connect_properties())
        except (OSError, ValueError, ConfigError) as error:  # a host that is no host name is a ValueError
            known = isinstance(error, ConfigError)
            self._complain(f"no broker: {error if known else f'{self.address} cannot be reached: {error}'}")
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
                asked = self._asked if self._is_asked() else math.inf
                waited = time.monotonic() - min(self._outbox.unconfirmed_since, asked)
            if waited > max(self._settings.max_event_age, self.MIN_PATIENCE):
                self._complain(f"the broker at {self.address} is connected but confirms nothing; connecting anew")
                break
        with self._lock:
            reached, self._client, self._state = self._client is not None, None, "down"
            self._outbox.recall()
            self._question = None
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
        self._owes = True
        with self._lock:
            self._client = client
            self._connections += 1
            self._elsewhere.clear()
            self._send("availability", "online", retain=True)
            self._on_connected()
        for topic in self._topics():
            if topic not in self._unread:
                client.subscribe(topic, qos=1)

    def _on_oversized(self, topic: str, size: int) -> None:
        """Go on without the topics that it came on, or the broker would send it again at once."""
        reason = oversized(topic, size)
        with self._lock:
            told = self._unread.add(self._topics(), topic, reason)
        if told:
            log.error("mqtt: %s", told)
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
                "the broker refuses a subscription: commands, the shared gallery and Home Assistant need its access control "
                "list to allow it"
            )

    def _connect_properties(self) -> Properties | None:
        """By MQTT 5, a broker can be told to send nothing that we would not read."""
        if self._settings.protocol != "5":
            return None
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.MaximumPacketSize = MAX_PACKET
        return properties

    def _on_disconnect(self, _client: paho.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.value == SESSION_TAKEN_OVER:
            self._refused = True
            self._complain(f"another client is on the broker with the device id {self._device!r}; each needs its own")
        elif self._cut:
            pass
        elif self._client is not None and not self._closing.is_set():
            self._complain(f"lost the broker at {self.address}: {reason}")
        elif not self._ended.is_set() and not self._closing.is_set():
            self._complain(cut_short(self._settings, reason))
        self._ended.set()

    def _on_pong(self) -> None:
        self._confirmed = time.monotonic()

    def _confirm(self) -> None:
        """The broker has done something for us: one that only accepts us is none."""
        self._confirmed = time.monotonic()
        if self._owes:
            self._owes, self._complaint, self._state = False, "", "up"

    def _on_publish(self, _client: paho.Client, _data: Any, number: int, reason: Any, _properties: Any) -> None:
        # paho holds a lock of its own here that publish() wants too: taking ours would be a deadlock.
        self._confirm()
        self._wake.set()
        topic = self._elsewhere.pop(number, self._base)
        if reason.is_failure:
            self._complain(f"the broker refuses what is published under {topic}/: {reason}; look at its access control list")

    def _complain(self, text: str) -> None:
        """Log a fault once, not at every try."""
        if text != self._complaint:
            log.error("mqtt: %s", text)
            self._complaint = text

    def _is_fresh(self) -> bool:
        """Whether the broker confirmed something just now.

        What is sent to a broker that hangs is in its machine's hands: it would be delivered whenever it wakes up.
        """
        return time.monotonic() - self._confirmed < self.FRESH

    def _is_asked(self) -> bool:
        question = self._question
        return question is not None and question.rc == paho.MQTT_ERR_SUCCESS and not question.is_published()

    def _send(
        self, topic: str, payload: str | bytes | Struct, *, qos: int = 1, retain: bool = False, expiry: int = 0
    ) -> paho.MQTTMessageInfo | None:
        if self._client is None:
            return None
        data = msgspec.json.encode(payload) if isinstance(payload, Struct) else payload
        properties = None
        if expiry and self._settings.protocol == "5":
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.MessageExpiryInterval = expiry
        sent = self._client.publish(f"{self._base}/{topic}", data, qos, retain, properties)
        if qos and topic != "event" and not self._is_asked():
            self._question, self._asked = sent, time.monotonic()
        return sent
