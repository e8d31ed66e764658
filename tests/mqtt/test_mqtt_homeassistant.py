"""What Home Assistant is told, as far as that can be seen without one; tests/homeassistant has the rest."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import paho.mqtt.client as paho
import pytest
from fixtures.broker import Broker, broker, eventually, needs_broker
from fixtures.optional import needed
from fixtures.publishing import ANNA, BERT, event, finishes, settings_for
from jinja2 import Template
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from edgeface.config.schema import (
    CameraSettings,
    Config,
    EventsSettings,
    HomeAssistantSettings,
    LivenessSettings,
    MqttSettings,
    WebSettings,
)
from edgeface.mqtt.homeassistant import Announcement, describe
from edgeface.mqtt.publisher import MqttPublisher
from edgeface.types import EventType, Person

__all__ = ["broker"]
TOPIC = "homeassistant/device/door/config"


@pytest.fixture
def start(broker: Broker) -> Iterator[Callable[..., MqttPublisher]]:
    built = []

    def build(people: tuple[Person, Person] = (ANNA, BERT), **sections: Any) -> MqttPublisher:
        config = settings_for(broker.settings())
        built.append(MqttPublisher(msgspec.structs.replace(config, homeassistant=HomeAssistantSettings(True), **sections), "m"))
        built[-1].open(people)
        return built[-1]

    yield build
    for publisher in built:
        assert finishes(publisher.close)


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Announcement, "APART", 0.5)


def components(broker: Broker) -> dict[str, Any]:
    told: dict[str, Any] = broker.retained(TOPIC) or {"components": {}}
    return dict(told["components"])


def test_every_component_has_what_home_assistant_wants() -> None:
    config = settings_for({"images": True})
    told = describe(config, {ANNA.id: "Änna", BERT.id: "王"})
    ids = [component["unique_id"] for component in told["components"].values()]
    assert len(set(ids)) == len(ids) == 11
    assert all(each.startswith("edgeface_door_") for each in ids)
    for component in told["components"].values():
        platform, _, name = component["default_entity_id"].partition(".")
        assert platform == component["platform"]
        assert name.startswith("edgeface_door_")
        assert name.isascii()
        assert "object_id" not in component
    silent = {EventType.UNSURE, EventType.PRESENTATION_ATTACK}
    assert told["components"]["event"]["event_types"] == [str(kind) for kind in EventType if kind not in silent]
    assert told["components"][ANNA.id]["default_entity_id"] == "binary_sensor.edgeface_door_anna"
    assert told["components"][BERT.id]["default_entity_id"] == f"binary_sensor.edgeface_door_{BERT.id}"
    assert told["availability_topic"] == "edgeface/door/availability"
    assert told["device"]["identifiers"] == ["edgeface_door"]
    assert told["origin"]["name"] == "edgeface"


def test_visits_in_doubt_and_attacks_are_types_of_event_only_where_they_are_published() -> None:
    config = Config(events=EventsSettings(publish_unsure=True), liveness=LivenessSettings("report", "unnamed"))
    components = describe(config, {})["components"]
    assert components["event"]["event_types"] == [str(kind) for kind in EventType]
    assert "attacks" in components


def test_the_device_says_where_it_is_and_where_its_page_is_for_others() -> None:
    told = describe(Config(web=WebSettings(enabled=True)), {})["device"]
    assert not {"suggested_area", "configuration_url"} & told.keys()
    config = Config(homeassistant=HomeAssistantSettings(area="Hall"), web=WebSettings(enabled=True, hosts=("door.lan",)))
    told = describe(config, {})["device"]
    assert (told["suggested_area"], told["configuration_url"]) == ("Hall", "http://door.lan:8480/")
    assert "configuration_url" not in describe(Config(web=WebSettings(hosts=("door.lan",))), {})["device"]


def test_two_devices_have_nothing_in_common() -> None:
    door, gate = (describe(settings_for({}, device), {ANNA.id: "Anna"}) for device in ("door", "gate"))
    for key in ("unique_id", "default_entity_id"):
        assert not {each[key] for each in door["components"].values()} & {each[key] for each in gate["components"].values()}
    assert Announcement(settings_for({}, "door")).topic != Announcement(settings_for({}, "gate")).topic


def test_there_is_a_picture_only_where_pictures_are_sent() -> None:
    assert "image" not in describe(Config(), {})["components"]
    assert "image" in describe(Config(mqtt=MqttSettings(images=True)), {})["components"]


def test_each_of_several_cameras_has_a_state_an_unknown_sensor_and_a_picture() -> None:
    config = Config(mqtt=MqttSettings(images=True), cameras=(CameraSettings("garden"),))
    told = describe(config, {ANNA.id: "Anna"}, ["camera", "garden"])["components"]
    assert told[ANNA.id]["state_topic"] == told["last_person"]["state_topic"] == "edgeface/edgeface/presence/all"
    assert told["unknown"]["state_topic"] == "edgeface/edgeface/camera/presence"
    assert told["unknown_garden"]["state_topic"] == "edgeface/edgeface/garden/presence"
    assert told["image_garden"]["image_topic"] == "edgeface/edgeface/image/garden"
    assert (told["image"]["name"], told["image_garden"]["name"]) == ("Latest face camera", "Latest face garden")
    state = Template(told["state_garden"]["value_template"])
    assert (
        state.render(value_json={"cameras": [{"name": "camera", "state": "ok"}, {"name": "garden", "state": "lost"}]}) == "lost"
    )
    alone = describe(config, {}, ["camera"])["components"]
    assert not [key for key in alone if "garden" in key or key.startswith("state_")]


def test_what_was_not_ours_is_not_recalled() -> None:
    announcement = Announcement(settings_for({}))
    for payload in (
        b"",
        b"offline",
        b"[]",
        b'{"components": 3}',
        b"\xff",
        b'{"components": {"a": {}}}',
        b'{"x":' + b"[" * 5000,
    ):
        announcement.recall(payload)
    announcement.change()
    announcement._due = 0.0
    assert json.loads(needed(announcement.due({}))) == describe(settings_for({}), {})


@needs_broker
def test_nothing_is_announced_unless_it_is_switched_on(broker: Broker) -> None:
    publisher = MqttPublisher(settings_for(broker.settings()), "m")
    ear = broker.listen("#")
    publisher.open([ANNA])
    ear.wait_for("front/presence")
    assert finishes(publisher.close)
    assert not any(message.topic.startswith("homeassistant") for message in ear.messages)


@needs_broker
def test_people_who_come_go_and_change_are_announced(broker: Broker, start: Callable[..., MqttPublisher]) -> None:
    publisher = start()
    assert eventually(lambda: {ANNA.id, BERT.id} <= components(broker).keys())
    renamed = Person(ANNA.id, "Anna B.", 3, 0.0)
    publisher.people([renamed])
    assert eventually(lambda: components(broker)[ANNA.id]["name"] == "Anna B.")
    assert components(broker)[BERT.id] == {"platform": "binary_sensor"}
    publisher.people([renamed, BERT])
    assert eventually(lambda: components(broker)[BERT.id].get("name") == BERT.name)


@needs_broker
def test_what_is_gone_since_the_last_daemon_is_taken_back_once(broker: Broker, start: Callable[..., MqttPublisher]) -> None:
    ear = broker.listen(TOPIC)
    publisher = start()
    ear.wait_for("/config")
    assert finishes(publisher.close)
    publisher = start([ANNA])
    assert eventually(lambda: components(broker)[BERT.id] == {"platform": "binary_sensor"})
    assert finishes(publisher.close)
    start([ANNA])
    assert eventually(lambda: BERT.id not in components(broker))


@needs_broker
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_it_is_announced_again_when_home_assistant_or_the_broker_is_back(
    broker: Broker, start: Callable[..., MqttPublisher], protocol: str
) -> None:
    ear = broker.listen("#")
    start(mqtt=settings_for(broker.settings(protocol=protocol)).mqtt)
    ear.wait_for("/config")
    ear.say("homeassistant/status", "online")
    ear.wait_for("/config", 2)
    broker.kill()
    (broker.folder / "mosquitto.db").unlink(missing_ok=True)
    broker.start()
    assert eventually(lambda: ANNA.id in components(broker))


@needs_broker
def test_who_was_last_there_is_told_by_the_name_of_today_until_forgotten(
    broker: Broker, start: Callable[..., MqttPublisher]
) -> None:
    publisher = start()
    publisher.publish(event())

    def presence() -> dict[str, Any]:
        return broker.retained("edgeface/door/front/presence") or {"last": None}

    assert eventually(lambda: presence()["last"])
    assert (presence()["last"]["id"], presence()["last"]["name"]) == (ANNA.id, ANNA.name)
    publisher.people([Person(ANNA.id, "Anna B.", 3, 0.0), BERT])
    assert eventually(lambda: presence()["last"]["name"] == "Anna B.")
    assert presence()["people"] == [{"id": ANNA.id, "name": "Anna B."}]
    publisher.people([BERT])
    assert eventually(lambda: presence()["last"] is None)
    assert presence()["people"] == []


def test_a_broker_that_does_not_let_us_ask_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """mosquitto lets everybody subscribe and only delivers nothing; others refuse."""
    publisher, client = MqttPublisher(settings_for({"host": "127.0.0.1"}), "m"), paho.Client(CallbackAPIVersion.VERSION2)
    publisher._on_subscribe(client, None, 1, [ReasonCode(PacketTypes.SUBACK, "Granted QoS 1")], None)
    assert caplog.text == ""
    publisher._on_subscribe(client, None, 2, [ReasonCode(PacketTypes.SUBACK, "Not authorized")], None)
    assert "refuses a subscription" in caplog.text
