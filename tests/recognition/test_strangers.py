"""Strangers who come again."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fixtures.frames import Door
from fixtures.galleries import MODEL, WALL, enrolled, keeping, near, unit

from edgeface.config.schema import EventsSettings
from edgeface.errors import GalleryError
from edgeface.gallery.retention import Clocks
from edgeface.gallery.store import Gallery
from edgeface.recognition.event_id import new_event_id
from edgeface.recognition.strangers import COMPARED, Strangers
from edgeface.types import Box, EventType, Vector
from edgeface.vision.model_card import ModelCard
from edgeface.wire.events import Event, event_payload

LIMITS = keeping()


class Time:
    now = 1000.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gallery.db"


@pytest.fixture
def gallery(path: Path) -> Iterator[Gallery]:
    opened = Gallery(path, MODEL)
    opened.events.clocks = Clocks(lambda: Time.now, lambda: WALL, lambda: "boot", lambda: False)
    yield opened
    opened.close()


def seen(vector: Vector, wall: float = WALL, kind: EventType = EventType.UNKNOWN) -> Event:
    return Event(kind, new_event_id(wall), wall, 0.0, "front", score=0.2, quality=0.7, embedding=vector)


class Street:
    """Who passes by, and is kept."""

    def __init__(self, gallery: Gallery, card: ModelCard, limits: EventsSettings = LIMITS) -> None:
        self.gallery, self.limits, self.strangers, self.wall = gallery, limits, Strangers(gallery.events, limits, card), WALL

    def passes(self, vector: Vector) -> tuple[str | None, int | None]:
        self.wall += 60
        (event,) = self.strangers.tell([seen(vector, self.wall)])
        self.gallery.events.keep(event, self.limits)
        return event.stranger_id, event.visits


def test_a_stranger_who_comes_again_has_the_same_id_and_the_visits_are_numbered(gallery: Gallery, card: ModelCard) -> None:
    street = Street(gallery, card)
    visits = [street.passes(near(unit(1), 0.9, seed)) for seed in range(3)]
    assert [number for _, number in visits] == [1, 2, 3]
    assert len({stranger for stranger, _ in visits}) == 1
    other, number = street.passes(unit(2))
    assert (other != visits[0][0], number) == (True, 1)
    assert re.fullmatch("s_[0-9a-f]{16}", str(other))
    assert Street(gallery, card).passes(0.7 * near(unit(1), 0.9, 9)) == (visits[0][0], 4)  # after a restart


def test_a_chain_of_similar_faces_does_not_join_two_strangers(gallery: Gallery, card: ModelCard) -> None:
    street, same = Street(gallery, card), card.threshold(1e-3)
    first = near(unit(1), (1 + same) / 2, 1)
    assert street.passes(unit(1))[0] == street.passes(first)[0]
    assert street.passes(near(first, same + 0.02, 2))[1] == 1


def test_two_strangers_in_one_moment_are_not_one(gallery: Gallery, card: ModelCard) -> None:
    one, other = Strangers(gallery.events, LIMITS, card).tell([seen(unit(1)), seen(near(unit(1), 0.99))])
    assert one.stranger_id != other.stranger_id


def test_the_id_goes_with_the_kept_events_and_is_new_afterwards(gallery: Gallery, card: ModelCard) -> None:
    street = Street(gallery, card)
    before, _ = street.passes(unit(1))
    Time.now += 8 * 86_400
    gallery.events.expire("front", LIMITS)
    after, number = street.passes(unit(1))
    assert (after != before, number) == (True, 1)
    gallery.events.dismiss([gallery.events.all()[0].event_id])
    assert street.passes(unit(1)) not in ((after, 2), (before, 2))


def test_who_is_named_is_no_stranger_any_more_and_leaves_no_id_when_forgotten(
    gallery: Gallery, card: ModelCard, path: Path
) -> None:
    street = Street(gallery, card)
    before, _ = street.passes(unit(1))
    gallery.introduce("Anna", [(gallery.events.all()[0], True)])
    assert street.passes(near(unit(1), 0.95))[1] == 1  # in a frame that was under way
    gallery.forget("Anna")
    assert gallery.events.all() == []
    assert street.passes(unit(1)) != (before, 2)
    gallery.close()
    assert str(before).encode() not in path.read_bytes()


@pytest.mark.parametrize("limits", [keeping(keep_days=0), keeping(max=0)])
def test_where_no_events_are_kept_nobody_has_an_id(gallery: Gallery, card: ModelCard, limits: EventsSettings) -> None:
    assert Street(gallery, card, limits).passes(unit(1)) == (None, None)


def test_events_of_the_other_kinds_have_no_id(gallery: Gallery, card: ModelCard) -> None:
    strangers = Strangers(gallery.events, LIMITS, card)
    events = [seen(unit(1), kind=kind) for kind in EventType if kind is not EventType.UNKNOWN]
    assert strangers.tell(events) == events
    assert not any(event.stranger_id or event.visits for event in strangers.tell(events))


def test_a_gallery_that_cannot_be_read_stops_no_event(
    gallery: Gallery, card: ModelCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_most: int) -> Any:
        raise GalleryError("locked")

    monkeypatch.setattr(gallery.events, "newest", fails)
    event = seen(unit(1))
    assert Strangers(gallery.events, LIMITS, card).tell([event]) == [event]


def test_only_so_many_of_the_newest_events_are_compared(gallery: Gallery, card: ModelCard) -> None:
    street, limits = Street(gallery, card), keeping(max=10_000)
    street.limits = limits
    first, _ = street.passes(unit(1))
    anna = enrolled(gallery, "Anna", 5)
    for second in range(COMPARED):
        named = replace(seen(unit(5), street.wall + second, EventType.RECOGNIZED), person_id=anna.id)
        gallery.events.keep(named, limits)
    assert street.passes(unit(1)) != (first, 2)
    assert len(gallery.events.newest(3)) == 3


def test_the_payload_has_id_and_number_only_if_the_event_has() -> None:
    fields: dict[str, Any] = {"track_id": 1, "threshold": 0.5, "votes": 3, "box": Box(1, 2, 3, 4), "frame_size": (640, 480)}
    bare = replace(seen(unit(1)), **fields)
    assert b"stranger_id" not in msgspec.json.encode(event_payload(bare, "door", "m"))
    told = msgspec.json.encode(event_payload(replace(bare, stranger_id="s_1", visits=3), "door", "m"))
    assert b'"stranger_id":"s_1","visits":3' in told


def test_a_real_stranger_is_known_again_and_another_is_not(tmp_path: Path, card: ModelCard) -> None:
    door = Door(tmp_path, {"Biden": ["biden_blue_room.jpg"]})
    strangers = Strangers(door.gallery.events, LIMITS, card)

    def visit(name: str) -> Event:
        events = [event for step in range(10) for event in strangers.tell(door.see((name, 100 + step, 100)))]
        door.wait(6)
        (event,) = (event for event in events if event.event_type is EventType.UNKNOWN)
        door.gallery.events.keep(event, LIMITS)
        return event

    obama, collins, again = visit("obama_portrait.jpg"), visit("collins_portrait.jpg"), visit("obama_press_room.jpg")
    assert (again.stranger_id, again.visits) == (obama.stranger_id, 2)
    assert (collins.stranger_id != obama.stranger_id, collins.visits) == (True, 1)
