import json
import logging
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fixtures.broker import USER, Broker, authority, broker, eventually, free_port, needs_broker, needs_openssl
from fixtures.optional import needed
from fixtures.publishing import ANNA, BERT, HEALTH, MODEL, event, finishes, numbered, numbers, settings_for
from fixtures.receiver import Receiver

from edgeface import publishers
from edgeface.config.schema import Config, MqttSettings
from edgeface.errors import ConfigError
from edgeface.health import BrokerStatus, HealthPayload, health_payload
from edgeface.interfaces import CommandTransport, EventPublisher, SyncTransport
from edgeface.mqtt.inbox import Inbox
from edgeface.mqtt.presence import PresenceState
from edgeface.mqtt.publisher import MqttPublisher
from edgeface.recognition.event_id import new_event_id
from edgeface.types import EventType, Person, Request
from edgeface.wire.events import Corrected, EventPayload, PresencePayload, event_payload

__all__ = ["broker"]
RETAINED = {"edgeface/door/availability", "edgeface/door/health", "edgeface/door/front/presence"}
HEAD = {"schema", "event_type", "event_id", "ts", "device", "camera", "model"}
PERSON = {"track_id", "person_id", "name"}
ON_THE_WIRE = {
    EventType.RECOGNIZED: PERSON | {"score", "threshold", "margin", "probability", "votes", "box", "frame_size", "quality"},
    EventType.UNKNOWN: {"track_id", "score", "threshold", "votes", "box", "frame_size", "quality"},
    EventType.UNSURE: {"track_id", "why", "votes", "seconds"},
    EventType.LEFT: PERSON | {"seconds"},
    EventType.PRESENTATION_ATTACK: PERSON | {"liveness", "liveness_class"},
    EventType.CAMERA_LOST: {"reason"},
    EventType.CAMERA_BACK: {"seconds"},
}


