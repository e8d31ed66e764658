"""Messages that are too large to be read, and a broker that accepts a client and then does nothing."""

import logging
import socket
import time
from collections.abc import Callable, Iterator
from threading import Thread
from typing import Any

import pytest
from fixtures.broker import Broker, broker, eventually, needs_broker
from fixtures.optional import needed
from fixtures.publishing import ANNA, HEALTH, MODEL, numbered, numbers, settings_for
from paho.mqtt.enums import CallbackAPIVersion

from edgeface.errors import BrokerError
from edgeface.mqtt.client import MAX_PACKET, Client
from edgeface.mqtt.dialogue import Dialogue
from edgeface.mqtt.publisher import MqttPublisher
from edgeface.mqtt.unread import Unread

pytestmark = pytest.mark.slow  # what it does not do is waited for

__all__ = ["broker"]
SHARED = "edgeface/gallery/home/" + "0" * 32
KINDS = {
    "edgeface/door/cmd/people": "edgeface/door/cmd/+",
    "homeassistant/status": "homeassistant/status",
    "homeassistant/device/door/config": "homeassistant/device/door/config",
    SHARED: "edgeface/gallery/home/+",
}
LARGE = b"x" * (MAX_PACKET + 1)
ALL = {
    "commands": {"allow": ["people"]},
    "homeassistant": {"enabled": True},
    "sync": {"enabled": True, "topic": "edgeface/gallery/home"},
}


@pytest.fixture
def opened() -> Iterator[Callable[..., MqttPublisher]]:
    """Opens publishers with these settings, and closes them."""
    made = []

    def opened(mqtt: dict[str, Any], **more: Any) -> MqttPublisher:
        publisher = MqttPublisher(settings_for(mqtt, **more), MODEL)
        made.append(publisher)
        publisher.open([ANNA])
        return publisher

    yield opened
    for publisher in made:
        publisher.close()


def errors(caplog: pytest.LogCaptureFixture) -> list[Any]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


@needs_broker
@pytest.mark.parametrize("topic", KINDS)
def test_a_large_message_that_the_broker_keeps_ends_the_reading_of_its_topics_alone(
    broker: Broker, opened: Callable[..., MqttPublisher], caplog: pytest.LogCaptureFixture, topic: str
) -> None:
    ear = broker.listen()
    ear.say(topic, LARGE, retain=True)
    publisher = opened(broker.settings(protocol="3.1.1"), **ALL)
    # What the broker keeps comes only with the subscription; a command that it keeps too.
    assert eventually(lambda: publisher._unread.reason)
    assert eventually(lambda: publisher.link.state == "up")
    reason = publisher.link.reason
    assert f"a message of 12 MB on {topic} is over the limit of 12 MB" in needed(reason)
    assert f"mosquitto_pub -r -n -t {topic}" in needed(reason)
    assert f"nothing is read of {KINDS[topic]} for 60 s" in needed(reason)
    publisher.publish(numbered(1))
    assert numbers(ear.wait_for("/event")) == [1]
    publisher.health(HEALTH)
    ear.wait(lambda message: message.topic.endswith("/health") and b'"broker_confirmed"' in message.payload)
    if topic != "edgeface/door/cmd/people":
        ear.say("edgeface/door/cmd/people", {"id": "1"})
        assert eventually(publisher.requests)
    connections = publisher._connections
    time.sleep(3)
    assert publisher._connections == connections
    assert len(errors(caplog)) == 1


@needs_broker
def test_topics_are_read_again_once_the_large_message_is_gone(
    broker: Broker, opened: Callable[..., MqttPublisher], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Unread, "FIRST_PAUSE", 2.0)
    ear = broker.listen()
    publisher = opened(broker.settings(protocol="3.1.1"), **ALL)
    assert eventually(lambda: publisher.link.state == "up")
    ear.say("edgeface/door/cmd/people", LARGE)
    assert eventually(lambda: publisher.link.reason)
    assert eventually(lambda: publisher.link.reason is None and publisher.link.state == "up")
    ear.say("edgeface/door/cmd/people", {"id": "1"})
    assert eventually(publisher.requests)
    ear.say("edgeface/door/cmd/people", LARGE)
    assert eventually(lambda: "for 4 s" in (publisher.link.reason or ""))
    assert len(errors(caplog)) == 2


