"""The views of a person, with their kept faces."""

from pathlib import Path

import numpy as np
from fixtures.galleries import MODEL, enrolled, kept, unit, units

from edgeface.gallery.store import Gallery
from edgeface.types import EventType
from edgeface.vision.images import decode_image


def test_each_view_has_its_face_and_a_dropped_one_has_none(tmp_path: Path) -> None:
    chips = [np.full((112, 112, 3), shade, np.uint8) for shade in (40, 200)]
    gallery = Gallery(tmp_path / "gallery.db", MODEL, keep_faces=True)
    anna = gallery.enroll("Anna", units(1, 2), [0.8, 0.6], chips)
    gallery.enroll("Bob", units(3), [0.7], chips[:1])
    first, second = gallery.views(anna.id)
    assert [(view.quality, view.source, view.face) for view in (first, second)] == [(0.8, "", True), (0.6, "", True)]
    for view, chip in ((first, chips[0]), (second, chips[1])):
        assert np.array_equal(decode_image(gallery.kept_face(anna.id, view.id) or b"", "face"), chip)
    gallery.drop(first.id)
    assert gallery.views(anna.id) == [second]
    assert gallery.kept_face(anna.id, first.id) is None
    assert gallery.people_with_faces() == {person.id for person in gallery.people()}
    gallery.forget(anna.id)
    assert (gallery.views(anna.id), gallery.kept_face(anna.id)) == ([], None)
    gallery.close()


def test_a_view_of_a_visit_names_its_event_and_a_gallery_without_faces_has_none(tmp_path: Path) -> None:
    gallery = Gallery(tmp_path / "gallery.db", MODEL)
    anna = enrolled(gallery, "Anna", 1)
    event = kept(gallery, None, unit(2), EventType.UNKNOWN)
    gallery.learn(event, anna.id, "confirmed", keep=True)
    assert [(view.source, view.face) for view in gallery.views(anna.id)] == [("", False), (event.event_id, False)]
    assert gallery.kept_face(anna.id) is None
    assert gallery.people_with_faces() == set()
    assert gallery.views("p_nobody") == []
    gallery.close()
