import logging
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from fixtures.galleries import MODEL, WALL, enrolled, keeping, kept, near, one_line, unit
from fixtures.optional import needed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeface.config.schema import Config, EventsSettings
from edgeface.errors import GalleryError
from edgeface.gallery import event_store as events_module
from edgeface.gallery.event_keeper import EventKeeper
from edgeface.gallery.retention import Clocks
from edgeface.gallery.store import Gallery
from edgeface.interfaces import Tick
from edgeface.operations.context import OperationContext
from edgeface.operations.events import list_events
from edgeface.recognition.event_id import new_event_id
from edgeface.types import Box, EventType, NoFrame, Reason, Vector
from edgeface.vision.model_card import ModelCard
from edgeface.wire.commands import EventsRequest
from edgeface.wire.doubt import Doubt
from edgeface.wire.events import Event, event_payload

DAY = 86_400.0


@pytest.fixture
def clock() -> list[Any]:
    """Monotonic seconds, on a machine whose wall clock nobody has set."""
    return [1000.0]


@pytest.fixture
def gallery(path: Path, clock: list[Any]) -> Iterator[Gallery]:
    opened = Gallery(path, MODEL)
    opened.events.clocks = Clocks(lambda: clock[0], lambda: WALL, lambda: "boot", lambda: False)
    yield opened
    opened.close()


def event(
    wall: float = WALL,
    kind: EventType = EventType.UNKNOWN,
    embedding: Vector | None = None,
    camera: str = "front",
    **fields: Any,
) -> Event:
    return Event(kind, new_event_id(wall), wall, 0.0, camera, score=0.4, quality=0.7, embedding=embedding, **fields)


def test_an_event_is_kept_with_its_embedding(gallery: Gallery, path: Path) -> None:
    anna = enrolled(gallery, "Anna", 1)
    seen = kept(gallery, anna, unit(2))
    gallery.close()
    (found,) = Gallery(path, MODEL).events.all()
    assert (found.event_id, found.event_type, found.wall, found.camera) == (seen.event_id, "recognized", WALL, "front")
    assert (found.person_id, found.score, found.quality, found.verdict) == (anna.id, 0.5, 0.7, None)
    assert np.array_equal(found.embedding, unit(2))


def test_what_has_no_embedding_is_not_kept(gallery: Gallery) -> None:
    gallery.events.keep(event(kind=EventType.LEFT), keeping())
    gallery.events.keep(event(kind=EventType.CAMERA_LOST, reason="unplugged"), keeping())
    assert gallery.events.all() == []


def doubtful(wall: float = WALL, embedding: Vector | None = None, **fields: Any) -> Event:
    """A visit in doubt, without a face unless there is an embedding."""
    vector = np.zeros(128, np.float32) if embedding is None else embedding
    return event(wall, EventType.UNSURE, vector, doubt=Doubt(**({"reason": Reason.DARK} | fields)))


def test_a_visit_in_doubt_is_kept_with_its_reason_even_without_a_face(gallery: Gallery, path: Path) -> None:
    anna = enrolled(gallery, "Anna", 1)
    gallery.events.keep(doubtful(), keeping())
    gallery.events.keep(doubtful(WALL + 1, 0.5 * unit(1), reason=Reason.DOUBTFUL, person_id=anna.id, good=9), keeping())
    gallery.close()
    dark, doubted = Gallery(path, MODEL).events.all()
    assert (dark.event_type, dark.person_id, dark.shows_face, needed(dark.doubt).reason) == ("unsure", None, False, Reason.DARK)
    assert (doubted.shows_face, needed(doubted.doubt).person_id, needed(doubted.doubt).good) == (True, anna.id, 9)
    assert b"dark" not in path.read_bytes()


def test_an_event_of_an_older_edgeface_has_no_reason(gallery: Gallery, path: Path) -> None:
    found = kept(gallery, None, unit(1), EventType.UNKNOWN)
    vector = np.asarray(found.embedding, "<f4").tobytes()
    sealed = gallery._database.sealer.seal(["unknown", WALL, "front", 0.4, 0.7, vector, None], "event", found.event_id, "")
    with gallery._database.change():
        gallery._database.execute("UPDATE events SET sealed = ? WHERE id = ?", (sealed, found.event_id))
    (read,) = gallery.events.all()
    assert (read.event_type, read.score, read.doubt, read.verdict) == ("unknown", 0.4, None, None)


def test_visits_in_doubt_never_push_out_those_with_names(gallery: Gallery) -> None:
    anna, limits = enrolled(gallery, "Anna", 1), keeping(max=10)
    for hour in range(8):
        named = event(WALL + hour, EventType.RECOGNIZED, unit(1), person_id=anna.id)
        gallery.events.keep(named, limits)
    for hour in range(20):
        gallery.events.keep(doubtful(WALL - hour), limits)  # a clock that is set back
    kinds = [found.event_type for found in gallery.events.all()]
    assert (kinds.count("recognized"), kinds.count("unsure")) == (8, 2)
    assert min(found.wall for found in gallery.events.all()) == WALL - 19


