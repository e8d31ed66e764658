"""Publishes events, never late, and retained state over MQTT, and takes in commands and the shared gallery."""

import time
from collections.abc import Sequence, Set
from dataclasses import replace

import paho.mqtt.client as paho

from edgeface.config import schema
from edgeface.health import Health, health_payload
from edgeface.interfaces import CommandTransport, EventPublisher, Heard, StateSource, SyncTransport
from edgeface.mqtt.connection import Connection
from edgeface.mqtt.home import Whereabouts
from edgeface.mqtt.homeassistant import Announcement
from edgeface.mqtt.inbox import Inbox
from edgeface.mqtt.presence import PresenceState
from edgeface.mqtt.trackers import Trackers
from edgeface.types import EventType, Image, Person, Request
from edgeface.vision.pictures import face_jpeg, frame_jpeg
from edgeface.wire.events import Event, event_payload, image_info
from edgeface.wire.home import PersonHome


class MqttPublisher(Connection, EventPublisher, CommandTransport, StateSource, SyncTransport):
    GOODBYE = 2.0
    """Seconds that ``close`` may take to deliver what waits."""
    HUNG = 90.0
    """Seconds without the daemon's health, which comes every half minute, after which its loop counts as hung."""

    def __init__(self, settings: schema.Config, model: str) -> None:
        super().__init__(settings)
        self._model, self._cameras = model, [camera.name for camera in settings.every_camera]
        self._inbox, self._presence = Inbox(), PresenceState()
        self._health: Health | None = None
        self._beat = time.monotonic()
        self._announcement = Announcement(settings) if settings.homeassistant.enabled else None
        self._home = Whereabouts(settings) if settings.home.enabled else None
        self._trackers = Trackers(settings) if self._home and self._announcement else None
        self._shared_topic = settings.shared_topic
        self._allowed = settings.commands.allow
        self._pause, self._heard = settings.pause, Heard()

    def take_over(self, before: "MqttPublisher") -> None:
        """Take over the waiting events and commands, and who is present, from another publisher; not after ``open``."""
        with before._lock:  # its thread may still be on its way out
            self._outbox.take_over(before._outbox)
            self._inbox.take_over(before._inbox)
            self._presence.take_over(before._presence)
            if self._home and before._home and before._home.goes_on_in(self._home):
                self._home.take_over(before._home)

    def open(self, people: Sequence[Person]) -> None:
        """Start connecting; at each connection, ``people`` who are not present get an ``OFF``."""
        self._presence.people = {person.id: person.name for person in people}
        if self._home:
            self._home.change(self._presence.people)
        self._thread.start()

    def people(self, people: Sequence[Person]) -> None:
        """Publish who may be recognized now: people who are new or gone are ``OFF``, and events of the latter are dropped."""
        with self._lock:
            self._outbox.forget(self._presence.people.keys() - {person.id for person in people})
            for person_id in self._presence.change(people):
                self._send(f"person/{person_id}/state", "OFF")
            self._send_presence()
            if self._announcement:
                self._announcement.change()
            if self._home:
                self._home.change(self._presence.people)

    @property
    def home(self) -> list[PersonHome] | None:
        with self._lock:
            return self._home.seen() if self._home else None

    def cameras(self, names: Sequence[str]) -> None:
        """Take the cameras, and remove what the broker retains of those that are gone."""
        with self._lock:
            before, self._cameras = self._retained, list(names)
            if self._client:
                for _, topic in before - self._retained:
                    self._client.publish(topic, b"", 1, retain=True)
            self._send_presence()
            if self._announcement:
                self._announcement.cameras = self._cameras
                self._announcement.change()

    def publish(self, event: Event, image: Image | None = None) -> None:
        """Send an event now, or once the broker is there; its picture only now."""
        with self._lock:
            self._send_image(event, image)
            self._outbox.add(event)
            self._note(event)
            self._flush()

    def note(self, event: Event) -> None:
        with self._lock:
            self._note(event)

    def requests(self) -> list[Request]:
        return self._inbox.take_requests()

    def respond(self, verb: str, response: bytes) -> None:
        with self._lock:
            self._send(f"resp/{verb}", response)

    def shared(self, connection: int = -1) -> tuple[int, dict[str, bytes]]:
        with self._lock:
            now = self._connections if self._client else 0
            return now, {} if now == connection else self._inbox.take_shared()

    def share(self, name: str, payload: bytes) -> None:
        with self._lock:
            if self._client:
                sent = self._client.publish(f"{self._shared_topic}/{name}", payload, 1, retain=True)
                self._other_topics[sent.mid] = self._shared_topic

    def heard(self) -> Heard:
        with self._lock:
            return replace(self._heard, connection=self._connections if self._client else 0)

    def health(self, health: Health) -> None:
        with self._lock:
            self._health, self._beat = health, time.monotonic()
            self._send_health()

    @property
    def _retained(self) -> Set[tuple[str, str]]:
        """Return the retained topics of this publisher, as (broker, topic)."""
        topics = [f"{self._base}/{name}" for name in ("availability", *self._presences, "health")]
        topics += [self._announcement.topic] if self._announcement else []
        return {(self.address, topic) for topic in topics}

    def close(self, heir: EventPublisher | None = None) -> None:
        """Deliver what still waits, say ``offline``, and disconnect, within about ``GOODBYE`` seconds.

        With an heir, retained messages that the heir will not replace are removed from the broker, if it is there; an heir of
        this kind takes over what could not be delivered.
        """
        deadline = time.monotonic() + self.GOODBYE
        successor = heir if isinstance(heir, MqttPublisher) else None
        while self._outbox and time.monotonic() < deadline:
            time.sleep(0.02)
        with self._lock:
            self._closing.set()  # our thread sends nothing more
            self._close_home(heir)
            farewell = self._send("availability", "offline", retain=True)
            if heir and self._client:
                for _, topic in self._retained - (successor._retained if successor else set()):
                    farewell = self._client.publish(topic, b"", 1, retain=True)
        while (
            farewell and self._client and farewell.rc == 0 and not farewell.is_published() and time.monotonic() < deadline + 0.5
        ):
            time.sleep(0.02)
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(timeout=1.0)
        if successor:
            successor.take_over(self)

    def _on_connected(self) -> None:
        self._inbox.take_shared()  # payloads of another connection
        if self._home:
            self._home.connected()
        present = self._presence.present
        for person_id in self._presence.people:
            self._send(f"person/{person_id}/state", "ON" if person_id in present else "OFF")
        self._send_presence()
        self._send_health()
        self._flush()
        if self._announcement:  # sent after the subscription, which brings an earlier announcement
            self._announcement.change()
        if self._trackers:
            self._trackers.announce(self._presence.people)

    def _on_tick(self) -> None:
        self._flush()
        self._send_home()
        self._announce()

    def _topics(self) -> list[str]:
        topics = [f"{self._base}/cmd/+"] if self._allowed else []
        if self._announcement:
            topics += [self._announcement.status, self._announcement.topic]
        if self._shared_topic:
            topics.append(f"{self._shared_topic}/+")
        topics += [f"{self._home.topic}/+"] if self._home else []
        return topics + ([self._pause.topic] if self._pause.topic else [])

    def _on_message(self, message: paho.MQTTMessage) -> None:
        announcement = self._announcement
        if message.topic == self._pause.topic:
            with self._lock:
                self._heard = Heard(told=self._connections, matches=message.payload == self._pause.payload.encode())
        if announcement and message.topic == announcement.status:
            if message.payload == b"online":
                with self._lock:
                    announcement.change()
                    if self._trackers:
                        self._trackers.announce(self._presence.people)
        elif self._home and message.topic.startswith(f"{self._home.topic}/"):
            with self._lock:
                self._home.take(message.topic.removeprefix(f"{self._home.topic}/"), bytes(message.payload))
        elif announcement and message.topic == announcement.topic:
            with self._lock:
                announcement.recall(bytes(message.payload))
        elif self._shared_topic and message.topic.startswith(f"{self._shared_topic}/"):
            with self._lock:
                self._inbox.add_shared(message.topic.removeprefix(f"{self._shared_topic}/"), bytes(message.payload))
        elif not message.retain and message.topic.startswith(f"{self._base}/cmd/"):
            self._inbox.add_request(message.topic.removeprefix(f"{self._base}/cmd/"), bytes(message.payload))

    def _flush(self) -> None:
        """Drop events that are too old, and send the rest if the broker answers."""
        if self._client is None:
            return
        while event := self._outbox.due():
            if not self._is_fresh():
                if not self._is_awaiting():
                    self._send_presence()  # the broker's confirmation wakes our thread
                return
            payload = event_payload(event, self._device, self._model)
            expiry = int(self._settings.max_event_age) + 1
            sent = self._send("event", payload, properties={"MessageExpiryInterval": expiry})
            if sent is None or sent.rc != paho.MQTT_ERR_SUCCESS:
                return
            self._outbox.sent(sent)

    def _note(self, event: Event) -> None:
        if event.track_id is None:
            return
        self._presence.note(event)
        if self._home:
            self._home.note(event)
        if event.person_id:
            gone = event.event_type is EventType.LEFT and event.person_id not in self._presence.present
            self._send(f"person/{event.person_id}/state", "OFF" if gone else "ON")
        self._send_presence()

    @property
    def _presences(self) -> dict[str, str | None]:
        """Return the topics of presence, each with the camera that it is of; ``None`` for all cameras."""
        if len(self._cameras) == 1:
            return {f"{self._cameras[0]}/presence": None}
        return {f"{camera}/presence": camera for camera in self._cameras} | {"presence/all": None}

    def _send_presence(self) -> None:
        for topic, camera in self._presences.items():
            self._send(topic, self._presence.payload(camera), retain=True)

    def _send_image(self, event: Event, image: Image | None) -> None:
        if not self._settings.images or self._client is None or image is None or event.box is None:
            return
        told = {"UserProperty": ("event_id", event.event_id), "ContentType": "image/jpeg"}
        camera = event.camera if event.camera in self._cameras else self._cameras[0]
        self._send(f"image/{camera}/info", image_info(event), qos=0)  # first: a reader then knows whose picture it gets
        self._send(f"image/{camera}", face_jpeg(image, event.box), qos=0, properties=told)
        if self._settings.frames:
            self._send(f"frame/{camera}", frame_jpeg(image, event.box, event.name), qos=0, properties=told)

    def _send_home(self, *, everything: bool = False) -> None:
        if self._home is None or self._client is None:
            return
        known = self._health is not None and self._health.gallery.state != "unreadable"
        alive = time.monotonic() - self._beat < self.HUNG
        for person_id, payload in self._home.due(sure=known, alive=alive, everything=everything):
            self._send_person(person_id, payload)
        if self._trackers and self._home.began:
            self._trackers.change(*self._home.changed)
            for topic, payload in self._trackers.due(self._home):
                self._client.publish(topic, payload, 1, retain=True)
            self._home.changed.clear()

    def _send_person(self, person_id: str, payload: bytes) -> None:
        """Publish who is home, or with an empty payload remove the person, from Home Assistant too."""
        if self._home and self._client:
            if not payload and self._trackers and (topic := self._trackers.remove(person_id)):
                self._client.publish(topic, b"", 1, retain=True)
            sent = self._client.publish(f"{self._home.topic}/{person_id}", payload, 1, retain=True)
            self._other_topics[sent.mid] = self._home.topic

    def _close_home(self, heir: "EventPublisher | None") -> None:
        """Publish what waits of who is home; before an heir that does not go on, remove it, and other devices put it back."""
        if self._home is None:
            return
        self._send_home(everything=True)
        goes_on = isinstance(heir, MqttPublisher) and heir.address == self.address and self._home.goes_on_in(heir._home)
        if heir and not goes_on:
            for person_id in self._home.people:
                self._send_person(person_id, b"")

    def _announce(self) -> None:
        if self._health is not None and self._health.gallery.state == "unreadable":
            return  # else Home Assistant would remove everybody
        if self._announcement and self._client and (message := self._announcement.due(self._presence.people)):
            self._client.publish(self._announcement.topic, message, 1, retain=True)

    def _send_health(self) -> None:
        if self._health is not None:
            payload = health_payload(replace(self._health, link=self.link), time.time())
            self._send("health", payload, qos=0, retain=True)