@needs_broker
def test_a_large_message_of_which_a_broker_by_mqtt_5_was_warned_makes_no_trouble(
    broker: Broker, opened: Callable[..., MqttPublisher]
) -> None:
    ear = broker.listen()
    for topic in KINDS:
        ear.say(topic, LARGE, retain=True)
    publisher = opened(broker.settings(protocol="5"), **ALL)
    assert eventually(lambda: publisher.link.state == "up")
    time.sleep(1)
    assert (publisher.link.state, publisher.link.reason, publisher._connections) == ("up", None, 1)


@needs_broker
def test_a_command_that_finds_a_large_message_says_so_in_one_line(broker: Broker) -> None:
    broker.listen().say("edgeface/door/event", LARGE, retain=True)
    with Dialogue(settings_for(broker.settings(protocol="3.1.1"))) as dialogue:
        dialogue.subscribe("edgeface/door/event")
        with pytest.raises(BrokerError, match="12 MB on edgeface/door/event is over the limit") as error:
            next(dialogue.messages())
    assert len(str(error.value).splitlines()) == 1


class Mute:
    """A broker that accepts whoever comes, and then reads and says nothing but the ``answers`` that it is given."""

    def __init__(self, greeting: bytes = b"\x20\x02\x00\x00") -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port, self.greeting, self.connections = self._server.getsockname()[1], greeting, 0
        self.clients: list[socket.socket] = []
        Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client = self._server.accept()[0]
            except OSError:
                return
            self.clients.append(client)
            self.connections += 1
            try:
                client.recv(4096)
                client.sendall(self.greeting)
            except OSError:
                pass

    def close(self) -> None:
        self._server.close()
        for client in self.clients:
            client.close()


@pytest.fixture
def mute() -> Iterator[Mute]:
    there = Mute()
    yield there
    there.close()


def test_a_broker_that_confirms_nothing_is_never_called_well(
    opened: Callable[..., MqttPublisher], mute: Mute, caplog: pytest.LogCaptureFixture
) -> None:
    publisher = opened({"host": "127.0.0.1", "port": mute.port, "protocol": "3.1.1", "max_event_age": 1.0})
    publisher.MIN_TIMEOUT = 1.0
    assert eventually(lambda: mute.connections == 1)
    states = set()

    def seen() -> bool:
        states.add((publisher.link.state, publisher.link.reason))
        return mute.connections > 2

    assert eventually(seen)
    told = f"the broker at 127.0.0.1:{mute.port} is connected but confirms nothing; connecting anew"
    assert {state for state, _ in states} == {"connecting", "down"}
    assert {why for state, why in states if state == "down"} == {told}
    assert (publisher.link.state, publisher.link.reason) == ("down", told)
    assert publisher.link.confirmed is None
    assert errors(caplog) == [f"mqtt: {told}"]


@needs_broker
def test_the_last_acknowledgement_is_noted_though_nothing_happens(broker: Broker, opened: Callable[..., MqttPublisher]) -> None:
    publisher = opened(broker.settings(keepalive=5))
    assert eventually(lambda: publisher.link.confirmed)
    first = needed(publisher.link.confirmed)
    assert eventually(lambda: needed(publisher.link.confirmed) > first + 1)


def test_a_hostile_broker_is_told_and_tried_ever_more_slowly(
    opened: Callable[..., MqttPublisher], caplog: pytest.LogCaptureFixture
) -> None:
    topic = b"\x00\x06\x1b[31mx"
    bomb = b"\x20\x02\x00\x00" + b"\x30\xff\xff\xff\x7f" + topic
    broker = Mute(bomb)
    publisher = opened({"host": "127.0.0.1", "port": broker.port, "protocol": "3.1.1"})
    assert eventually(lambda: broker.connections > 2)
    assert "a message of 256 MB on '\\x1b[31mx'... is over the limit" in needed(publisher.link.reason)
    assert len(errors(caplog)) == 1
    broker.close()


@pytest.mark.parametrize("size", [MAX_PACKET, MAX_PACKET + 1])
def test_what_is_just_small_enough_is_read(size: int) -> None:
    told, client = [], Client(CallbackAPIVersion.VERSION2)
    client.on_oversized = lambda *what: told.append(what)
    here, there = socket.socketpair()
    here.setblocking(False)
    client._sock = here
    number, length = size, b""
    while number:
        number, digit = divmod(number, 128)
        length += bytes([digit | (128 if number else 0)])
    there.sendall(b"\x30" + length + b"\x00\x01a" + b"x" * 1000)
    client.loop_read()
    assert told == ([] if size <= MAX_PACKET else [("a", size)])
    for end in (here, there):
        end.close()