def test_who_is_forgotten_leaves_no_doubt_about_them(gallery: Gallery, path: Path) -> None:
    anna, bert = enrolled(gallery, "Anna", 1), enrolled(gallery, "Bert", 2)
    limits = keeping()
    gallery.events.keep(doubtful(WALL, unit(7), reason=Reason.LOOKALIKE, person_id=bert.id, other_id=anna.id), limits)
    gallery.events.keep(doubtful(WALL + 1, near(unit(1), 0.4), reason=Reason.FEW), limits)
    gallery.events.keep(doubtful(WALL + 2), limits)
    gallery.events.keep(doubtful(WALL + 3, near(unit(2), 0.4), reason=Reason.DOUBTFUL, person_id=bert.id), limits)
    gallery.forget("Anna")
    assert [found.wall for found in gallery.events.all()] == [WALL + 2, WALL + 3]
    late = doubtful(WALL + 4, unit(7), reason=Reason.DOUBTFUL, person_id=anna.id)
    gallery.events.keep(late, limits)  # it waited while she was forgotten
    assert [found.wall for found in gallery.events.all()] == [WALL + 2, WALL + 3]
    gallery.close()
    assert anna.id.encode() not in path.read_bytes()


def test_nothing_is_kept_where_the_owner_wants_it_so(gallery: Gallery) -> None:
    for limits in (keeping(keep_days=0), keeping(max=0)):
        gallery.events.keep(event(embedding=unit(1)), limits)
    assert gallery.events.all() == []


def test_events_expire_by_age_and_by_number(gallery: Gallery, clock: list[Any]) -> None:
    began = clock[0]
    for day in range(10):
        clock[0] = began + day * DAY
        gallery.events.keep(event(WALL + day * DAY, embedding=unit(day)), keeping(keep_days=3))
    gallery.events.expire("front", keeping(keep_days=3))
    assert [found.wall for found in gallery.events.all()] == [WALL + day * DAY for day in (6, 7, 8, 9)]
    gallery.events.keep(event(WALL + 9 * DAY + 1, embedding=unit(10)), keeping(keep_days=3, max=2))
    assert [found.wall for found in gallery.events.all()] == [WALL + 9 * DAY, WALL + 9 * DAY + 1]
    clock[0] += 4 * DAY
    gallery.events.expire("front", keeping(keep_days=3))
    assert gallery.events.all() == []


def test_a_clock_that_is_set_back_costs_the_oldest_event_not_the_newest(gallery: Gallery) -> None:
    limits = keeping(max=3)
    for hour in range(3):
        gallery.events.keep(event(WALL + hour * 3600, embedding=unit(hour)), limits)
    gallery.events.keep(event(WALL - DAY, embedding=unit(9)), limits)
    assert [found.wall for found in gallery.events.all()] == [WALL - DAY, WALL + 3600, WALL + 7200]


@pytest.mark.parametrize("limits", [keeping(keep_days=0), keeping(max=0)])
def test_a_camera_that_keeps_nothing_leaves_what_another_keeps_in_the_same_gallery(
    gallery: Gallery, limits: EventsSettings
) -> None:
    kept(gallery, None, unit(1), EventType.UNKNOWN)
    gallery.events.keep(event(WALL, embedding=unit(2), camera="yard"), keeping(), b"jpeg")
    EventKeeper(gallery, "front", limits).on_tick(Tick(gap()))
    assert [found.camera for found in gallery.events.all()] == ["yard"]
    assert len(gallery.events.pictured()) == 1
    EventKeeper(gallery, "yard", keeping()).on_tick(Tick(gap()))
    assert gallery.events.pictured() == set()


def test_an_expired_event_leaves_no_byte(gallery: Gallery, path: Path, clock: list[Any]) -> None:
    found = kept(gallery, None, unit(1), EventType.UNKNOWN)
    database = sqlite3.connect(path)
    ((blob,),) = database.execute("SELECT sealed FROM events").fetchall()
    database.close()
    clock[0] += 8 * DAY
    gallery.events.expire("front", keeping())
    gallery.close()
    assert blob[12:60] not in path.read_bytes()
    assert found.event_id.encode() not in path.read_bytes()


def test_an_event_that_is_kept_does_not_change_the_version(gallery: Gallery) -> None:
    before = gallery.version
    kept(gallery, None, unit(1), EventType.UNKNOWN)
    assert gallery.version == before


def test_who_is_forgotten_leaves_no_event_nor_one_of_a_face_that_is_nearest_to_theirs(gallery: Gallery) -> None:
    anna, bert = enrolled(gallery, "Anna", 1), enrolled(gallery, "Bert", 2)
    kept(gallery, anna, near(unit(1), 0.7))
    kept(gallery, anna, near(unit(2), 0.7))  # Bert, taken for Anna
    stays = kept(gallery, bert, near(unit(2), 0.6))
    kept(gallery, None, near(unit(1), 0.5), EventType.UNKNOWN)
    stranger = kept(gallery, None, near(unit(2), 0.5), EventType.UNKNOWN)
    taken = kept(gallery, bert, near(unit(1), 0.8))  # Anna, taken for Bert, and rejected
    gallery.learn(taken, bert.id, "rejected", keep=True)
    assert len(gallery.templates().negatives) == 1
    gallery.forget("Anna")
    assert {found.event_id for found in gallery.events.all()} == {stays.event_id, stranger.event_id}
    assert len(gallery.templates().negatives) == 0
    gallery.forget("Bert")
    assert gallery.events.all() == []


