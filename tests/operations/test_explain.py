"""``events explain``, at the doors of the operation."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.broker import Broker, Listener, broker, eventually, needs_broker
from fixtures.commandline import Cli
from fixtures.daemon import enroll, running, settings
from fixtures.frames import frame, head, photo
from fixtures.galleries import WALL, keeping, near, unit

from edgeface.config.load import load
from edgeface.daemon.health_reporter import Counters
from edgeface.gallery.open import open_gallery
from edgeface.gallery.store import Gallery
from edgeface.recognition.event_id import new_event_id
from edgeface.types import EventType, Reason, Vector
from edgeface.vision.model_card import SHIPPED, load_card
from edgeface.wire.doubt import Doubt
from edgeface.wire.events import Event

__all__ = ["broker"]
BIDEN = "biden_portrait.jpg"


@pytest.fixture
def gallery(cli: Cli) -> Iterator[Gallery]:
    opened = open_gallery(load(cli.file), load_card(SHIPPED))
    yield opened
    opened.close()


def doubted(gallery: Gallery, doubt: Doubt, embedding: Vector | None = None, wall: float = WALL) -> str:
    vector = np.zeros(128, np.float32) if embedding is None else embedding
    event = Event(EventType.UNSURE, new_event_id(wall), wall, 0.0, "front", score=doubt.score, embedding=vector, doubt=doubt)
    gallery.events.keep(event, keeping())
    return event.event_id


def test_the_latest_visit_is_explained_with_the_cure(cli: Cli, gallery: Gallery) -> None:
    assert "no visit without a name is kept" in cli.refusal("events", "explain")
    anna = gallery.enroll("Anna", [unit(1)], [0.8])
    first = doubted(gallery, Doubt(reason=Reason.DARK, seen=40))
    doubt = Doubt(reason=Reason.DOUBTFUL, person_id=anna.id, score=0.43, threshold=0.47, good=9, seen=12)
    second = doubted(gallery, doubt, near(unit(1), 0.43), WALL + 60)
    lines = cli("events", "explain").stdout.splitlines()
    assert lines[0].endswith("unsure, 9 of 12 views good")
    assert lines[1:] == [
        "why: most like Anna, but not enough: score 0.43, a name needs 0.47",
        "what helps: say who it was, or enroll Anna once more at this camera",
        f"to say who it was: edgeface people confirm {second} --as NAME",
    ]
    faceless = doubted(gallery, doubt, wall=WALL + 30)
    assert "what helps: enroll Anna once more at this camera" in cli("events", "explain", faceless).stdout.splitlines()
    told = cli.json("events", "explain", first)
    assert (told["reason"], told["usable"], told["nearest"], told["views"]) == ("dark", False, None, 40)
    assert cli("events", "explain", first).stdout.splitlines()[-1].startswith("what helps: put a light on the face")
    listed = cli("events", "list").stdout.splitlines()
    assert [line.split("  ")[-1] for line in listed] == ["too dark", "in doubt: Anna", "in doubt: Anna"]
    assert cli.json("events", "list")["events"][0]["reason"] == "dark"
    assert "no event 'x' is kept" in cli.refusal("events", "explain", "x")


def test_a_visit_in_doubt_can_be_confirmed_if_it_shows_a_face(cli: Cli, gallery: Gallery) -> None:
    anna = gallery.enroll("Anna", [unit(1)], [0.8])
    doubt = Doubt(reason=Reason.DOUBTFUL, person_id=anna.id)
    dark, seen = doubted(gallery, Doubt(reason=Reason.DARK)), doubted(gallery, doubt, near(unit(1), 0.43))
    for command in (("people", "confirm", dark, "--as", "Anna"), ("events", "introduce", dark, "Bert")):
        assert "no view" in cli.refusal(*command)
    cli("people", "confirm", seen, "--as", "Anna")
    assert gallery.find("Anna").templates == 2
    assert "why: Anna, as you said" in cli("events", "explain", seen).stdout
    assert cli.json("events", "explain")["event_id"] == dark
    cli("people", "forget", "Anna")
    assert [event.event_id for event in gallery.events.all()] == [dark]


@needs_broker
@pytest.mark.parametrize("publish", [False, True])
def test_a_daemon_keeps_counts_and_explains_a_visit_in_doubt_and_publishes_it_only_if_told(
    tmp_path: Path, broker: Broker, publish: bool, caplog: pytest.LogCaptureFixture
) -> None:
    events = {"publish_unsure": publish}
    config = settings(tmp_path, broker, presence={"left_after": 1.0}, commands={"allow": ["explain"]}, events=events)
    enroll(config, "Biden", photo("biden_blue_room.jpg"))
    ear = broker.listen()
    with caplog.at_level("INFO"), running(config) as stage:
        ear.wait_for("edgeface/door/health")
        stage.scene = frame(((head(BIDEN) * 0.1).astype(np.uint8), 200, 120))
        assert eventually(lambda: ask(ear)["error"] == "no visit without a name is kept")
        time.sleep(2.0)
        stage.scene = frame()
        assert eventually(lambda: (answer := ask(ear))["ok"] and answer["result"]["reason"] == "dark")
    news = [event for event in ear.on("/event") if event["event_type"] == "unsure"]
    assert [event["why"] for event in news] == ["dark"] * publish
    assert not any("person_id" in event or "name" in event for event in news)
    presence = broker.retained("edgeface/door/front/presence")
    assert (presence["people"], presence["unknown"]) == ([], 0)
    (line,) = (message for message in caplog.messages if message.startswith("unsure "))
    assert "why=dark" in line
    assert "Biden" not in caplog.text


def ask(ear: Listener) -> Any:
    before = len(ear.on("/resp/explain"))
    ear.say("edgeface/door/cmd/explain", {"id": "1"})
    return ear.wait_for("edgeface/door/resp/explain", before + 1)[-1]


def test_reasons_are_counted_and_no_doubt_is_the_last_event() -> None:
    counters = Counters()
    doubt, stranger = (Doubt(reason=reason) for reason in (Reason.DARK, Reason.STRANGER))
    unknown = Event(EventType.UNKNOWN, "1", WALL, 0.0, "front", doubt=stranger)
    counters.count_events([unknown, Event(EventType.UNSURE, "2", WALL, 0.0, "front", doubt=doubt)])
    assert counters.unnamed == {"dark": 1, "stranger": 1}
    assert counters.events == {"unknown": 1, "unsure": 1}
    assert counters.last_event is unknown
