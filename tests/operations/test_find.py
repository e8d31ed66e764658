"""``events find``, at the doors of the operation."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fixtures.broker import Broker, broker, needs_broker
from fixtures.commandline import Cli
from fixtures.daemon import enroll, running, settings
from fixtures.frames import photo
from fixtures.galleries import WALL, keeping, unit
from fixtures.page import Page, serving

from edgeface.config.load import load
from edgeface.gallery.open import open_gallery
from edgeface.gallery.store import Gallery
from edgeface.recognition.event_id import new_event_id
from edgeface.types import EventType, Reason, Vector
from edgeface.vision.model_card import SHIPPED, load_card
from edgeface.wire.doubt import Doubt
from edgeface.wire.events import Event

__all__ = ["broker"]
OBAMA, OTHER = "obama_portrait.jpg", "collins_portrait.jpg"


def keep(gallery: Gallery, embedding: Vector, hours: float, kind: EventType = EventType.UNKNOWN, **fields: Any) -> str:
    wall = WALL + 3600 * hours
    event = Event(kind, new_event_id(wall), wall, 0.0, "front", score=0.2, quality=0.7, embedding=embedding, **fields)
    gallery.events.keep(event, keeping())
    return event.event_id


def fill(gallery: Gallery, faces: dict[str, Vector]) -> list[str]:
    """Obama was here twice, once by name, and somebody else; one visit was too dark to tell."""
    obama = gallery.enroll("Obama", [faces["obama_congress.jpg"]], [0.8])
    first = keep(gallery, faces["obama_press_room.jpg"], 1, stranger_id="s_0123456789abcdef")
    second = keep(gallery, faces["obama_congress.jpg"], 2, EventType.RECOGNIZED, person_id=obama.id)
    keep(gallery, faces[OTHER], 3)
    keep(gallery, 0 * unit(1), 4, EventType.UNSURE, doubt=Doubt(reason=Reason.DARK))
    return [first, second]


@pytest.fixture
def house(cli: Cli, faces: dict[str, Vector]) -> Iterator[list[str]]:
    gallery = open_gallery(load(cli.file), load_card(SHIPPED))
    yield fill(gallery, faces)
    gallery.close()


def test_a_photo_is_found_in_the_kept_events_the_newest_first(cli: Cli, house: list[str]) -> None:
    told = cli.json("events", "find", photo(OBAMA))
    assert [event["event_id"] for event in told["events"]] == house[::-1]
    assert [(event["name"], event["stranger_id"]) for event in told["events"]] == [
        ("Obama", None),
        (None, "s_0123456789abcdef"),
    ]
    assert [event["score"] >= told["threshold"] for event in told["events"]] == [event["sure"] for event in told["events"]]
    assert (told["compared"], told["refused"]) == (3, [])
    lines = cli("events", "find", photo(OBAMA), photo("obama_blue_room.jpg")).stdout.splitlines()
    assert [line.split()[0] for line in lines] == house[::-1]
    assert "s_0123456789abcdef" in lines[1]


def test_an_event_is_found_in_the_others(cli: Cli, house: list[str]) -> None:
    told = cli.json("events", "find", "--event", house[0].lower())
    assert [event["event_id"] for event in told["events"]] == [house[1]]
    assert told["compared"] == 2


def test_who_was_not_here_is_not_found(cli: Cli, house: list[str]) -> None:
    result = cli("events", "find", photo("biden_portrait.jpg"))
    told, off = result.stderr.splitlines()
    assert (result.stdout, told) == ("", "not seen in the 3 events that are kept and show a face")
    assert off.startswith("the faces of strangers are not kept; edgeface config set events.keep_strangers true")
    cli.set(events={"keep_strangers": True})
    assert "not kept" not in cli("events", "find", photo("biden_portrait.jpg")).stderr
    assert house


def test_what_cannot_be_searched_for_is_told(cli: Cli, house: list[str], tmp_path: Path) -> None:
    assert "give a photo" in cli("events", "find", code=2).stderr
    assert "2 faces were found" in cli.refusal("events", "find", photo("obama_and_biden_blue_room.jpg"))
    (tmp_path / "no.jpg").write_text("no photo")
    assert "no.jpg" in cli.refusal("events", "find", tmp_path / "no.jpg")
    result = cli("events", "find", tmp_path / "no.jpg", photo(OBAMA))
    assert len(result.stdout.splitlines()) == 2
    assert "no.jpg" in result.stderr
    dark = cli.json("events", "list")["events"][-1]["event_id"]
    assert "no view" in cli.refusal("events", "find", "--event", dark)
    assert "is kept" in cli.refusal("events", "find", "--event", "x")
    assert house


def test_a_gallery_that_keeps_nothing_finds_nothing(cli: Cli) -> None:
    assert cli.json("events", "find", photo(OBAMA))["events"] == []


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, faces: dict[str, Vector]) -> Iterator[Page]:
    with serving(tmp_path_factory.mktemp("page")) as running_page:
        running_page.with_gallery(lambda gallery: fill(gallery, faces))
        yield running_page


def test_the_page_takes_a_photo_or_an_event(page: Page) -> None:
    data = photo(OBAMA).read_bytes()
    status, _, body = page.ask("POST", "/operations/find", data, content_type="image/jpeg")
    events = json.loads(body)["result"]["events"]
    assert (status, [event["name"] for event in events]) == (200, ["Obama", None])
    status, _, body = page.ask("POST", "/operations/find", {"event_id": events[0]["event_id"]})
    assert [event["event_id"] for event in json.loads(body)["result"]["events"]] == [events[1]["event_id"]]
    for wrong, kind in ((b"no photo", "image/jpeg"), (b"", "image/png"), ({}, "application/x-www-form-urlencoded")):
        status, _, body = page.ask("POST", "/operations/find", wrong, content_type=kind)
        assert (status, json.loads(body)["ok"]) == (422, False)


@needs_broker
def test_mqtt_takes_a_photo_or_an_event_from_whoever_the_settings_allow(
    tmp_path: Path, broker: Broker, faces: dict[str, Vector]
) -> None:
    config = settings(tmp_path, broker, commands={"allow": ["find"]}, events={"keep_strangers": True})
    enroll(config, "Biden", photo("biden_blue_room.jpg"))
    gallery = open_gallery(config, load_card(SHIPPED))
    first, second = fill(gallery, faces)
    gallery.close()
    ear = broker.listen()
    with running(config):
        ear.wait_for("edgeface/door/health")
        image = base64.b64encode(photo(OBAMA).read_bytes()).decode()
        asked: tuple[dict[str, Any], ...] = (
            {"image": image},
            {"event_id": first},
            {},
            {"image": "no base64"},
            {"event_id": "x"},
        )
        for number, fields in enumerate(asked):
            ear.say("edgeface/door/cmd/find", {"id": str(number)} | fields)
        answers = {answer["id"]: answer for answer in ear.wait_for("edgeface/door/resp/find", len(asked))}
    assert [event["event_id"] for event in answers["0"]["result"]["events"]] == [second, first]
    assert [event["event_id"] for event in answers["1"]["result"]["events"]] == [second]
    assert ["photo or an event" in answers["2"]["error"], "base64" in answers["3"]["error"]] == [True, True]
    assert not any("embedding" in json.dumps(answer) for answer in answers.values())
    assert not answers["4"]["ok"]