def test_an_event_of_somebody_who_is_forgotten_in_the_same_moment_is_not_kept(gallery: Gallery) -> None:
    anna = enrolled(gallery, "Anna", 1)
    gallery.forget("Anna")
    gallery.events.keep(event(kind=EventType.RECOGNIZED, embedding=unit(1), person_id=anna.id), keeping())
    assert gallery.events.all() == []


@pytest.mark.parametrize("other", [str.lower, " {} \n".format])
def test_an_id_is_found_however_it_was_copied(gallery: Gallery, other: Callable[[str], str]) -> None:
    found = kept(gallery, None, unit(1), EventType.UNKNOWN)
    assert gallery.events.find(other(found.event_id)).event_id == found.event_id


@given(
    event_id=st.text(max_size=40) | st.from_regex(r"\A[0-9A-Z]{26}\Z") | st.sampled_from(["' OR 1 --", "\ud800", "x" * 10**5])
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_other_id_is_refused_in_one_line(gallery: Gallery, event_id: str) -> None:
    with pytest.raises(GalleryError, match="is kept; see edgeface events list") as caught:
        gallery.events.find(event_id)
    assert len(one_line(caught)) < 400


def test_a_verdict_on_an_event_that_is_gone_changes_nothing(gallery: Gallery, clock: list[Any]) -> None:
    anna = enrolled(gallery, "Anna", 1)
    seen = kept(gallery, anna, unit(2))
    clock[0] += 8 * DAY
    gallery.events.expire("front", keeping())
    with pytest.raises(GalleryError, match="no longer kept"):
        gallery.learn(seen, anna.id, "confirmed", keep=True)
    assert gallery.people() == [anna]


def test_no_payload_holds_an_embedding(gallery: Gallery, card: ModelCard) -> None:
    seen: dict[str, Any] = {"track_id": 1, "threshold": 0.5, "votes": 3, "box": Box(1, 2, 3, 4), "frame_size": (640, 480)}
    sent = event(embedding=unit(1), **seen)
    assert b"embedding" not in msgspec.json.encode(event_payload(sent, "door", "m"))
    assert "embedding" not in repr(sent)
    kept(gallery, enrolled(gallery, "Anna", 1), unit(2))
    context = OperationContext(Config(), card, lambda: gallery, lambda: None)  # type: ignore[arg-type,return-value]  # nobody is enrolled here
    (told,) = list_events(context, EventsRequest()).events
    assert (told.name, told.score, told.ts) == ("Anna", 0.5, "2023-11-14T22:13:20.000Z")
    assert not any(isinstance(value, np.ndarray | bytes | list) for value in msgspec.structs.astuple(told))


def test_an_embedding_is_kept_as_a_unit_vector(gallery: Gallery) -> None:
    gallery.events.keep(event(embedding=0.6 * unit(1)), keeping())
    gallery.events.keep(event(embedding=0 * unit(1)), keeping())
    (found,) = gallery.events.all()
    assert np.allclose(found.embedding, unit(1), atol=1e-6)


def gap(time: float = 0.0) -> NoFrame:
    return NoFrame(1000.0 + time, WALL + time)


def test_events_wait_for_a_gallery_that_is_locked_and_it_is_told_once(
    gallery: Gallery, path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_module, "LOOP_LOCK_TIMEOUT_S", 0.01)
    keeper = EventKeeper(gallery, "front", keeping())
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    with caplog.at_level(logging.WARNING):
        for second in (0, 6, 12):
            keeper.on_tick(Tick(gap(second), events=[event(embedding=unit(1))]))
            keeper.on_tick(Tick(gap(second)))
        assert len(caplog.messages) == 1
        assert "locked" in caplog.messages[0]
        assert "locked" in needed(keeper.trouble)
        writer.execute("ROLLBACK")
        keeper.on_tick(Tick(gap(18)))
        assert (len(gallery.events.all()), keeper.trouble) == (3, None)
        writer.execute("BEGIN IMMEDIATE")
        for second in range(100):
            keeper.on_tick(Tick(gap(24 + second), events=[event(embedding=unit(1))]))
    writer.close()
    assert len(caplog.messages) == 2
    keeper.on_tick(Tick(gap(200)))
    assert len(gallery.events.all()) == 3 + EventKeeper.WAITING


def test_old_events_go_every_ten_minutes(gallery: Gallery, clock: list[Any]) -> None:
    keeper, began, left = EventKeeper(gallery, "front", keeping(keep_days=1)), clock[0], []
    kept(gallery, None, unit(1), EventType.UNKNOWN)
    for passed in (0, DAY - 1, DAY + 1, DAY + 598, DAY + 599):
        clock[0] = began + passed
        keeper.on_tick(Tick(gap(passed)))
        left.append(len(gallery.events.all()))
    assert left == [1, 1, 1, 1, 0]
