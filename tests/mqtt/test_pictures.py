"""The pictures of events, as a real broker delivers them."""

import json
from threading import Event as Flag
from typing import Any

import msgspec
import numpy as np
import paho.mqtt.client as paho
import pytest
from fixtures.broker import PASSWORD, USER, Broker, broker, eventually, needs_broker
from fixtures.publishing import ANNA, MODEL, event, settings_for
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from edgeface.config.schema import Config
from edgeface.mqtt.homeassistant import describe
from edgeface.mqtt.publisher import MqttPublisher
from edgeface.types import Box, EventType, Image
from edgeface.vision.images import decode_image
from edgeface.vision.pictures import FACE_SIDE, FRAME_SIDE, frame_jpeg
from edgeface.wire.events import Event

__all__ = ["broker"]
FRAME = np.full((480, 640, 3), 127, np.uint8)
PICTURES = ("image/front/info", "image/front", "frame/front")


class Reader:
    """A subscriber by MQTT 5, which sees the properties of a message."""

    def __init__(self, broker: Broker) -> None:
        self.messages: list[paho.MQTTMessage] = []
        ready = Flag()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.username_pw_set(USER, PASSWORD)
        self._client.on_connect = lambda client, *_: client.subscribe("edgeface/#", 1)
        self._client.on_subscribe = lambda *_: ready.set()
        self._client.on_message = lambda _client, _data, message: self.messages.append(message)
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()
        assert ready.wait(60)

    def until_event(self, event: Event) -> list[paho.MQTTMessage]:
        """The pictures and the event, in the order in which they came."""
        assert eventually(
            lambda: any(event.event_id.encode() in m.payload and m.topic.endswith("/event") for m in self.messages)
        )
        self._client.disconnect()
        self._client.loop_stop()
        wanted = {f"edgeface/door/{name}" for name in (*PICTURES, "event")}
        return [message for message in self.messages if message.topic in wanted]


def published(broker: Broker, event: Event, image: Image | None = FRAME, **mqtt: Any) -> list[paho.MQTTMessage]:
    reader = Reader(broker)
    publisher = MqttPublisher(settings_for(broker.settings(**mqtt)), MODEL)
    publisher.open([ANNA])
    try:
        assert eventually(lambda: publisher.link.state == "up")
        publisher.publish(event, image)
        return reader.until_event(event)
    finally:
        publisher.close()


@needs_broker
def test_a_picture_comes_with_the_id_of_its_event(broker: Broker) -> None:
    news = event(EventType.UNKNOWN)
    messages = published(broker, news, images=True, frames=True)
    assert [message.topic.removeprefix("edgeface/door/") for message in messages] == [*PICTURES, "event"]
    info, face, frame, _ = messages
    assert json.loads(info.payload)["event_id"] == news.event_id
    for picture in (face, frame):
        assert picture.properties.UserProperty == [("event_id", news.event_id)]  # type: ignore[union-attr]
        assert picture.properties.ContentType == "image/jpeg"  # type: ignore[union-attr]
        assert (picture.qos, picture.retain) == (0, False)
    assert max(decode_image(bytes(face.payload), "face").shape) <= FACE_SIDE
    assert decode_image(bytes(frame.payload), "frame").shape == FRAME.shape


@needs_broker
def test_by_mqtt_3_1_1_the_info_names_the_event(broker: Broker) -> None:
    news = event()
    info, face, told = published(broker, news, images=True, protocol="3.1.1")
    assert {json.loads(each.payload)["event_id"] for each in (info, told)} == {news.event_id}
    assert not hasattr(face.properties, "UserProperty")


@needs_broker
@pytest.mark.parametrize(("mqtt", "kind"), [({}, EventType.RECOGNIZED), ({"images": True, "frames": True}, EventType.LEFT)])
def test_no_picture_is_sent_where_none_is_wanted_or_there_is_no_face(
    broker: Broker, mqtt: dict[str, Any], kind: EventType
) -> None:
    assert [message.topic for message in published(broker, event(kind), **mqtt)] == ["edgeface/door/event"]


@needs_broker
def test_a_picture_is_not_sent_late(broker: Broker) -> None:
    broker.stop()
    publisher = MqttPublisher(settings_for(broker.settings(images=True, frames=True)), MODEL)
    news = event()
    publisher.open([ANNA])
    publisher.publish(news, FRAME)  # the broker is away
    broker.start()
    reader = Reader(broker)
    try:
        assert [message.topic for message in reader.until_event(news)] == ["edgeface/door/event"]
    finally:
        publisher.close()


def test_a_frame_is_boxed_in_a_copy_and_scaled_down() -> None:
    large = np.full((1440, 2560, 3), 127, np.uint8)
    picture = decode_image(frame_jpeg(large, Box(1000.0, 400.0, 400.0, 500.0), "Änna"), "frame")
    assert picture.shape == (720, FRAME_SIDE, 3)
    green, grey = picture[300, 500].astype(int), picture[300, 600].astype(int)  # on the box's left edge, and inside
    assert green[1] - green[0] > 60
    assert np.ptp(grey) < 12
    assert (large == 127).all()
    frame_jpeg(FRAME, Box(-50.0, -50.0, 2000.0, 2000.0), None)
    assert (FRAME == 127).all()


def test_a_whole_frame_needs_pictures() -> None:
    with pytest.raises(msgspec.ValidationError, match="no picture is sent without images"):
        msgspec.convert({"mqtt": {"frames": True}}, Config)
    assert "frame" not in describe(settings_for({"images": True}), {})["components"]
    components = describe(settings_for({"images": True, "frames": True}), {})["components"]
    for name in ("image", "frame"):
        assert components[name]["json_attributes_topic"] == "edgeface/door/image/front/info"