def wire(payload: EventPayload | PresencePayload | HealthPayload) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(msgspec.json.encode(payload))
    return told


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries that a test can wait for."""
    for name, seconds in (("FIRST_PAUSE", 0.1), ("LONGEST_PAUSE", 0.3), ("REFUSED_PAUSE", 0.2)):
        monkeypatch.setattr(MqttPublisher, name, seconds)


@pytest.fixture
def connect() -> Iterator[Callable[..., MqttPublisher]]:
    """Builds open MQTT publishers, and closes them."""
    built = []

    def build(
        mqtt: dict[str, Any], people: Sequence[Person] = (ANNA, BERT), device: str = "door", **more: Any
    ) -> MqttPublisher:
        built.append(MqttPublisher(settings_for(mqtt, device, **more), MODEL))
        built[-1].open(people)
        return built[-1]

    yield build
    for publisher in built:
        assert finishes(publisher.close)


# What stands on the wire


@pytest.mark.parametrize("kind", EventType)
def test_an_event_has_exactly_the_fields_of_its_type(kind: EventType) -> None:
    payload = wire(event_payload(event(kind), "door", MODEL))
    assert set(payload) == HEAD | ON_THE_WIRE[kind]
    assert payload["schema"] == 1
    assert payload["event_type"] == kind.value
    assert (payload["device"], payload["camera"], payload["model"]) == ("door", "front", MODEL)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", payload["ts"])


@pytest.mark.parametrize("kind", [EventType.RECOGNIZED, EventType.UNKNOWN, EventType.LEFT])
def test_a_corrected_name_stands_on_the_wire_with_the_event_that_was_wrong(kind: EventType) -> None:
    payload = wire(event_payload(event(kind, corrected=Corrected("01M86G", BERT.id, BERT.name)), "door", MODEL))
    assert payload["corrected"] == {"event_id": "01M86G", "person_id": BERT.id, "name": "Bert"}
    assert set(payload) == HEAD | ON_THE_WIRE[kind] | {"corrected"}


def test_numbers_of_an_event_are_short_and_boxes_whole() -> None:
    payload = wire(event_payload(event(), "door", MODEL))
    assert payload["score"] == 0.6346
    assert payload["box"] == [412, 180, 96, 118]
    assert payload["frame_size"] == [640, 480]
    assert payload["name"] == "Änna"


def test_event_ids_are_unique_and_sort_by_time() -> None:
    ids = [new_event_id(1_700_000_000 + second) for second in range(200)]
    assert ids == sorted(ids)
    assert len({new_event_id(1_700_000_000) for _ in range(200)}) == 200


def test_presence_and_health_have_exactly_their_fields() -> None:
    state = PresenceState()
    for seen in (replace(event(), wall=1.0), event(EventType.UNKNOWN), event(EventType.UNKNOWN, track_id=19)):
        state.note(seen)
    presence = wire(state.payload())
    assert presence == {
        "schema": 1,
        "ts": presence["ts"],
        "people": [{"id": ANNA.id, "name": ANNA.name}],
        "unknown": 2,
        "last": {"id": ANNA.id, "name": ANNA.name, "ts": "1970-01-01T00:00:01.000Z"},
    }
    health = wire(health_payload(replace(HEALTH, link=BrokerStatus(queue=7, dropped=8)), 0.0))
    camera = {"camera", "camera_state", "camera_reason", "fps", "frames_seen", "frames_dropped"}
    camera |= {"frames_skipped", "fps_limit", "slowed", "frame_size", "faces_masked"}
    machine = {"version", "uptime", "rss_mb", "cpu", "temperature", "throttled", "throttling", "throttled_before"}
    counts = {
        "model",
        "gallery_size",
        "templates",
        "queue_length",
        "events_dropped",
        "events_withheld",
        "unnamed",
        "liveness",
        "broker_reason",
        "broker_confirmed",
    }
    gallery = {"gallery_state", "gallery_reason", "events_unkept"}
    assert set(health) == {"schema", "ts"} | camera | machine | counts | gallery
    assert (health["camera"], health["camera_state"], health["camera_reason"]) == ("front", "ok", None)
    assert (health["gallery_size"], health["templates"]) == (2, 4)
    assert (health["queue_length"], health["events_dropped"]) == (7, 8)


# The contract of every publisher, of which no more is used than the Protocol has


class Through:
    """A publisher as one of its Protocols shows it."""

    def __init__(
        self, protocol: type[EventPublisher] | type[CommandTransport] | type[SyncTransport], publisher: EventPublisher
    ) -> None:
        self._shown, self._publisher = vars(protocol), publisher

    def __getattr__(self, name: str) -> Any:
        assert name in self._shown, f"{name} is none of the Protocol"
        return getattr(self._publisher, name)


CARRIED = {"mqtt": [CommandTransport, SyncTransport], "lines": [], "webhook": []}


def created(name: str, settings: Config) -> tuple[EventPublisher, Through]:
    publisher = publishers.create(name, settings, MODEL)
    return publisher, Through(EventPublisher, publisher)


def carriers(protocol: type[CommandTransport] | type[SyncTransport]) -> list[Any]:
    return [name for name, carried in CARRIED.items() if protocol in carried]


@pytest.mark.parametrize("name", publishers.PUBLISHERS)
def test_it_is_settled_for_every_publisher_what_else_it_carries(name: str) -> None:
    given, _ = created(name, settings_for({"host": "127.0.0.1"}))
    assert [each for each in (CommandTransport, SyncTransport) if isinstance(given, each)] == CARRIED[name]


@needs_broker
@pytest.mark.parametrize("name", publishers.PUBLISHERS)
def test_every_publisher_sends_every_event_once_in_order_and_stops(
    name: str, broker: Broker, capsys: pytest.CaptureFixture[str]
) -> None:
    ear = broker.listen("edgeface/door/event")
    receiver = Receiver()
    _, publisher = created(name, settings_for(broker.settings(), webhook={"url": receiver.url, "events": list(EventType)}))
    events = [event(kind) for kind in EventType]

    def life() -> None:
        publisher.open([ANNA, BERT])
        publisher.health(HEALTH)
        for each in events:
            publisher.publish(each)
        publisher.people([ANNA])
        publisher.close()

    assert finishes(life)
    if name == "mqtt":
        received = ear.wait_for("event", len(events))
    elif name == "webhook":
        received = [json.loads(post.body) for post in receiver.wait_for(len(events))]
    else:
        received = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    receiver.close()
    assert received == [wire(event_payload(each, "door", MODEL)) for each in events]


@pytest.mark.parametrize("name", publishers.PUBLISHERS)
def test_no_publisher_waits_for_a_broker_that_is_not_there(name: str) -> None:
    given, publisher = created(name, settings_for({"host": "127.0.0.1", "port": free_port()}))

    def life() -> None:
        publisher.open([])
        for number in range(300):
            publisher.publish(numbered(number))
            publisher.health(HEALTH)
            if isinstance(given, CommandTransport):
                given.respond("people", b"{}")
                assert list(given.requests()) == []
            if isinstance(given, SyncTransport):
                given.share("0" * 32, b"{}")
                assert given.shared() == (0, {})
        assert publisher.link.state in ("none", "connecting", "down")
        publisher.close(publishers.create("lines", settings_for({}), MODEL))

    assert finishes(life)


@needs_broker
@pytest.mark.parametrize("name", carriers(CommandTransport))
def test_every_command_transport_hands_on_requests_once_and_answers(name: Any, broker: Broker) -> None:
    given, publisher = created(name, settings_for(broker.settings(), commands={"allow": ["people"]}))
    commands, ear = Through(CommandTransport, given), broker.listen()
    publisher.open([])
    ear.wait_for("front/presence")
    came: list[Request] = []
    ear.say("edgeface/door/cmd/people", {"id": "1"})

    def hears() -> bool:
        came.extend(commands.requests())
        return bool(came)

    assert eventually(hears)
    assert [(request.verb, json.loads(request.payload)) for request in came] == [("people", {"id": "1"})]
    assert list(commands.requests()) == []
    commands.respond("people", b'{"ok": true}')
    assert ear.wait_for("resp/people") == [{"ok": True}]
    assert finishes(publisher.close)


@needs_broker
@pytest.mark.parametrize("name", carriers(SyncTransport))
def test_every_sync_transport_is_told_once_what_the_other_side_keeps(name: Any, broker: Broker) -> None:
    sync = {"enabled": True, "topic": "edgeface/gallery/home"}
    given, publisher = created(name, settings_for(broker.settings(), sync=sync))
    transport, came = Through(SyncTransport, given), {}
    publisher.open([])
    assert eventually(lambda: transport.shared()[0])
    transport.share("0" * 32, b"sealed")
    assert eventually(lambda: came.update(transport.shared()[1]) or came)
    assert came == {"0" * 32: b"sealed"}
    assert transport.shared() == (1, {})
    assert finishes(publisher.close)


# MQTT


@needs_broker
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_state_is_kept_and_news_is_not(broker: Broker, connect: Callable[..., MqttPublisher], protocol: str) -> None:
    ear = broker.listen()
    publisher = connect(broker.settings(protocol=protocol))
    ear.wait_for("/presence")
    assert broker.retained("edgeface/door/availability") == "online"
    assert ear.on(f"person/{ANNA.id}/state") == ear.on(f"person/{BERT.id}/state") == ["OFF"]

    publisher.health(HEALTH)
    publisher.publish(event())
    publisher.publish(event(EventType.UNKNOWN))
    ear.wait_for("front/presence", 3)
    ear.wait_for("/event", 2)
    assert ear.on(f"person/{ANNA.id}/state") == ["OFF", "ON"]
    seen = broker.retained("edgeface/door/front/presence")
    assert seen["people"] == [{"id": ANNA.id, "name": ANNA.name}]
    assert seen["unknown"] == 1
    assert broker.state("edgeface/door/health")["gallery_size"] == 2
    assert broker.retained("edgeface/door/event") is None
    assert broker.retained(f"edgeface/door/person/{ANNA.id}/state") is None
    assert {message.qos for message in ear.messages if not message.topic.endswith("health")} == {1}

    publisher.publish(event(EventType.LEFT))
    publisher.publish(event(EventType.LEFT, track_id=18, person_id=None, name=None))
    ear.wait_for("front/presence", 5)
    assert ear.on(f"person/{ANNA.id}/state") == ["OFF", "ON", "OFF"]
    seen = broker.retained("edgeface/door/front/presence")
    assert (seen["people"], seen["unknown"]) == ([], 0)

    assert finishes(publisher.close)
    assert broker.retained("edgeface/door/availability") == "offline"


@needs_broker
def test_a_person_whose_track_became_somebody_elses_stays_present(
    broker: Broker, connect: Callable[..., MqttPublisher]
) -> None:
    ear = broker.listen()
    publisher = connect(broker.settings())
    ear.wait_for("front/presence")
    publisher.publish(event())
    publisher.publish(event(person_id=BERT.id, name=BERT.name))  # the same track_id as Anna's visit began with
    publisher.publish(event(EventType.LEFT))
    ear.wait_for("front/presence", 4)
    assert broker.state("edgeface/door/front/presence")["people"] == [{"id": BERT.id, "name": BERT.name}]


@needs_broker
def test_who_is_enrolled_or_forgotten_later_is_off(broker: Broker, connect: Callable[..., MqttPublisher]) -> None:
    ear = broker.listen()
    publisher = connect(broker.settings())
    ear.wait_for("front/presence")
    newcomer = Person("p_00000000000000cc", "Eve", 1, 0.0)
    publisher.people([ANNA, newcomer])
    ear.wait_for(f"person/{newcomer.id}/state")
    ear.wait_for(f"person/{BERT.id}/state", 2)
    assert ear.on(f"person/{newcomer.id}/state") == ["OFF"]
    assert ear.on(f"person/{BERT.id}/state") == ["OFF", "OFF"]
    assert ear.on(f"person/{ANNA.id}/state") == ["OFF"]


@needs_broker
def test_names_stand_in_payloads_and_never_in_topics(broker: Broker, connect: Callable[..., MqttPublisher]) -> None:
    ear = broker.listen("#")
    odd = Person("p_00000000000000cc", "../+/# Eve", 1, 0.0)
    connect(broker.settings(), [odd]).publish(event(person_id=odd.id, name=odd.name))
    assert ear.wait_for("/event")[0]["name"] == odd.name
    assert not any("Eve" in message.topic for message in ear.messages)


@needs_broker
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_killed_daemon_is_offline_by_its_will(broker: Broker, protocol: str) -> None:
    ear = broker.listen()
    script = (
        "import sys, time, msgspec\n"
        "from edgeface.config.schema import Config\n"
        "from edgeface.mqtt.publisher import MqttPublisher\n"
        "MqttPublisher(msgspec.json.decode(sys.argv[1], type=Config), 'm').open([])\n"
        "time.sleep(60)\n"
    )
    settings = msgspec.json.encode(settings_for(broker.settings(protocol=protocol))).decode()
    daemon = subprocess.Popen([sys.executable, "-c", script, settings], cwd=Path(__file__).parent.parent.parent)
    try:
        assert ear.wait_for("availability") == ["online"]
    finally:
        daemon.kill()
        daemon.wait(10)
    assert ear.wait_for("availability", 2) == ["online", "offline"]
    assert broker.retained("edgeface/door/availability") == "offline"


@needs_broker
def test_after_a_restart_of_the_broker_all_state_is_told_again(
    broker: Broker, connect: Callable[..., MqttPublisher], caplog: pytest.LogCaptureFixture
) -> None:
    ear = broker.listen()
    publisher = connect(broker.settings())
    ear.wait_for("front/presence")
    publisher.health(HEALTH)
    publisher.publish(event())
    ear.wait_for("front/presence", 2)
    ear.wait_for("health")
    health = broker.state("edgeface/door/health")["ts"]
    broker.stop()
    assert eventually(lambda: complaints(caplog))
    before = len(ear.messages)
    broker.start()
    ear.wait_for("front/presence", 3)
    assert eventually(lambda: broker.state("edgeface/door/health")["ts"] > health)
    again = {message.topic.removeprefix("edgeface/door/"): message.payload for message in ear.messages[before:]}
    assert again["availability"] in (b"online", b"offline")
    assert ear.on("availability")[-1] == "online"
    assert again[f"person/{ANNA.id}/state"] == b"ON"
    assert again[f"person/{BERT.id}/state"] == b"OFF"
    assert json.loads(again["front/presence"])["people"] == [{"id": ANNA.id, "name": ANNA.name}]
    assert "event" not in again
    assert len(complaints(caplog)) <= 2  # lost, and not to be reached: each once, however many tries


@needs_broker
def test_after_an_outage_young_events_come_and_old_ones_are_counted(
    broker: Broker, connect: Callable[..., MqttPublisher]
) -> None:
    ear = broker.listen()
    broker.stop()
    publisher = connect(broker.settings(max_event_age=30))
    for number, age in enumerate((100.0, 31.0, 5.0, 0.0)):
        publisher.publish(numbered(number, age=age))
    publisher.health(HEALTH)
    broker.start()
    assert numbers(ear.wait_for("/event", 2)) == [2, 3]

    def counted() -> bool:
        publisher.health(HEALTH)  # the broker's confirmations may come after the events
        return any(told["events_dropped"] == 2 and told["queue_length"] == 0 for told in ear.on("health"))

    assert eventually(counted)
    publisher.publish(numbered(4))
    assert numbers(ear.wait_for("/event", 3)) == [2, 3, 4]


@needs_broker
def test_an_event_turns_old_while_it_waits(broker: Broker, connect: Callable[..., MqttPublisher]) -> None:
    ear = broker.listen()
    broker.stop()
    publisher = connect(broker.settings(max_event_age=0.2))
    publisher.publish(numbered(1))
    time.sleep(0.5)
    broker.start()
    ear.wait_for("front/presence")
    publisher.health(HEALTH)
    assert ear.wait_for("health")[-1]["events_dropped"] == 1
    assert ear.on("/event") == []


@needs_broker
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_broker_that_wakes_up_late_delivers_no_old_news(
    broker: Broker, connect: Callable[..., MqttPublisher], protocol: str
) -> None:
    ear = broker.listen()
    publisher = connect(broker.settings(max_event_age=2.0, protocol=protocol))
    ear.wait_for("front/presence")
    time.sleep(2 * MqttPublisher.FRESH)
    broker.pause()
    publisher.publish(numbered(1))
    time.sleep(2.5)
    broker.resume()
    publisher.publish(numbered(2))
    assert numbers(ear.wait_for("/event")) == [2]
    publisher.health(HEALTH)
    assert eventually(lambda: any(told["events_dropped"] == 1 for told in ear.on("health")))


@needs_broker
def test_how_it_stands_with_the_broker_is_told(broker: Broker, connect: Callable[..., MqttPublisher]) -> None:
    wrong = broker.password_file.with_name("wrong")
    wrong.write_text("sesame open\n")
    publisher = connect(broker.settings(password_file=str(wrong)))
    assert eventually(lambda: publisher.link.state == "down" and "refuses" in needed(publisher.link.reason))
    publisher = connect(broker.settings())
    assert eventually(lambda: publisher.link.state == "up")
    assert publisher.link.reason is None
    broker.kill()
    assert eventually(lambda: publisher.link.state == "down" and "lost the broker" in needed(publisher.link.reason))
    publisher.publish(numbered(1))
    assert (publisher.link.queue, publisher.link.dropped) == (1, 0)


def test_what_waits_is_told_of_nobody_who_was_forgotten_meanwhile() -> None:
    publisher = MqttPublisher(settings_for({"host": "127.0.0.1", "port": free_port()}), MODEL)
    publisher.open([ANNA, BERT])
    for kind in (EventType.RECOGNIZED, EventType.UNKNOWN):
        publisher.publish(event(kind))
    publisher.people([BERT])
    assert (publisher.link.queue, publisher.link.dropped) == (1, 1)
    publisher.close()


@needs_broker
def test_another_publisher_takes_over_what_waits_and_who_is_present(
    broker: Broker, connect: Callable[..., MqttPublisher]
) -> None:
    ear = broker.listen()
    before = connect(broker.settings(port=free_port()))
    before.publish(event(EventType.RECOGNIZED))
    before._inbox.add_request("people", b"{}")
    before.close()
    after = MqttPublisher(Config(mqtt=MqttSettings(**broker.settings())), MODEL)
    after.take_over(before)
    after.open([ANNA])
    assert after.requests() == [Request("people", b"{}")]
    assert [told["event_type"] for told in ear.wait_for("/event")] == ["recognized"]
    assert [person["id"] for person in ear.wait_for("/presence")[0]["people"]] == [ANNA.id]
    after.close()


@needs_broker
@pytest.mark.parametrize(
    ("changes", "gone"),
    [
        ({}, set()),
        ({"homeassistant": {"enabled": False}}, {"homeassistant/device/door/config"}),
        ({"camera": {"name": "back"}}, {"edgeface/door/front/presence"}),
        ({"mqtt": {"host": ""}}, {"homeassistant/device/door/config", *RETAINED}),
        ({"device": {"id": "gate"}}, {"homeassistant/device/door/config", *RETAINED}),
    ],
    ids=["nothing", "homeassistant", "camera", "mqtt", "device"],
)
def test_who_is_replaced_leaves_no_name_where_the_heir_puts_none(
    broker: Broker, changes: dict[str, dict[str, bool | str]], gone: set[str]
) -> None:
    given = {
        "device": {"id": "door"},
        "camera": {"name": "front"},
        "homeassistant": {"enabled": True},
        "mqtt": broker.settings(),
    }
    before = MqttPublisher(msgspec.convert(given, Config), MODEL)
    before.open([ANNA])
    before.health(HEALTH)
    topics = {"homeassistant/device/door/config", *RETAINED}
    assert eventually(lambda: all(broker.retained(topic) for topic in topics))
    heir = msgspec.convert(given | changes, Config)
    before.close(publishers.create("mqtt" if heir.mqtt.host else "lines", heir, MODEL))
    assert {topic for topic in topics if broker.retained(topic) is None} == gone


@needs_broker
def test_a_full_queue_drops_its_oldest_and_counts_them(broker: Broker, connect: Callable[..., MqttPublisher]) -> None:
    ear = broker.listen()
    broker.stop()
    publisher = connect(broker.settings(queue=3, max_event_age=60))
    for number in range(10):
        publisher.publish(numbered(number))
    publisher.health(HEALTH)
    broker.start()
    assert numbers(ear.wait_for("/event", 3)) == [7, 8, 9]
    publisher.health(HEALTH)
    assert eventually(lambda: any(told["events_dropped"] == 7 for told in ear.on("health")))


@needs_broker
def test_events_that_a_dying_broker_never_confirmed_come_later(broker: Broker, connect: Callable[..., MqttPublisher]) -> None:
    ear = broker.listen()
    publisher = connect(broker.settings(max_event_age=60))
    ear.wait_for("front/presence")
    assert eventually((broker.folder / "mosquitto.db").exists)
    broker.pause()

    def publish() -> None:
        for number in range(50):
            publisher.publish(numbered(number))

    assert finishes(publish)
    broker.kill()
    broker.start()
    assert eventually(lambda: set(numbers(ear.on("/event"))) == set(range(50)))


@needs_broker
def test_a_broker_that_hangs_does_not_hang_the_daemon(broker: Broker, connect: Callable[..., MqttPublisher]) -> None:
    ear = broker.listen()
    publisher = connect(broker.settings())
    ear.wait_for("front/presence")
    broker.pause()

    def life() -> None:
        for number in range(200):
            publisher.publish(numbered(number))
            publisher.health(HEALTH)
        publisher.close()

    try:
        assert finishes(life)
    finally:
        broker.resume()


@needs_broker
def test_an_event_that_has_waited_gives_the_broker_its_time_all_the_same(
    broker: Broker, connect: Callable[..., MqttPublisher], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MqttPublisher, "FRESH", 60.0)
    ear = broker.listen()
    publisher = connect(broker.settings(max_event_age=6.0))
    publisher.publish(numbered(0))
    ear.wait_for("/event")
    broker.pause()
    publisher.publish(numbered(1, age=5.0))
    time.sleep(1.5)
    broker.resume()
    assert numbers(ear.wait_for("/event", 2)) == [0, 1]
    assert complaints(caplog) == []
    assert publisher.link.dropped == 0


@needs_broker
def test_a_broker_that_hangs_does_not_break_the_bound_of_the_queue(
    broker: Broker, connect: Callable[..., MqttPublisher]
) -> None:
    ear = broker.listen()
    publisher = connect(broker.settings(queue=10, max_event_age=60))
    ear.wait_for("front/presence")
    broker.pause()
    for number in range(100):
        publisher.publish(numbered(number))
    broker.resume()
    publisher.publish(numbered(100))
    assert eventually(lambda: 100 in numbers(ear.on("/event")))
    # 20 may be on their way: MQTT's usual window of unconfirmed messages.
    assert len(ear.on("/event")) <= 10 + 20 + 1


@needs_broker
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_refused_password_is_told_once_and_mended_without_a_restart(
    broker: Broker, connect: Callable[..., MqttPublisher], caplog: pytest.LogCaptureFixture, protocol: str
) -> None:
    wrong = broker.password_file.with_name("wrong")
    wrong.write_text("guess\n")
    connect(broker.settings(password_file=str(wrong), protocol=protocol))
    assert eventually(lambda: broker.log().count("not authorised") >= 3), broker.log()
    (told,) = complaints(caplog)
    assert "not authorized" in told.lower()
    assert f"127.0.0.1:{broker.port}" in told
    wrong.write_text(broker.password_file.read_text())
    assert eventually(lambda: broker.retained("edgeface/door/availability") == "online")


@needs_broker
def test_an_absent_broker_is_told_once(connect: Callable[..., MqttPublisher], caplog: pytest.LogCaptureFixture) -> None:
    port = free_port()
    connect({"host": "127.0.0.1", "port": port})
    assert eventually(lambda: complaints(caplog))
    time.sleep(1.0)
    (told,) = complaints(caplog)
    assert f"127.0.0.1:{port}" in told


@needs_broker
def test_access_control_that_forbids_to_publish_is_told(
    tmp_path: Path, connect: Callable[..., MqttPublisher], caplog: pytest.LogCaptureFixture
) -> None:
    broker = Broker(tmp_path / "strict", acl=f"user {USER}\ntopic read #\n").start()
    try:
        publisher = connect(broker.settings())
        publisher.publish(event())
        assert eventually(lambda: any("access control" in told for told in complaints(caplog))), broker.log()
    finally:
        broker.close()


@needs_broker
@needs_openssl
def test_tls_works_with_the_right_authority_and_not_with_another(
    tmp_path: Path, connect: Callable[..., MqttPublisher], caplog: pytest.LogCaptureFixture
) -> None:
    ours, foreign = authority(tmp_path / "ours"), authority(tmp_path / "foreign")
    broker = Broker(tmp_path / "tls", tls=ours).start()
    try:
        ear = broker.listen()
        for name, settings in (
            ("foreign", {"ca_file": str(foreign / "ca.pem")}),
            ("system", {}),
            ("good", {"ca_file": str(ours / "ca.pem")}),
        ):
            connect(broker.settings(tls=True, **settings), device=name)
        ear.wait(lambda message: message.topic == "edgeface/good/availability")
        assert eventually(lambda: len(complaints(caplog)) == 2)
        assert all("certificate verify failed" in told for told in complaints(caplog))
        time.sleep(1.0)
        assert {message.topic.split("/")[1] for message in ear.messages} == {"good"}
    finally:
        broker.close()


@needs_broker
def test_a_second_device_of_the_same_id_is_told_apart_from_a_lost_broker(
    broker: Broker, connect: Callable[..., MqttPublisher], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MqttPublisher, "REFUSED_PAUSE", 60.0)
    ear = broker.listen()
    connect(broker.settings())
    ear.wait_for("front/presence")
    connect(broker.settings())
    ear.wait_for("front/presence", 2)
    assert eventually(lambda: complaints(caplog))
    (told,) = complaints(caplog)
    assert "'door'" in told
    assert "another client" in told
    assert eventually(lambda: broker.retained("edgeface/door/availability") == "online")


@needs_broker
def test_devices_with_ids_of_their_own_share_a_broker(
    broker: Broker, connect: Callable[..., MqttPublisher], caplog: pytest.LogCaptureFixture
) -> None:
    ear = broker.listen()
    for device in ("door", "gate"):
        connect(broker.settings(), device=device).publish(event())
    ear.wait_for("door/event")
    ear.wait_for("gate/event")
    assert complaints(caplog) == []


@needs_broker
def test_the_base_of_the_topics_can_be_chosen(broker: Broker, connect: Callable[..., MqttPublisher]) -> None:
    ear = broker.listen("home/faces/#")
    connect(broker.settings(base="home/faces/")).publish(event())
    ear.wait_for("home/faces/event")
    assert broker.retained("home/faces/availability") == "online"


@pytest.mark.parametrize(
    "broken", [{"password_file": "{}/absent"}, {"password_file": "{}"}, {"tls": True, "ca_file": "{}/absent"}]
)
def test_an_unreadable_secret_is_refused_at_the_start(tmp_path: Path, broken: dict[str, str | Any] | dict[str, str]) -> None:
    broken = {name: value.format(tmp_path) if isinstance(value, str) else value for name, value in broken.items()}
    with pytest.raises(ConfigError) as caught:
        publishers.create("mqtt", settings_for({"host": "127.0.0.1", "username": USER} | broken), MODEL)
    assert str(tmp_path) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_certificate_file_that_is_none_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(ConfigError, match=r"mqtt\.ca_file"):
        publishers.create("mqtt", Config(mqtt=MqttSettings("127.0.0.1", tls=True, ca_file=str(tmp_path / "ca.pem"))), MODEL)


@needs_broker
def test_the_shared_gallery_is_kept_within_bounds_until_it_is_taken(
    broker: Broker, connect: Callable[..., MqttPublisher], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Inbox, "MAX_SHARED", 3)
    monkeypatch.setattr(Inbox, "MAX_SHARED_BYTES", 1000)
    publisher = connect(broker.settings(), sync={"enabled": True, "topic": "edgeface/gallery/home"})
    assert eventually(lambda: publisher.shared()[0] == 1)
    ear = broker.listen("edgeface/door/#")
    names = [f"{number:032x}" for number in range(4)]
    sent = [("no-name", 1), (names[0], 900), (names[1], 200), (names[0], 300), (names[1], 200), (names[2], 1), (names[3], 1)]
    for name, size in sent:
        ear.say(f"edgeface/gallery/home/{name}", bytes(size))
    assert eventually(lambda: names[2] in publisher._inbox._shared)
    assert publisher.shared(1) == (1, {})
    assert {name: len(data) for name, data in publisher.shared()[1].items()} == {names[0]: 300, names[1]: 200, names[2]: 1}
