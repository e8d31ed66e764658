"""Who is home at a real broker: what publishers of several devices keep there, and what Home Assistant is told of it."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fixtures.broker import Broker, broker, eventually, needs_broker
from fixtures.contract import problems
from fixtures.publishing import ANNA, BERT, HEALTH, event, finishes, settings_for

from edgeface.config.schema import Config
from edgeface.mqtt.home import Whereabouts
from edgeface.mqtt.publisher import MqttPublisher
from edgeface.mqtt.retained import clear
from edgeface.mqtt.trackers import Trackers, describe_person, tracker_topic
from edgeface.types import EventType

__all__ = ["broker"]
HOME = "edgeface/people/home/"
Start = Callable[..., MqttPublisher]


def config(broker: Broker, device: str, *, home: bool = True, **mqtt: Any) -> Config:
    sections = {"home": {"enabled": home}, "homeassistant": {"enabled": True}}
    return settings_for(broker.settings(**mqtt), device, **sections)


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Whereabouts, "SETTLE_S", 0.5)
    monkeypatch.setattr(Whereabouts, "APART_S", 0.2)
    monkeypatch.setattr(Trackers, "APART", 0.5)


@pytest.fixture
def start(broker: Broker) -> Iterator[Start]:
    built = []

    def build(device: str, people: Any = (ANNA, BERT), **mqtt: Any) -> MqttPublisher:
        built.append(MqttPublisher(config(broker, device, **mqtt), "m"))
        built[-1].health(HEALTH)
        built[-1].open(people)
        return built[-1]

    yield build
    for publisher in built:
        assert finishes(publisher.close)


def kept(broker: Broker, person_id: str = ANNA.id) -> dict[str, Any]:
    told: dict[str, Any] = broker.retained(HOME + person_id) or {"devices": {}, "present": None}
    return told


def tracker(broker: Broker, person_id: str = ANNA.id) -> dict[str, Any] | None:
    told: dict[str, Any] | None = broker.retained(f"homeassistant/device/edgeface/{person_id}/config")
    return told


def test_a_person_is_a_device_with_what_home_assistant_wants() -> None:
    told = describe_person(f"{HOME}{ANNA.id}", ANNA.id, "Änna", ["edgeface/door/availability", "edgeface/gate/availability"])
    components = told["components"]
    assert (
        components["home"]
        | {
            "platform": "device_tracker",
            "name": None,
            "state_topic": HOME + ANNA.id,
            "source_type": "router",
            "unique_id": f"edgeface_{ANNA.id}_home",
            "default_entity_id": "device_tracker.edgeface_anna",
        }
        == components["home"]
    )
    assert {one["default_entity_id"] for one in components.values()} == {
        "device_tracker.edgeface_anna",
        "binary_sensor.edgeface_anna_present",
        "sensor.edgeface_anna_last_seen",
        "sensor.edgeface_anna_last_place",
    }
    assert len({one["unique_id"] for one in components.values()}) == len(components)
    assert (told["availability_mode"], [one["topic"] for one in told["availability"]]) == (
        "any",
        ["edgeface/door/availability", "edgeface/gate/availability"],
    )
    assert (told["device"]["identifiers"], told["device"]["name"]) == ([f"edgeface_{ANNA.id}"], "Änna")
    chinese = describe_person(f"{HOME}{BERT.id}", BERT.id, "王", [])["components"]["home"]
    assert chinese["default_entity_id"] == f"device_tracker.edgeface_{BERT.id}"
    assert tracker_topic(Config(), ANNA.id) == f"homeassistant/device/edgeface/{ANNA.id}/config"


@needs_broker
def test_nothing_is_kept_of_who_is_home_unless_it_is_switched_on(broker: Broker, start: Start) -> None:
    ear = broker.listen("#")
    publisher = start("door", home=False)
    publisher.publish(event())
    ear.wait_for("/event")
    ear.wait_for("door/config")
    assert publisher.home is None
    assert not any(message.topic.startswith(HOME) or "/edgeface/" in message.topic for message in ear.messages)


@needs_broker
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_two_devices_keep_one_state_of_a_person_and_one_tracker(broker: Broker, start: Start, protocol: str) -> None:
    door, gate = start("door", protocol=protocol), start("gate", protocol=protocol)
    both = {"door", "gate"}
    assert eventually(lambda: kept(broker)["devices"].keys() == kept(broker, BERT.id)["devices"].keys() == both)
    assert kept(broker)["state"] == "not_home"
    gate.publish(event())
    assert eventually(lambda: kept(broker)["present"])
    assert {**kept(broker), "state": "home", "device": "gate", "camera": "front", "name": ANNA.name} == kept(broker)
    door.note(event())  # of a muted person
    assert eventually(lambda: kept(broker)["devices"]["door"]["state"] == "present")
    gate.publish(event(EventType.LEFT))
    assert eventually(lambda: kept(broker)["devices"]["gate"]["state"] == "left")
    assert (kept(broker)["present"], kept(broker)["device"]) == (True, "door")
    assert problems("Who is home", json.dumps(kept(broker))) == []
    for publisher in (door, gate):
        assert eventually(lambda: [one.person_id for one in publisher.home or ()] == [ANNA.id])  # noqa: B023
    online = [{"topic": "edgeface/door/availability"}, {"topic": "edgeface/gate/availability"}]
    assert eventually(lambda: (tracker(broker) or {})["availability"] == online)

    assert finishes(door.close)  # nobody is told that they left
    door.people([BERT])
    gate.people([BERT])
    assert eventually(lambda: broker.retained(HOME + ANNA.id) is None and tracker(broker) is None)
    assert tracker(broker, BERT.id) is not None


@needs_broker
def test_a_daemon_that_stops_says_that_everybody_has_left(broker: Broker, start: Start) -> None:
    door = start("door")
    assert eventually(lambda: kept(broker)["devices"])
    door.publish(event())
    door.publish(event(EventType.LEFT))
    assert finishes(door.close)
    assert (kept(broker)["present"], kept(broker)["state"]) == (False, "home")


@needs_broker
def test_a_killed_broker_is_told_again_and_home_assistant_too(broker: Broker, start: Start) -> None:
    door = start("door")
    door.publish(event())
    assert eventually(lambda: kept(broker)["present"] and tracker(broker))
    broker.kill()
    (broker.folder / "mosquitto.db").unlink(missing_ok=True)
    broker.start()
    assert eventually(lambda: kept(broker)["present"] and tracker(broker))
    ear = broker.listen("homeassistant/#")
    ear.wait_for(f"{ANNA.id}/config")
    ear.say("homeassistant/status", "online")
    ear.wait_for(f"{ANNA.id}/config", 2)


@needs_broker
def test_who_was_forgotten_while_no_daemon_ran_is_removed(broker: Broker, start: Start) -> None:
    door = start("door")
    door.publish(event())
    assert eventually(lambda: kept(broker)["present"] and tracker(broker))
    assert finishes(door.close)
    start("door", (BERT,))
    assert eventually(lambda: broker.retained(HOME + ANNA.id) is None and tracker(broker) is None)
    assert kept(broker, BERT.id)["devices"]


@needs_broker
def test_new_settings_without_it_remove_what_is_kept_unless_others_go_on(broker: Broker, start: Start) -> None:
    door, gate = start("door"), start("gate")
    assert eventually(lambda: kept(broker)["devices"].keys() == {"door", "gate"})
    heir = MqttPublisher(config(broker, "door", home=False), "m")
    assert finishes(lambda: door.close(heir))
    assert eventually(lambda: kept(broker)["devices"] and tracker(broker))  # by the one that goes on
    last = MqttPublisher(config(broker, "gate", home=False), "m")
    assert finishes(lambda: gate.close(last))
    assert eventually(lambda: broker.retained(HOME + ANNA.id) is None and tracker(broker) is None)


@needs_broker
def test_new_settings_with_it_keep_who_is_known_to_be_home(broker: Broker, start: Start) -> None:
    door = start("door")
    door.publish(event())
    assert eventually(lambda: kept(broker).get("state") == "home")
    broker.kill()
    (broker.folder / "mosquitto.db").unlink(missing_ok=True)
    heir = MqttPublisher(config(broker, "door"), "m")
    assert finishes(lambda: door.close(heir))
    broker.start()
    heir.open((ANNA, BERT))
    assert eventually(lambda: kept(broker).get("present"))
    heir.publish(event(EventType.LEFT))
    assert eventually(lambda: kept(broker)["devices"]["door"]["state"] == "left")
    assert finishes(heir.close)


@needs_broker
def test_clear_removes_what_this_device_has_seen_and_leaves_others_alone(broker: Broker, start: Start) -> None:
    door, gate = start("door", (ANNA,)), start("gate", (BERT,))
    assert eventually(lambda: kept(broker)["devices"] and tracker(broker))
    assert eventually(lambda: kept(broker, BERT.id)["devices"] and tracker(broker, BERT.id))
    for publisher in (door, gate):
        assert finishes(publisher.close)
    removed = clear(config(broker, "door"))
    assert {HOME + ANNA.id, tracker_topic(Config(), ANNA.id)} <= set(removed)
    assert (broker.retained(HOME + ANNA.id), tracker(broker)) == (None, None)
    assert kept(broker, BERT.id)["devices"].keys() == {"gate"}
    assert tracker(broker, BERT.id) is not None
