"""MQTT, by the contract: news that is never late, state that is retained, a last will, and commands handed on."""

import logging
import math
import random
import re
import time
from collections import deque
from collections.abc import Sequence, Set
from dataclasses import replace
from queue import Empty, Full, Queue
from threading import Event as Flag
from threading import RLock, Thread
from typing import Any, Literal, NamedTuple

import msgspec
import paho.mqtt.client as paho
from msgspec import Struct
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edgeface.config import schema
from edgeface.errors import ConfigError
from edgeface.health import Health, Link
from edgeface.interfaces import Publisher
from edgeface.mqtt import client as mqtt_client
from edgeface.mqtt.homeassistant import Announcement
from edgeface.mqtt.unread import Unread
from edgeface.types import MAX_REQUEST_BYTES, Event, EventType, Image, Person, Request
from edgeface.vision.images import crop, encode_jpeg
from edgeface.wire.events import event_payload
from edgeface.wire.health import health_payload
from edgeface.wire.presence import presence_payload

log = logging.getLogger(__name__)

SESSION_TAKEN_OVER = 142
REFUSALS = {134, 135}  # bad credentials, not authorised


class _InFlight(NamedTuple):
    """An event that the broker has not confirmed, and since when it should have."""

    sent: paho.MQTTMessageInfo
    event: Event
    since: float


