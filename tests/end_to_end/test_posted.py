"""A whole daemon with a webhook, beside a real broker and without one."""

import json
from pathlib import Path

import pytest
from fixtures.broker import Broker, eventually, needs_broker
from fixtures.daemon import EMPTY, enroll, running, settings
from fixtures.receiver import Receiver
from msgspec.structs import replace

from edgeface.config.schema import MqttSettings
from edgeface.vision.images import load_image


@needs_broker
@pytest.mark.parametrize("beside_mqtt", [True, False])
def test_who_is_seen_is_posted_beside_the_broker_and_without_one(tmp_path: Path, demo_photos: Path, beside_mqtt: bool) -> None:
    receiver, broker = Receiver(500), Broker(tmp_path / "broker").start()
    config = settings(tmp_path, broker, webhook={"url": receiver.url, "images": True, "max_event_age": 60})
    config = config if beside_mqtt else replace(config, mqtt=MqttSettings())
    enroll(config, "Anna", demo_photos / "obama_portrait.jpg")
    ear = broker.listen("edgeface/#")
    try:
        with running(config) as stage:
            stage.scene = load_image(demo_photos / "obama_portrait.jpg")
            first, again = receiver.wait_for(2)
            assert first.body == again.body
            posted = json.loads(again.body)
            assert (posted["name"], posted["event_type"]) == ("Anna", "recognized")
            assert posted.pop("image").startswith("/9j/")
            if beside_mqtt:
                assert ear.wait_for("/event")[0] == posted
                health = "edgeface/door/health"
                ear.wait(lambda message: message.topic == health and b'"webhook":{"waiting"' in message.payload)
            stage.scene = EMPTY
    finally:
        broker.close()
        receiver.close()
    assert beside_mqtt or ear.messages == []
    assert eventually(lambda: len(receiver.posts) == 2)
