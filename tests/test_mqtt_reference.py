import json
import os
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.broker import Broker, needs_broker
from fixtures.commandline import Cli
from fixtures.contract import DOCS, problems
from fixtures.daemon import EMPTY, enroll, running, settings
from fixtures.optional import needed
from jsonschema import Draft7Validator, Draft202012Validator

from edgeface.demo.screen import on_screen
from edgeface.mqtt.commands import COMMANDS
from edgeface.mqtt_reference import schemas, write
from edgeface.types import EventType
from edgeface.vision.images import load_image
from edgeface.wire.events import EVENTS
from edgeface.wire.topics import TOPICS

BASE = "edgeface/door/"
ASYNCAPI = json.loads((DOCS / "asyncapi.json").read_text())
SPECIFICATION = Path(os.environ.get("EDGEFACE_ASYNCAPI", "."))


def test_the_committed_documents_are_those_that_the_command_writes(tmp_path: Path) -> None:
    for path in write(tmp_path):
        committed = DOCS / path.relative_to(tmp_path)
        assert committed.read_text() == path.read_text(), "edgeface mqtt docs docs"
    assert {path.name for path in (DOCS / "schemas").iterdir()} == set(schemas())


def test_the_command_writes_the_documents_and_tells_what_is_in_its_way(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli("mqtt", "docs", tmp_path / "out")
    assert (tmp_path / "out/mqtt.md").read_text() == (DOCS / "mqtt.md").read_text()
    (tmp_path / "file").touch()
    assert "file" in cli.refusal("mqtt", "docs", tmp_path / "file")


def test_a_field_s_own_description_goes_before_that_of_its_type() -> None:
    (row,) = [line for line in (DOCS / "mqtt.md").read_text().splitlines() if line.startswith("| `corrected` |")]
    assert "this one ends its visit, or stands in its place; may be absent" in row


@pytest.mark.parametrize("name", schemas())
def test_every_schema_is_a_schema(name: str) -> None:
    Draft202012Validator.check_schema(schemas()[name])


def test_every_event_has_a_payload() -> None:
    assert set(EVENTS) == set(EventType)


def test_the_examples_of_the_page_are_what_the_schemas_allow() -> None:
    text = (DOCS / "mqtt.md").read_text()
    sections = [section.split("```json\n") for section in re.split(r"^##+ ", text, flags=re.M)]
    blocks = {section[0].split("\n")[0]: section[1].split("```")[0] for section in sections if len(section) > 1}
    assert list(blocks) == ["event", "Pictures", "presence", "health", *COMMANDS, "Shared gallery", "Who is home"]
    named = {"presence": "front/presence", "Pictures": "image/front/info"}
    for name, examples in blocks.items():
        topics = [f"cmd/{name}", f"resp/{name}"] if name in COMMANDS else [named.get(name, name)]
        for number, example in enumerate(examples.splitlines()):
            assert problems(topics[number % len(topics)], example) == []


def test_a_schema_refuses_what_it_should_and_lets_new_fields_pass() -> None:
    text = (DOCS / "mqtt.md").read_text()
    example = json.loads(needed(re.search(r"^{.*recognized.*}$", text, re.M))[0])
    assert problems("event", json.dumps(example | {"new": 1})) == []
    for wrong in ({"score": "high"}, {"schema": 2}, {"ts": "today"}, {"event_type": "seen"}, {"box": [1, 2, 3]}):
        assert problems("event", json.dumps(example | wrong)) != [], wrong
    for name in ("person_id", "score", "event_id"):
        assert problems("event", json.dumps({key: value for key, value in example.items() if key != name})) != []


def _checker(payload: dict[str, Any]) -> Draft7Validator:
    return Draft7Validator(payload | {"components": ASYNCAPI["components"]})


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    text = json.dumps(ASYNCAPI)
    for reference in set(re.findall(r'"\$ref": "#/(.*?)"', text)):
        found = ASYNCAPI
        for key in reference.split("/"):
            found = found[key]
    parameters = {name for channel in ASYNCAPI["channels"].values() for name in channel["parameters"]}
    assert parameters == {name for one in ASYNCAPI["channels"].values() for name in re.findall("{(.*?)}", one["address"])}


def test_every_command_of_the_asyncapi_document_has_its_answer() -> None:
    for name in COMMANDS:
        asked = ASYNCAPI["operations"][f"receive-cmd-{name}"]
        assert asked["reply"]["channel"] == ASYNCAPI["operations"][f"send-resp-{name}"]["channel"]


def test_the_asyncapi_document_refuses_what_the_schemas_refuse() -> None:
    event = ASYNCAPI["channels"]["event"]["messages"]["event"]["payload"]
    text = (DOCS / "mqtt.md").read_text()
    example = json.loads(needed(re.search(r"^{.*recognized.*}$", text, re.M))[0])
    assert _checker(event).is_valid(example)
    for wrong in (
        {"box": [1, 2, 3, 4, 5]},
        {"box": ["left", 1, 2, 3]},
        {"corrected": {"name": "Anna"}},
        {"event_type": "seen"},
    ):
        assert not _checker(event).is_valid(example | wrong), wrong


@pytest.mark.skipif(not SPECIFICATION.is_file(), reason="EDGEFACE_ASYNCAPI does not name 3.0.0.json (npm pack @asyncapi/specs)")
def test_the_asyncapi_document_is_one_by_its_specification() -> None:
    checker = Draft7Validator(json.loads(SPECIFICATION.read_text()))
    assert [error.message for error in checker.iter_errors(ASYNCAPI)] == []
    assert not checker.is_valid(ASYNCAPI | {"channels": {"event": {"address": 1}}})


@pytest.fixture(scope="module")
def delivered(
    tmp_path_factory: pytest.TempPathFactory, demo_photos: Path
) -> tuple[list[tuple[str, bytes | bytearray, int]], dict[str, bool]]:
    """Every message of a daemon's life, as a real broker delivered it."""
    folder = tmp_path_factory.mktemp("life")
    broker = Broker(folder / "broker").start()
    config = settings(
        folder,
        broker,
        mqtt=broker.settings(images=True, frames=True),
        commands={"allow": list(COMMANDS)},
        events={"publish_unsure": True},
        liveness={"mode": "refuse", "attacks": "named"},
    )
    enroll(config, "Obama", demo_photos / "obama_portrait.jpg")
    ear = broker.listen("#")
    with running(config) as stage:
        stage.scene = load_image(demo_photos / "obama_portrait.jpg")
        ear.wait_for("/event", 1)
        stage.scene = EMPTY
        ear.wait_for("/event", 2)
        stage.scene = load_image(demo_photos / "collins_portrait.jpg")
        ear.wait_for("/event", 3)
        commands: tuple[tuple[str, dict[str, Any]], ...] = (
            ("people", {}),
            ("snapshot", {}),
            ("enroll", {"name": "Collins", "count": 1}),
        )
        for verb, more in commands:
            ear.say(f"{BASE}cmd/{verb}", {"id": verb} | more)
            assert ear.wait_for(f"resp/{verb}")[0]["ok"]
        for verb, more in (
            ("rename", {"person": "Collins", "name": "C"}),
            ("forget", {"person": "C"}),
            ("forget", {"person": "C"}),
        ):
            ear.say(f"{BASE}cmd/{verb}", {"id": verb} | more)
        ear.wait_for("resp/forget", 2)
        stage.scene = on_screen(load_image(demo_photos / "obama_press_room.jpg"), 0.0)
        ear.wait(lambda message: b"presentation_attack" in message.payload)
        stage.scene = "unplugged"
        ear.wait_for("/health", 2)
        ear.wait(lambda message: b"camera_lost" in message.payload)
        stage.scene = EMPTY
        ear.wait(lambda message: b"camera_back" in message.payload)
        ear.wait(
            lambda message: (
                message.topic.endswith("/event") and b'"left"' in message.payload and b"person_id" not in message.payload
            )
        )
        stage.scene = (load_image(demo_photos / "obama_portrait.jpg") * 0.1).astype(np.uint8)
        time.sleep(2.0)
        stage.scene = EMPTY
        ear.wait(lambda message: b'"unsure"' in message.payload)
    messages = [(message.topic, message.payload, message.qos) for message in ear.messages]
    ear.wait_for("availability", 2)
    kept = {topic: broker.retained(topic) is not None for topic in {topic for topic, _, _ in messages}}
    broker.close()
    return messages, kept


@needs_broker
def test_what_a_broker_delivers_is_what_the_schemas_say(
    delivered: tuple[list[tuple[str, bytes | bytearray, int]], dict[str, bool]],
) -> None:
    messages, _ = delivered
    kinds = {json.loads(payload)["event_type"] for topic, payload, _ in messages if topic.endswith("/event")}
    assert kinds == {str(kind) for kind in EventType}
    for topic, payload, _ in messages:
        assert problems(topic.removeprefix(BASE), payload) == [], (topic, payload)


@needs_broker
def test_topics_quality_and_retention_are_those_of_the_page(
    delivered: tuple[list[tuple[str, bytes | bytearray, int]], dict[str, bool]],
) -> None:
    messages, kept = delivered
    used = set()
    for topic, _, qos in messages:
        (known,) = [each for each in TOPICS if re.fullmatch(BASE + re.sub("{.*?}", "[^/]+", each.name), topic)]
        assert (qos, kept[topic]) == (known.qos, known.retained), topic
        used.add(known)
    assert used == {topic for topic in TOPICS if topic.name != "presence/all"}  # it has one camera


@needs_broker
def test_the_asyncapi_document_describes_what_a_broker_delivers(
    delivered: tuple[list[tuple[str, bytes | bytearray, int]], dict[str, bool]],
) -> None:
    messages, kept = delivered
    for topic, payload, qos in messages:
        ((key, channel),) = [
            (key, one)
            for key, one in ASYNCAPI["channels"].items()
            if re.fullmatch(re.sub("{.*?}", "[^/]+", one["address"].replace("{base}/", BASE)), topic)
        ]
        (operation,) = [one for one in ASYNCAPI["operations"].values() if one["channel"]["$ref"] == f"#/channels/{key}"]
        assert operation["action"] == ("receive" if "/cmd/" in topic else "send"), topic
        assert (operation["bindings"]["mqtt"]["qos"], operation["bindings"]["mqtt"]["retain"]) == (qos, kept[topic]), topic
        (message,) = channel["messages"].values()
        if message["contentType"] != "image/jpeg":
            told = json.loads(payload) if message["contentType"] == "application/json" else payload.decode()
            assert list(_checker(message["payload"]).iter_errors(told)) == [], topic


@needs_broker
def test_the_picture_of_a_face_comes_before_its_event(
    delivered: tuple[list[tuple[str, bytes | bytearray, int]], dict[str, bool]],
) -> None:
    messages, _ = delivered
    topics = [topic.removeprefix(BASE) for topic, _, _ in messages]
    assert topics.index("image/front") < topics.index("event")
    assert topics.count("image/front") == 2  # of the recognized and the unknown; who has left is not to be seen
    assert messages[topics.index("image/front")][1].startswith(b"\xff\xd8\xff")
