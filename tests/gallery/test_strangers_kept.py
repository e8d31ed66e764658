"""Unless strangers are kept, nothing stays by which the face of somebody unknown could be told."""

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.galleries import MODEL, WALL, enrolled, keeping, kept, near, traces, unit

from edgeface.config.schema import EventsSettings
from edgeface.errors import GalleryError
from edgeface.gallery.event_keeper import EventKeeper
from edgeface.gallery.store import Gallery
from edgeface.interfaces import Tick
from edgeface.recognition.event_id import new_event_id
from edgeface.recognition.strangers import Strangers
from edgeface.types import Box, EventType, Frame, NoFrame, Reason, Vector
from edgeface.vision.model_card import ModelCard
from edgeface.wire.doubt import Doubt
from edgeface.wire.events import Corrected, Event

OFF = EventsSettings()
STRANGER = "s_0123456789abcdef"


def seen(kind: EventType, embedding: Vector | None, **fields: Any) -> Event:
    wall = WALL + fields.pop("seconds", 0)
    given: dict[str, Any] = {"camera": "front", "score": 0.2, "quality": 0.7} | fields
    return Event(kind, new_event_id(wall), wall, 0.0, embedding=embedding, **given)


def frame(seconds: float = 0.0) -> Frame:
    picture = np.random.default_rng(1).integers(0, 255, (480, 640, 3), np.uint8)
    return Frame(picture, 1000.0 + seconds, WALL + seconds)


def blobs(path: Path) -> list[bytes]:
    """The sealed records of events and pictures, as they lie in the file."""
    database = sqlite3.connect(path)
    rows = database.execute("SELECT sealed FROM events UNION ALL SELECT sealed FROM pictures").fetchall()
    database.close()
    return [row[0] for row in rows]


def test_by_default_an_event_without_a_name_keeps_no_face_and_one_with_a_name_does(gallery: Gallery) -> None:
    anna = enrolled(gallery, "Anna", 1)
    doubt = Doubt(reason=Reason.DOUBTFUL, person_id=anna.id, good=9)
    events = [
        seen(EventType.UNKNOWN, unit(2), stranger_id=STRANGER, box=Box(10, 10, 90, 90)),
        seen(EventType.UNSURE, unit(3), doubt=doubt, box=Box(10, 10, 90, 90), seconds=1),
        seen(EventType.RECOGNIZED, unit(1), person_id=anna.id, box=Box(10, 10, 90, 90), seconds=2),
    ]
    EventKeeper(gallery, "front", OFF, picture_hours=24.0).on_tick(Tick(frame(), events=events))
    unknown, unsure, named = gallery.events.all()
    assert [one.shows_face for one in (unknown, unsure, named)] == [False, False, True]
    assert (unknown.stranger_id, unknown.score, unknown.camera, unsure.doubt) == (None, 0.2, "front", doubt)
    assert gallery.events.pictured() == {named.event_id}


def test_a_name_that_is_taken_back_leaves_no_face_unless_somebody_judged_it(gallery: Gallery) -> None:
    anna = enrolled(gallery, "Anna", 1)
    wrong, judged = kept(gallery, anna, near(unit(1), 0.6)), kept(gallery, anna, near(unit(1), 0.7), wall=WALL + 1)
    gallery.learn(judged, anna.id, "confirmed", keep=False)
    for one, kind in ((wrong, EventType.UNKNOWN), (judged, EventType.LEFT)):
        vector = unit(4) if kind is EventType.UNKNOWN else None
        gallery.events.keep(seen(kind, vector, corrected=Corrected(one.event_id, anna.id, "Anna"), seconds=9), OFF)
    found = {event.event_id: event for event in gallery.events.all()}
    assert [found[one.event_id].shows_face for one in (wrong, judged)] == [False, True]
    again = kept(gallery, anna, near(unit(1), 0.6), wall=WALL + 2)
    gallery.events.keep(seen(EventType.LEFT, None, corrected=Corrected(again.event_id, anna.id, "Anna")), keeping())
    assert gallery.events.find(again.event_id).shows_face


def test_once_it_is_off_what_was_kept_is_wiped_from_the_file_and_its_log(gallery: Gallery, path: Path) -> None:
    anna = enrolled(gallery, "Anna", 1)
    faces = [unit(number) for number in range(20, 26)]
    for number, face in enumerate(faces):
        gallery.events.keep(seen(EventType.UNKNOWN, face, stranger_id=STRANGER, seconds=number), keeping(), b"jpeg" * 200)
    named = kept(gallery, anna, near(unit(1), 0.8), wall=WALL + 9)
    confirmed = gallery.events.all()[0]
    gallery.introduce("Bert", [(confirmed, True)])
    other = seen(EventType.UNKNOWN, unit(30), camera="yard", seconds=20)
    gallery.events.keep(other, keeping(), b"jpeg" * 200)
    before = blobs(path)
    EventKeeper(gallery, "front", OFF, picture_hours=24.0).on_tick(Tick(NoFrame(1000.0, WALL)))
    shown = {event.event_id for event in gallery.events.all() if event.shows_face}
    assert shown == {named.event_id, confirmed.event_id, other.event_id}
    assert gallery.events.pictured() == {confirmed.event_id, other.event_id}
    assert len(gallery.events.all()) == 8
    gone = [blob for blob in before if blob not in blobs(path)]
    assert len(gone) == 10  # five events and their pictures
    assert traces(path.parent, [blob[12:] for blob in gone]) == 0


def test_an_event_that_a_stranger_is_no_longer_named_by_loses_its_face_at_the_next_look(gallery: Gallery) -> None:
    gallery.events.keep(seen(EventType.UNKNOWN, unit(2)), keeping())
    (event,) = gallery.events.all()
    gallery.introduce("Anna", [(event, True)])
    gallery.events.expire("front", OFF)
    assert gallery.events.find(event.event_id).shows_face
    anna = gallery.find("Anna")
    gallery.learn(gallery.events.find(event.event_id), anna.id, "rejected", keep=False)
    gallery.events.expire("front", OFF)
    assert not gallery.events.find(event.event_id).shows_face


def test_a_kill_between_leaves_the_face_or_takes_it(gallery: Gallery, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        gallery.events.keep(seen(EventType.UNKNOWN, unit(number), seconds=number), keeping(), b"jpeg")
    taken = gallery.events._take_face
    calls = iter([taken, taken])

    def fails_at_the_third(event: Any) -> None:
        if (call := next(calls, None)) is None:
            raise GalleryError("killed")
        call(event)

    monkeypatch.setattr(gallery.events, "_take_face", fails_at_the_third)
    with pytest.raises(GalleryError):
        gallery.events.expire("front", OFF)
    gallery.close()
    reopened = Gallery(path, MODEL)
    assert [event.shows_face for event in reopened.events.all()] == [True, True, True]
    assert len(reopened.events.pictured()) == 3
    reopened.events.expire("front", OFF)
    assert not any(event.shows_face for event in reopened.events.all())
    reopened.close()


def test_strangers_who_are_not_kept_have_no_id(gallery: Gallery, card: ModelCard) -> None:
    (told,) = Strangers(gallery.events, OFF, card).tell([seen(EventType.UNKNOWN, unit(1))])
    assert (told.stranger_id, told.visits) == (None, None)