class MqttPublisher:
    """Publishes to one broker, from a thread of its own that connects again for ever.

    Each connection gets a new client: paho keeps what it could not deliver and would send it hours late. Events wait here
    instead, at most ``mqtt.queue`` of them and none for longer than ``mqtt.max_event_age``; what is dropped is counted.
    """

    FIRST_PAUSE, LONGEST_PAUSE, REFUSED_PAUSE = 0.5, 30.0, 30.0
    GOODBYE = 2.0
    STEADY, SUSPICIOUS = 10.0, 3
    """Seconds after which a connection counts as good, and how many shorter ones in a row are suspicious."""
    MAX_IN_FLIGHT = 20
    """Events that a broker may leave unconfirmed before the others wait in the bounded queue."""
    MAX_REQUESTS, LONGEST_VERB = 8, 64
    """Commands that may wait for the loop; what comes beyond them, or with a longer name, is dropped."""
    MAX_SHARED, MAX_SHARED_BYTES = 20_000, 32 * 2**20
    """Topics of the shared gallery of which news may wait for the loop, and their payloads; what comes beyond is dropped."""
    SHARED_NAME = re.compile(r"[0-9a-f]{32}")
    """The last level of such a topic."""
    FACE_MARGIN, FACE_SIDE = 0.4, 480
    """What is left around a face in its picture, in box sizes, and the picture's longest side in pixels."""
    MIN_PATIENCE = 5.0
    """Seconds without a confirmation after which a broker counts as hung, if ``max_event_age`` is shorter."""
    FRESH = 0.5
    """Seconds after a confirmation for which a broker counts as alive."""

    def __init__(self, settings: schema.Config, model: str) -> None:
        self._config, self._settings, self._base = settings, settings.mqtt, settings.base
        self._model, self._camera = model, settings.camera.name
        self._lock = RLock()
        self._waiting: deque[Event] = deque()
        self._in_flight: list[_InFlight] = []
        self._events_dropped = 0
        self._people: dict[str, str] = {}
        self._present: dict[str, str | None] = {}
        self._last = "", 0.0
        self._requests: Queue[Request] = Queue(self.MAX_REQUESTS)
        self._shared: dict[str, bytes] = {}
        self._shared_bytes = 0
        self._shared_topic = settings.sync.topic.strip("/") if settings.sync.enabled else ""
        self._sharing: set[int] = set()
        self._connections = 0
        self._announcement = Announcement(settings) if settings.homeassistant.enabled else None
        self._health: Health | None = None
        self._client: paho.Client | None = None
        self._ended, self._wake = Flag(), Flag()
        self._confirmed = self._asked = float("-inf")
        self._unread = Unread()
        self._question: paho.MQTTMessageInfo | None = None
        self._refused = self._cut = self._owes = False
        self._complaint = ""
        self._state: Literal["connecting", "up", "down"] = "connecting"
        self._closing = Flag()
        self._thread = Thread(target=self._serve, name="mqtt", daemon=True)
        mqtt_client.new_client(
            self._settings, self._client_id
        )  # unreadable files are the user's to mend now, not in the thread

    @property
    def _client_id(self) -> str:
        return f"edgeface-{self._config.device.id}"

    @property
    def link(self) -> Link:
        """How it stands with the broker, and why not well."""
        with self._lock:
            queue = len(self._waiting) + len(self._unacknowledged())
            why = self._complaint or self._unread.reason
            confirmed = self._confirmed if math.isfinite(self._confirmed) else None
            return Link(self._state, mqtt_client.address(self._settings), why, queue, self._events_dropped, confirmed)

    def take_over(self, before: Publisher) -> None:
        """Go on with what waits in another of this kind, events and commands, and with who is present."""
        if isinstance(before, MqttPublisher):
            with before._lock:  # its thread may still be on its way out
                self._waiting = deque([*(each.event for each in before._unacknowledged()), *before._waiting])
                self._present, self._last = dict(before._present), before._last
                self._events_dropped, self._requests = before._events_dropped, before._requests

    def open(self, people: Sequence[Person]) -> None:
        """Start connecting; ``people`` get an ``OFF`` whenever the broker is reached."""
        self._people = {person.id: person.name for person in people}
        self._thread.start()

    def people(self, people: Sequence[Person]) -> None:
        """Keep up who may be recognised: who is new or gone is not present, and of who is gone nothing more is told."""
        with self._lock:
            now = {person.id: person.name for person in people}
            gone = self._people.keys() - now.keys()
            told = [event for event in self._waiting if event.person_id not in gone]
            self._events_dropped += len(self._waiting) - len(told)
            self._waiting.clear()
            self._waiting.extend(told)
            self._present = {key: person_id for key, person_id in self._present.items() if person_id not in gone}
            for person_id in now.keys() ^ self._people.keys():
                if person_id not in self._present:
                    self._send(f"person/{person_id}/state", "OFF")
            self._people = now
            self._send_presence()
            if self._announcement:
                self._announcement.change()

    def publish(self, event: Event, image: Image | None = None) -> None:
        """Send an event now, or as soon as the broker is there; its picture only now."""
        with self._lock:
            self._send_image(event, image)
            self._waiting.append(event)
            self._trim()
            self._note(event)
            self._flush()

    def requests(self) -> list[Request]:
        """The commands that came in since the last call."""
        found = []
        while True:
            try:
                found.append(self._requests.get_nowait())
            except Empty:
                return found

    def respond(self, verb: str, response: bytes) -> None:
        """Answer a command, if the broker is there."""
        with self._lock:
            self._send(f"resp/{verb}", response)

    def shared(self, connection: int = -1) -> tuple[int, dict[str, bytes]]:
        """The connection's number, and the newest payload of each topic of the shared gallery since they were last taken.

        They are left where they are while the connection is still the one of this number.
        """
        with self._lock:
            now = self._connections if self._client else 0
            if now == connection:
                return now, {}
            found, self._shared, self._shared_bytes = self._shared, {}, 0
            return now, found

    def share(self, name: str, payload: bytes) -> None:
        """Let the broker keep a payload of the shared gallery, if it is there."""
        with self._lock:
            if self._client:
                self._sharing.add(self._client.publish(f"{self._shared_topic}/{name}", payload, 1, retain=True).mid)

    def health(self, health: Health) -> None:
        """Send the daemon's health, and keep it for the next connection."""
        with self._lock:
            self._health = health
            self._send_health()

    @property
    def retained(self) -> Set[tuple[str, str]]:
        """Where the broker keeps what it was told last."""
        topics = [f"{self._base}/{name}" for name in ("availability", f"{self._camera}/presence", "health")]
        topics += [self._announcement.topic] if self._announcement else []
        return {(mqtt_client.address(self._settings), topic) for topic in topics}

    def close(self, heir: Publisher | None = None) -> None:
        """Deliver what is still waiting, say ``offline``, and disconnect; takes two seconds at most.

        With an heir, names that stand where the heir will not put others are removed from the broker, if it is there.
        """
        deadline = time.monotonic() + self.GOODBYE
        while (self._waiting or self._unacknowledged()) and time.monotonic() < deadline:
            time.sleep(0.02)
        with self._lock:
            self._closing.set()  # from here on our thread sends nothing more
            farewell = self._send("availability", "offline", retain=True)
            if heir and self._client:
                for _, topic in self.retained - heir.retained:
                    farewell = self._client.publish(topic, b"", 1, retain=True)
        while (
            farewell and self._client and farewell.rc == 0 and not farewell.is_published() and time.monotonic() < deadline + 0.5
        ):
            time.sleep(0.02)
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(timeout=1.0)

    def _serve(self) -> None:
        pause, short = self.FIRST_PAUSE, 0
        while not self._closing.is_set():
            began = time.monotonic()
            reached = self._connection()
            steady = reached and time.monotonic() - began > self.STEADY
            pause = self.FIRST_PAUSE if steady else min(self.LONGEST_PAUSE, pause * 2)
            short = short + 1 if reached and not steady and not self._cut else 0
            if short == self.SUSPICIOUS:
                # MQTT 3.1.1 has no word for a session that another client took over.
                self._complain(
                    f"thrown out again and again: is another client there with the device id {self._config.device.id!r}?"
                )
            self._closing.wait((self.REFUSED_PAUSE if self._refused else pause) * random.uniform(0.75, 1.25))

    def _connection(self) -> bool:
        """One connection from its start to its end; whether the broker accepted it."""
        self._refused = self._cut = False
        self._ended.clear()
        try:
            client = mqtt_client.new_client(self._settings, self._client_id, reconnect=False)
            client.will_set(f"{self._base}/availability", "offline", qos=1, retain=True)
            client.on_connect, client.on_disconnect, client.on_publish = self._on_connect, self._on_disconnect, self._on_publish
            client.on_message, client.on_subscribe = self._on_message, self._on_subscribe
            client.on_oversized, client.on_pong = self._on_oversized, self._on_pong
            host, port, keepalive = self._settings.host, mqtt_client.port(self._settings), self._settings.keepalive
            client.connect(host, port, keepalive, properties=self._connect_properties())
        except (OSError, ValueError, ConfigError) as error:  # a host that is no host name is a ValueError
            what = (
                error if isinstance(error, ConfigError) else f"{mqtt_client.address(self._settings)} cannot be reached: {error}"
            )
            self._complain(f"no broker: {what}")
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
                    self._flush()
                    self._announce()
                    self._read_again()
                sent = [each.since for each in self._unacknowledged()]
                waited = time.monotonic() - min(sent + [self._asked] * self._is_asked(), default=time.monotonic())
            if waited > max(self._settings.max_event_age, self.MIN_PATIENCE):
                self._complain(
                    f"the broker at {mqtt_client.address(self._settings)} is connected but confirms nothing; connecting anew"
                )
                break
        with self._lock:
            reached, self._client, self._state = self._client is not None, None, "down"
            self._waiting.extendleft(each.event for each in reversed(self._unacknowledged()))
            self._in_flight.clear()
            self._question = None
            self._trim()
        self._ended.set()
        client.disconnect()
        client.loop_stop()
        return reached

    def _on_connect(self, client: paho.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._refused = reason.value in REFUSALS
            self._complain(f"the broker at {mqtt_client.address(self._settings)} refuses {self._client_id}: {reason}")
            self._ended.set()
            return
        log.info("connected to the broker at %s", mqtt_client.address(self._settings))
        self._owes = True
        with self._lock:
            self._client = client
            self._connections += 1
            self._shared, self._shared_bytes = {}, 0
            self._sharing.clear()
            self._send("availability", "online", retain=True)
            present = set(filter(None, self._present.values()))
            for person_id in self._people:
                self._send(f"person/{person_id}/state", "ON" if person_id in present else "OFF")
            self._send_presence()
            self._send_health()
            self._flush()
            if self._announcement:
                self._announcement.change()
        # Asked for before the announcement is sent: the broker then tells what it holds of an earlier one.
        for topic in self._topics():
            if topic not in self._unread:
                client.subscribe(topic, qos=1)

    def _topics(self) -> list[str]:
        """What is read of the broker."""
        topics = [f"{self._base}/cmd/+"] if self._config.commands.allow else []
        if self._announcement:
            topics += [self._announcement.status, self._announcement.topic]
        if self._shared_topic:
            topics.append(f"{self._shared_topic}/+")
        return topics

    def _on_oversized(self, topic: str, size: int) -> None:
        """Go on without the topics that it came on, or the broker would send it again at once."""
        reason = mqtt_client.oversized(topic, size)
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

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        """Only hand on what came in: this is paho's thread, and the work is the loop's."""
        announcement = self._announcement
        if announcement and message.topic == announcement.status:
            if message.payload == b"online":
                with self._lock:
                    announcement.change()
        elif announcement and message.topic == announcement.topic:
            with self._lock:
                announcement.recall(bytes(message.payload))
        elif self._shared_topic and message.topic.startswith(f"{self._shared_topic}/"):
            self._keep_shared(message.topic.removeprefix(f"{self._shared_topic}/"), bytes(message.payload))
        elif not message.retain:
            verb = message.topic.removeprefix(f"{self._base}/cmd/")
            try:
                if len(verb) <= self.LONGEST_VERB:
                    self._requests.put_nowait(Request(verb, bytes(message.payload[: MAX_REQUEST_BYTES + 1])))
            except Full:
                log.debug("mqtt: too many commands at once; %s is dropped", verb)

    def _keep_shared(self, name: str, payload: bytes) -> None:
        with self._lock:
            before = self._shared.get(name)
            total = self._shared_bytes + len(payload) - len(before or b"")
            room = total <= self.MAX_SHARED_BYTES and (before is not None or len(self._shared) < self.MAX_SHARED)
            if room and self.SHARED_NAME.fullmatch(name):
                self._shared[name], self._shared_bytes = payload, total

    def _connect_properties(self) -> Properties | None:
        """By MQTT 5, a broker can be told to send nothing that we would not read."""
        if self._settings.protocol != "5":
            return None
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.MaximumPacketSize = 2 * MAX_REQUEST_BYTES
        return properties

    def _on_disconnect(self, _client: paho.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.value == SESSION_TAKEN_OVER:
            self._refused = True
            self._complain(f"another client is on the broker with the device id {self._config.device.id!r}; each needs its own")
        elif self._cut:
            pass
        elif self._client is not None and not self._closing.is_set():
            self._complain(f"lost the broker at {mqtt_client.address(self._settings)}: {reason}")
        elif not self._ended.is_set() and not self._closing.is_set():
            self._complain(mqtt_client.cut_short(self._settings, reason))
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
        if reason.is_failure:
            topic = self._shared_topic if number in self._sharing else self._base
            self._complain(f"the broker refuses what is published under {topic}/: {reason}; look at its access control list")
        self._sharing.discard(number)

    def _complain(self, text: str) -> None:
        """Log a fault once, not at every try."""
        if text != self._complaint:
            log.error("mqtt: %s", text)
            self._complaint = text

    def _flush(self) -> None:
        """Drop what is too old to be news, and send the rest to a broker that lives."""
        if self._client is None:
            return
        while self._waiting and time.monotonic() - self._waiting[0].time > self._settings.max_event_age:
            self._waiting.popleft()
            self._events_dropped += 1
        while self._waiting and len(self._unacknowledged()) < self.MAX_IN_FLIGHT and self._lives():
            event = self._waiting.popleft()
            payload = event_payload(event, self._config.device.id, self._model)
            sent = self._send("event", payload, expiry=int(self._settings.max_event_age) + 1)
            if sent is None or sent.rc != paho.MQTT_ERR_SUCCESS:
                self._waiting.appendleft(event)
                return
            self._in_flight = [*self._unacknowledged(), _InFlight(sent, event, time.monotonic())]

    def _lives(self) -> bool:
        """Whether the broker confirmed something just now; else it has to, and its answer wakes our thread.

        What is sent to a broker that hangs is in its machine's hands: it would be delivered whenever it wakes up.
        """
        if time.monotonic() - self._confirmed < self.FRESH:
            return True
        if not self._is_asked():
            self._send_presence()
        return False

    def _is_asked(self) -> bool:
        question = self._question
        return question is not None and question.rc == paho.MQTT_ERR_SUCCESS and not question.is_published()

    def _trim(self) -> None:
        """Keep the queue to its bound."""
        while len(self._waiting) > self._settings.queue:
            self._waiting.popleft()
            self._events_dropped += 1

    def _unacknowledged(self) -> list[_InFlight]:
        return [each for each in self._in_flight if not each.sent.is_published()]

    def _note(self, event: Event) -> None:
        """Keep up who is present, and publish the change."""
        if event.track_id is None:
            return
        key = event.person_id or str(event.track_id)
        if event.event_type is EventType.LEFT:
            self._present.pop(key, None)
            if event.person_id:
                self._send(f"person/{event.person_id}/state", "OFF")
        else:
            self._present[key] = event.person_id
            if event.person_id:
                self._people.setdefault(event.person_id, event.name or "")
                self._last = event.person_id, event.wall
                self._send(f"person/{event.person_id}/state", "ON")
        self._send_presence()

    def _send_presence(self) -> None:
        present = set(filter(None, self._present.values())) & self._people.keys()
        people = sorted((person_id, self._people[person_id]) for person_id in present)
        unknown = sum(person_id is None for person_id in self._present.values())
        who, when = self._last
        last = (who, self._people[who], when) if who in self._people else None
        payload = presence_payload(people, unknown, last, time.time())
        self._send(f"{self._camera}/presence", payload, retain=True)

    def _send_image(self, event: Event, image: Image | None) -> None:
        if self._settings.images and self._client is not None and image is not None and event.box is not None:
            jpeg, _ = encode_jpeg(crop(image, event.box, self.FACE_MARGIN), self.FACE_SIDE)
            self._send(f"image/{self._camera}", jpeg, qos=0)

    def _announce(self) -> None:
        if self._health is not None and self._health.gallery.state == "unreadable":
            return  # nobody is known, but nobody is forgotten
        message = self._announcement.due(self._people) if self._announcement and self._client else None
        if self._announcement and self._client and message:
            self._client.publish(self._announcement.topic, message, 1, retain=True)

    def _send_health(self) -> None:
        if self._health is not None:
            payload = health_payload(replace(self._health, link=self.link), time.time())
            self._send("health", payload, qos=0, retain=True)

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
