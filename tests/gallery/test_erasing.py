"""What is erased is in no byte of the database and its write-ahead log, or the command says who holds it."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Never

import pytest
from fixtures.galleries import MODEL, changed, enrolled, keeping, kept, names, near, traces, unit

from edgeface.errors import GalleryError, TraceError
from edgeface.gallery.event_keeper import EventKeeper
from edgeface.gallery.retention import Clocks
from edgeface.gallery.store import Gallery, template_id
from edgeface.interfaces import Tick
from edgeface.recognition.event_id import new_event_id
from edgeface.types import EventType, NoFrame
from edgeface.wire.events import Event

WALL = 1_700_000_000.0


@pytest.fixture
def gallery(path: Path) -> Iterator[Gallery]:
    opened = Gallery(path, MODEL, serving=True)
    yield opened
    opened.close()


@pytest.fixture
def watching(path: Path, gallery: Gallery) -> Iterator[Gallery]:
    """Another process that has the file open, so that its log is not emptied by the way."""
    opened = Gallery(path, MODEL)
    opened.people()
    yield opened
    opened.close()


def blobs(path: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as database:
        return [blob for (blob,) in database.execute(query)]


def pictured(gallery: Gallery, wall: float = WALL) -> str:
    seen = Event(EventType.UNKNOWN, new_event_id(wall), wall, 0.0, "front", score=0.1, quality=0.7, embedding=unit(6))
    gallery.events.keep(seen, keeping(), picture=bytes(range(256)) * 30)
    return seen.event_id


@pytest.mark.parametrize("erase", ["dismiss", "expire", "rename", "drop", "forget", "erase"])
def test_no_byte_stays(gallery: Gallery, watching: Gallery, path: Path, erase: str) -> None:
    anna = enrolled(gallery, "Anna", 1, 2)
    event_id = pictured(gallery)
    watching.templates()
    queries = {
        "rename": ["SELECT sealed FROM people"],
        "drop": ["SELECT sealed FROM templates WHERE id = 1"],
        "forget": ["SELECT sealed FROM people", "SELECT sealed FROM templates"],
        "erase": [f"SELECT sealed FROM {table}" for table in ("people", "templates", "events", "pictures")],
    }.get(erase, ["SELECT sealed FROM events", "SELECT sealed FROM pictures"])
    theirs = [blob for query in queries for blob in blobs(path, query)]
    assert traces(path.parent, theirs) > 0
    if erase == "dismiss":
        assert gallery.events.dismiss([event_id]) == 1
    elif erase == "expire":
        passed = [1e5]
        gallery.events.clocks = Clocks(monotonic=lambda: passed[0])
        keeper = EventKeeper(gallery, "front", keeping(keep_days=1), 24.0)
        for passed[0] in (1e5, 2e5):
            keeper.on_tick(Tick(NoFrame(passed[0], WALL + passed[0])))
    elif erase == "rename":
        gallery.rename("Anna", "Berta")
    elif erase == "drop":
        gallery.drop(template_id(anna.id, unit(1)))
    elif erase == "erase":
        gallery.erase([anna.id], [event_id], [])
    else:
        gallery.forget("Anna")
    assert traces(path.parent, theirs) == 0


@pytest.mark.parametrize("erase", ["dismiss", "rename", "drop"])
def test_a_reader_in_the_way_is_told_and_the_loop_wipes_later(gallery: Gallery, path: Path, erase: str) -> None:
    anna = enrolled(gallery, "Anna", 1, 2)
    event_id = pictured(gallery)
    changes: dict[str, tuple[str, Callable[[], object]]] = {
        "dismiss": ("events", lambda: gallery.events.dismiss([event_id])),
        "rename": ("people", lambda: gallery.rename("Anna", "Berta")),
        "drop": ("templates WHERE id = 1", lambda: gallery.drop(template_id(anna.id, unit(1)))),
    }
    query, change = changes[erase]
    theirs = blobs(path, f"SELECT sealed FROM {query}")
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM templates").fetchone()
        with pytest.raises(TraceError, match="keeps a trace until the program that reads it now ends"):
            change()
        keeper = EventKeeper(gallery, "front", keeping())
        keeper.on_tick(Tick(NoFrame(1000.0, WALL)))
        assert traces(path.parent, theirs) > 0
        assert keeper.trouble is None
    keeper.on_tick(Tick(NoFrame(1061.0, WALL + 61)))
    assert traces(path.parent, theirs) == 0


@pytest.mark.parametrize(
    "trigger",
    [
        "CREATE TRIGGER keep BEFORE DELETE ON people BEGIN SELECT RAISE(IGNORE); END",
        "CREATE TRIGGER keep BEFORE DELETE ON templates BEGIN SELECT RAISE(IGNORE); END",
        'CREATE TRIGGER "a ""b" AFTER DELETE ON templates BEGIN INSERT INTO templates VALUES (OLD.id, OLD.person_id, OLD.kind, '
        "OLD.source, OLD.sealed); END",
    ],
)
@pytest.mark.parametrize("when", ["before", "while it is open"])
def test_whatever_stands_in_the_file_who_is_forgotten_is_gone(gallery: Gallery, path: Path, trigger: str, when: str) -> None:
    theirs = enrolled(gallery, "Anna", 1, 2)
    enrolled(gallery, "Bert", 3, 4)
    if when == "before":
        gallery.close()
    changed(path, trigger)
    again = gallery if when != "before" else Gallery(path, MODEL)
    again.drop(template_id(again.find("Bert").id, unit(4)))
    again.forget("Anna")
    assert names(again) == ["Bert"]
    assert blobs(path, f"SELECT id FROM templates WHERE person_id = '{theirs.id}'") == []
    assert blobs(path, "SELECT count(*) FROM templates") == [1]
    if when == "before":
        again.close()


def test_forget_does_not_rely_on_what_the_schema_says(gallery: Gallery, path: Path) -> None:
    anna = enrolled(gallery, "Anna", 1, 2)
    gallery.learn(kept(gallery, anna, near(unit(1), 0.5)), anna.id, "rejected", keep=True)
    gallery.close()
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA writable_schema=ON")
        database.execute("UPDATE sqlite_master SET sql = replace(sql, ' REFERENCES people (id) ON DELETE CASCADE', '')")
        database.commit()
    again = Gallery(path, MODEL)
    again.forget("Anna")
    assert blobs(path, "SELECT person_id FROM templates UNION SELECT person_id FROM events") == []
    again.close()


def test_a_bug_is_not_told_as_damage(gallery: Gallery) -> None:
    enrolled(gallery, "Anna", 1)
    for bug in (KeyError, TypeError, ValueError):

        def decide(_: object, bug: type[Exception] = bug) -> Never:
            raise bug("a mistake of ours")

        with pytest.raises(bug, match="a mistake of ours"):
            gallery.exchange(decide)
    with pytest.raises(GalleryError), gallery._database.errors():
        gallery._database.sealer.decrypt(b"no record")
