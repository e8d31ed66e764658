"""A gallery of one network is taken over to another_model, from the faces that were kept."""

import errno
import fcntl
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from fixtures.galleries import keeping
from fixtures.optional import needed
from fixtures.reembed import House, house

from edgeface.daemon.assembly import assemble
from edgeface.doctor import Check, examine
from edgeface.errors import GalleryError
from edgeface.gallery import sqlite
from edgeface.gallery.store import template_id
from edgeface.recognition.event_id import new_event_id
from edgeface.types import EventType
from edgeface.vision.model_card import SHIPPED
from edgeface.wire.events import Event

__all__ = ["house"]


def test_people_are_taken_over_with_the_templates_that_their_faces_give(house: House, other_model: Path) -> None:
    barack, joe = house.enroll("Barack", "obama_portrait", "obama_congress"), house.enroll("Joe", "biden_portrait")
    with house.open() as gallery:
        before = gallery.templates()
    heard = []
    done = house.reembed(other_model, alive=lambda: heard.append(1))
    assert (needed(done).people, needed(done).templates, needed(done).lost, needed(done).dropped) == (2, 3, 0, ())
    assert len(heard) == 3
    with house.open(other_model) as gallery:
        after = gallery.templates()
        assert gallery.people() == [barack, joe]
        assert gallery.faces() == 3
    np.testing.assert_array_equal(after.vectors, before.vectors)
    np.testing.assert_array_equal(after.owners, before.owners)
    with pytest.raises(GalleryError, match="edgeface gallery reembed"), house.open():
        pass
    assert house.reembed(other_model) is None
    assert needed(house.reembed(SHIPPED)).templates == 3


def test_a_gallery_that_is_open_is_not_taken_over(house: House, other_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "LOCK_TIMEOUT_S", 0.1)
    house.enroll("Barack", "obama_portrait")
    with house.open() as there:
        with pytest.raises(GalleryError, match="stop it first"):
            house.reembed(other_model)
        assert [person.name for person in there.templates().people] == ["Barack"]
    assert needed(house.reembed(other_model)).templates == 1


def without_locks(*_: object) -> None:
    raise OSError(errno.ENOTSUP, "not supported")


def test_who_still_has_the_old_network_writes_nothing_into_a_gallery_that_was_taken_over(
    house: House, other_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", without_locks)
    barack = house.enroll("Barack", "obama_portrait")
    with house.open() as old:
        vector = old.templates().vectors[0]
        event = Event(EventType.RECOGNIZED, new_event_id(1e9), 1e9, 0.0, "front", person_id=needed(barack).id, embedding=vector)
        house.reembed(other_model)
        for change in (lambda: old.events.keep(event, keeping()), lambda: old.enroll("Zoe", [-vector], [0.9])):
            with pytest.raises(GalleryError, match="is of the model"):
                change()
    with house.open(other_model) as gallery:
        assert gallery.events.all() == []
        gallery.forget("Barack")


def test_what_has_no_face_goes_and_is_counted(house: House, other_model: Path) -> None:
    barack = house.enroll("Barack", "obama_portrait")
    house.keep_faces = False
    house.enroll("Barack", "obama_congress")
    with house.open() as gallery:
        vector = gallery.templates().vectors[0]
        event = Event(
            EventType.RECOGNIZED, new_event_id(1e9), 1e9, 0.0, "front", person_id=needed(barack).id, embedding=-vector
        )
        gallery.events.keep(event, keeping())
        gallery.learn(gallery.events.find(event.event_id), needed(barack).id, "rejected", keep=True)
    done = house.reembed(other_model)
    assert (needed(done).people, needed(done).templates, needed(done).lost) == (1, 1, 2)
    with house.open(other_model) as gallery:
        assert [person.templates for person in gallery.people()] == [1]
        assert gallery.events.all() == []
        assert len(gallery.templates().negatives) == 0


def test_nobody_is_lost_unless_it_is_wished(house: House, other_model: Path) -> None:
    house.enroll("Barack", "obama_portrait")
    house.keep_faces = False
    house.enroll("Joe", "biden_portrait")
    before = house.path.read_bytes()
    with pytest.raises(GalleryError, match="no faces are kept of Joe") as caught:
        house.reembed(other_model)
    assert len(str(caught.value).splitlines()) == 1
    assert house.path.read_bytes() == before
    assert needed(house.reembed(other_model, drop=True)).dropped == ("Joe",)
    with house.open(other_model) as gallery:
        assert [person.name for person in gallery.people()] == ["Barack"]
    assert house.rows("people") == 1


def test_to_enroll_the_same_photo_again_keeps_its_face(house: House, other_model: Path) -> None:
    house.keep_faces = False
    house.enroll("Barack", "obama_portrait")
    house.keep_faces = True
    assert needed(house.enroll("Barack", "obama_portrait")).templates == 1
    assert needed(house.reembed(other_model)).lost == 0


def test_a_face_goes_with_its_template_and_with_its_person(house: House) -> None:
    barack = house.enroll("Barack", "obama_portrait", "obama_congress")
    house.enroll("Joe", "biden_portrait")
    with house.open() as gallery:
        with closing(sqlite3.connect(house.path)) as database:
            faces = [sealed for (sealed,) in database.execute("SELECT sealed FROM faces ORDER BY template")]
        assert traces(house, faces) == [True] * 3
        gallery.drop(template_id(needed(barack).id, gallery.templates().vectors[0]))
        assert traces(house, faces) == [False, True, True]
        gallery.forget(needed(barack).id)
        assert traces(house, faces) == [False, False, True]


def traces(house: House, faces: list[Any]) -> list[Any]:
    """Of which faces any piece of 32 bytes lies in any file beside the gallery."""
    data = b"".join(file.read_bytes() for file in house.path.parent.iterdir())
    return [any(face[start : start + 32] in data for start in range(0, len(face) - 31, 32)) for face in faces]


def test_what_a_shared_gallery_brings_leaves_the_faces_of_what_stays(house: House) -> None:
    barack = needed(house.enroll("Barack", "obama_portrait", "obama_congress"))
    with house.open() as gallery:
        copy = gallery.shared()[barack.id]
        gallery.exchange(lambda _: {barack.id: msgspec.structs.replace(copy, name="President", templates=copy.templates[:1])})
        assert (gallery.people()[0].name, gallery.faces()) == ("President", 1)


def test_the_daemon_takes_over_by_itself_and_erases_what_is_to_be_kept_no_more(
    house: House, other_model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    house.enroll("Barack", "obama_portrait")
    (check,) = examine_gallery(house, other_model)
    assert check.ok
    assert "taken over at the next start" in check.found
    with closing(assemble(house.settings, model=other_model).gallery) as gallery:
        assert (len(gallery.people()), gallery.faces()) == (1, 1)
    house.keep_faces = False
    with closing(assemble(house.settings, model=other_model).gallery) as gallery:
        assert (len(gallery.people()), gallery.faces()) == (1, 0)
    (check,) = examine_gallery(house, SHIPPED)
    assert not check.ok
    assert "no faces are kept of Barack" in check.found
    with (
        closing(assemble(house.settings, model=SHIPPED).gallery) as gallery,
        pytest.raises(GalleryError, match="is of the model"),
    ):
        gallery.people()
    assert "no faces are kept of 1 of its people" in caplog.text


def examine_gallery(house: House, model: Path) -> Iterator[Check]:
    file = house.path.parent / "edgeface.toml"
    file.write_text(f"[gallery]\npath = {json.dumps(str(house.path))}\n")
    return examine(file, model, ["gallery"])
