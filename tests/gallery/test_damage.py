"""One bit of a gallery's file is flipped, wherever it is, and costs the record in which it is."""

import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from adversary.flips import classes
from fixtures.damage import flip, flip_in, value
from fixtures.galleries import MODEL, enrolled, keeping, kept, names, unit, units

from edgeface.errors import GalleryError
from edgeface.gallery.store import Gallery, template_id
from edgeface.gallery.versions import Revision
from edgeface.recognition.event_id import new_event_id
from edgeface.types import EventType, Person
from edgeface.wire.events import Event

WALL = 1_700_000_001.0


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery with a record of every kind."""
    path = tmp_path_factory.mktemp("whole") / "gallery.db"
    with closing(Gallery(path, MODEL, keep_faces=True)) as gallery:
        chips = [np.full((112, 112, 3), shade, np.uint8) for shade in (0, 100)]
        gallery.enroll("Anna", units(1, 2), [0.8, 0.8], chips)
        gallery.enroll("Bert", units(3, 4, 7), [0.8, 0.8, 0.8], [*chips, chips[0]])
        gallery.bin.days = 30.0
        gallery.drop(template_id(gallery.find("Bert").id, unit(7)))
        anna = gallery.find("Anna")
        gallery.learn(kept(gallery, anna, unit(5)), anna.id, "rejected", keep=True)
        event = Event(EventType.UNKNOWN, new_event_id(WALL), WALL, 0.0, "front", score=0.1, quality=0.7, embedding=unit(6))
        gallery.events.keep(event, keeping(), picture=b"JPEG" * 100)
        gallery.exchange(lambda _: shared(gallery))
    return path


def shared(gallery: Gallery) -> dict[Any, Any]:
    gallery.revisions.all("k")
    gallery.revisions.put("k", "name", Revision(1, "door", b"digest"))
    return {}


@pytest.fixture
def path(whole: Path, tmp_path: Path) -> Path:
    for name in ("gallery.db", "gallery.key"):
        shutil.copy(whole.with_name(name), tmp_path)
    return tmp_path / "gallery.db"


SEALED = {
    "person": ("SELECT sealed FROM people LIMIT 1", ["Bert", "p_"], 4),
    "template": ("SELECT sealed FROM templates WHERE id = 1", ["Anna", "Bert"], 3),
    "negative": ("SELECT sealed FROM templates WHERE kind = 'negative'", ["Anna", "Bert"], 4),
    "event": ("SELECT sealed FROM events ORDER BY rowid DESC LIMIT 1", ["Anna", "Bert"], 4),
    "picture": ("SELECT sealed FROM pictures", ["Anna", "Bert"], 4),
    "face": ("SELECT sealed FROM faces WHERE template = 1", ["Anna", "Bert"], 4),
    "change": ("SELECT sealed FROM bin", ["Anna", "Bert"], 4),
    "revision": ("SELECT sealed FROM revisions", ["Anna", "Bert"], 4),
}


def shown(people: tuple[Person, ...]) -> list[Any]:
    """Names, without the digits of ids that stand for damaged ones."""
    return sorted(person.name if not person.name.startswith("p_") else "p_" for person in people)


@pytest.mark.parametrize("kind", SEALED)
@pytest.mark.parametrize("bit", [0, 7])
def test_a_bit_in_a_record_costs_that_record_and_its_cure_works(path: Path, kind: str, bit: int) -> None:
    query, people, templates = SEALED[kind]
    flip_in(path, value(path, query), bit)
    with closing(Gallery(path, MODEL)) as gallery:
        gallery.bin.days = 30.0
        assert [damage.kind for damage in gallery.damage()] == [kind]
        found = gallery.templates()
        assert shown(found.people) == people
        assert len(found.vectors) == templates
        assert (gallery.health.state == "damaged") == (kind in ("person", "template", "negative"))
        assert b'"Bert"' in gallery.export()
        assert len(gallery.events.all()) == 2 - (kind == "event")
        assert gallery.events.picture(gallery.events.all()[-1].event_id) == (
            None if kind in ("picture", "event") else b"JPEG" * 100
        )
        gallery.enroll("Carl", [unit(9)], [0.8])
        (damage,) = gallery.damage()
        if kind == "person":
            assert gallery.rename(damage.owner, "Anna").templates == 2
        else:
            gallery.drop(damage.id)
        assert gallery.damage() == []
        gallery.templates()
        gallery.events.all()
        assert gallery.health.state == "ok"
        assert "Carl" in names(gallery)


@pytest.mark.parametrize("kind", ["person", "template"])
def test_whose_record_is_damaged_can_be_forgotten(path: Path, kind: str) -> None:
    flip_in(path, value(path, SEALED[kind][0]))
    with closing(Gallery(path, MODEL)) as gallery:
        (damage,) = gallery.damage()
        gallery.forget(damage.owner)
        assert names(gallery) == ["Bert"]
        assert gallery.damage() == []


def test_who_has_no_whole_template_is_listed_but_not_recognized(path: Path) -> None:
    for number in (1, 2):
        flip_in(path, value(path, f"SELECT sealed FROM templates WHERE id = {number}"))
    with closing(Gallery(path, MODEL)) as gallery:
        found = gallery.templates()
        assert [person.name for person in found.people] == ["Anna", "Bert"]
        assert {found.people[owner].name for owner in found.owners} == {"Bert"}
        gallery.drop(gallery.damage()[0].id)
        with pytest.raises(GalleryError, match="only template"):
            gallery.drop(gallery.damage()[0].id)
        enrolled(gallery, "Anna", 1)
        gallery.drop(gallery.damage()[0].id)
        assert gallery.damage() == []


@pytest.mark.parametrize("column", ["model", "proof"])
def test_a_bit_in_the_gallery_s_own_description_is_mended(path: Path, column: str) -> None:
    before = value(path, f"SELECT {column} FROM meta")
    flip_in(path, before, 1)
    with closing(Gallery(path, MODEL)) as gallery:
        assert names(gallery) == ["Anna", "Bert"]
        assert gallery.damage() == []
    if column == "model":
        assert value(path, "SELECT model FROM meta") == before


@pytest.mark.parametrize(
    ("query", "bit"),
    [
        ("SELECT id FROM people ORDER BY rowid LIMIT 1", 0),
        ("SELECT id FROM people ORDER BY rowid LIMIT 1", 7),
        ("SELECT person_id FROM templates WHERE id = 1", 0),
        ("SELECT id FROM events ORDER BY rowid LIMIT 1", 0),
        ("SELECT id FROM events ORDER BY rowid LIMIT 1", 7),
    ],
)
def test_a_bit_in_any_copy_of_an_id_leaves_bert_and_the_file_can_be_changed(path: Path, query: str, bit: int) -> None:
    """It stands in tables and indexes; each of its places is damaged in turn."""
    piece, data, at, places = value(path, query), path.read_bytes(), -1, 0
    while (at := data.find(piece, at + 1)) >= 0:
        places += 1
        path.write_bytes(data)
        path.with_name("gallery.db-wal").unlink(missing_ok=True)
        flip(path, at + len(piece) // 2, bit)
        with closing(Gallery(path, MODEL)) as gallery:
            found = gallery.templates()
            assert "Bert" in {found.people[owner].name for owner in found.owners}
            gallery.damage()
            gallery.events.all()
            gallery.enroll("Carl", [unit(9)], [0.8])
            gallery.forget("Bert")
            assert "Bert" not in names(gallery)
            assert len(gallery.templates().vectors) >= 1
    assert places >= 2


@pytest.mark.slow
def test_a_bit_anywhere_is_told_or_harmless_and_never_a_traceback(path: Path) -> None:
    """Every 211th byte, and all of the first page's header: schema, page headers, indexes, records."""
    data = path.read_bytes()
    told = 0
    for at in [*range(100), *range(100, len(data), 211)]:
        path.write_bytes(data)
        path.with_name("gallery.db-wal").unlink(missing_ok=True)
        path.with_name("gallery.db-shm").unlink(missing_ok=True)
        flip(path, at, at % 8)
        try:
            with closing(Gallery(path, MODEL)) as gallery:
                gallery.templates()
                gallery.export()
                gallery.damage()
                gallery.enroll("Carl", [unit(9)], [0.8])
        except GalleryError as error:
            told += 1
            assert len(str(error).splitlines()) == 1  # noqa: PT017
    assert told


@pytest.mark.parametrize("index", ["templates_of_person", "sqlite_autoindex_events_1", "sqlite_autoindex_pictures_1"])
def test_a_bit_in_an_index_hides_no_record(path: Path, index: str) -> None:
    """An entry may name another row then, one that is there."""
    data = path.read_bytes()
    (place,) = classes(path)[f"{index}: rows"]
    for at in range(place.start, place.end):
        path.write_bytes(data)
        flip(path, at, at % 3)
        with closing(Gallery(path, MODEL)) as gallery:
            assert len(gallery.templates().vectors) == 4
            assert len(gallery.events.all()) == 2
            assert gallery.events.picture(gallery.events.all()[-1].event_id) == b"JPEG" * 100
            assert gallery.health.state == "ok"
