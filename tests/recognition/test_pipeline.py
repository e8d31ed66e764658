from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.optional import needed
from msgspec.structs import replace

from edgeface.config.schema import Config, DetectorSettings, GallerySettings
from edgeface.errors import GalleryError
from edgeface.gallery.open import open_gallery
from edgeface.gallery.store import Gallery
from edgeface.recognition.pipeline import Pipeline
from edgeface.types import Decision, Observation, Person
from edgeface.vision.embedding import Embedder
from edgeface.vision.images import load_image

BLANK = np.full((480, 640, 3), 127, np.uint8)


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder()


@pytest.fixture
def settings(tmp_path: Path) -> Config:
    return Config(gallery=GallerySettings(str(tmp_path / "gallery.db")))


@pytest.fixture
def people(settings: Config, embedder: Embedder) -> Iterator[Gallery]:
    gallery = open_gallery(settings, embedder.card)
    yield gallery
    gallery.close()


@pytest.fixture
def pipeline(settings: Config, embedder: Embedder, people: Gallery) -> Pipeline:
    return Pipeline(settings, embedder, people)


@pytest.fixture
def show(pipeline: Pipeline, demo_photos: Path, photos: Path) -> Callable[..., list[Observation]]:
    """What the pipeline sees in a photo."""

    def observe(name: str, **options: Any) -> list[Observation]:
        path = demo_photos / name if (demo_photos / name).exists() else photos / name
        return pipeline.observe(load_image(path), **options)

    return observe


@pytest.fixture
def obama(show: Callable[..., list[Observation]], people: Gallery) -> Person:
    seen = [show(name)[0] for name in ("obama_portrait.jpg", "obama_congress.jpg")]
    return people.enroll("Barack Obama", [needed(face.embedding).vector for face in seen], [face.quality for face in seen])


def test_in_an_empty_gallery_everybody_is_a_stranger(show: Callable[..., list[Observation]]) -> None:
    (seen,) = show("obama_portrait.jpg")
    assert needed(seen.match).decision is Decision.REJECT
    assert (needed(seen.match).person_id, needed(seen.match).name) == (None, None)


def test_somebody_enrolled_is_accepted_on_another_photo(show: Callable[..., list[Observation]], obama: Person) -> None:
    (seen,) = show("obama_press_room.jpg")
    assert needed(seen.match).decision is Decision.ACCEPT
    assert (needed(seen.match).person_id, needed(seen.match).name) == (obama.id, "Barack Obama")
    assert needed(seen.match).score >= needed(seen.match).threshold
    assert seen.quality > 0.5


@pytest.mark.parametrize("photo", ["collins_portrait.jpg", "biden_portrait.jpg", "biden_blue_room.jpg"])
def test_somebody_else_is_not_accepted(show: Callable[..., list[Observation]], obama: Person, photo: str) -> None:
    (seen,) = show(photo)
    assert needed(seen.match).decision is not Decision.ACCEPT
    assert needed(seen.match).score < needed(seen.match).threshold


def test_two_people_in_one_picture_are_told_apart(
    show: Callable[..., list[Observation]], people: Gallery, obama: Person
) -> None:
    (biden,) = show("biden_portrait.jpg")
    people.enroll("Joe Biden", [needed(biden.embedding).vector], [biden.quality])
    seen = sorted(show("obama_and_biden_blue_room.jpg"), key=lambda face: face.face.box.left)
    assert [needed(face.match).name for face in seen] == ["Barack Obama", "Joe Biden"]
    assert [needed(face.match).decision for face in seen] == [Decision.ACCEPT] * 2


def test_a_blank_picture_shows_nobody(pipeline: Pipeline, obama: Person) -> None:
    assert pipeline.observe(BLANK) == []


def test_what_another_process_changes_in_the_gallery_counts_at_once(
    show: Callable[..., list[Observation]], settings: Config, embedder: Embedder, obama: Person
) -> None:
    other = open_gallery(settings, embedder.card)
    assert needed(show("obama_press_room.jpg")[0].match).name == "Barack Obama"
    other.rename(obama.id, "Barry")
    assert needed(show("obama_press_room.jpg")[0].match).name == "Barry"
    other.forget(obama.id)
    assert needed(show("obama_press_room.jpg")[0].match).decision is Decision.REJECT
    (seen,) = show("collins_portrait.jpg")
    other.enroll("Eileen", [needed(seen.embedding).vector], [seen.quality])
    assert needed(show("collins_portrait.jpg")[0].match).name == "Eileen"
    other.close()


def test_small_and_poor_faces_do_not_count_unless_every_face_is_wanted(
    embedder: Embedder, people: Gallery, settings: Config, demo_photos: Path
) -> None:
    image = load_image(demo_photos / "collins_portrait.jpg")
    strict = DetectorSettings(min_eye_distance=100)
    pipeline = Pipeline(Config(detector=strict, gallery=settings.gallery), embedder, people)
    assert pipeline.observe(image) == []
    assert pipeline.observe(image, every_face=True)[0].match is not None

    strict = DetectorSettings(min_quality=1.0)
    pipeline = Pipeline(Config(detector=strict, gallery=settings.gallery), embedder, people)
    (seen,) = pipeline.observe(image)
    assert (seen.embedding, seen.match) == (None, None)
    assert 0 < seen.quality < 1
    assert pipeline.observe(image, every_face=True)[0].match is not None


def test_views_that_the_network_makes_little_of_do_not_count(
    pipeline: Pipeline, embedder: Embedder, demo_photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clear = load_image(demo_photos / "collins_portrait.jpg")
    noisy = np.clip(clear + np.random.default_rng(0).normal(0, 40, clear.shape), 0, 255).astype(np.uint8)
    strong, weak = (needed(pipeline.observe(image, every_face=True)[0].embedding).norm for image in (clear, noisy))
    assert weak < 0.85 * strong
    assert strong > embedder.card.min_norm
    monkeypatch.setattr(embedder, "card", replace(embedder.card, min_norm=(weak + strong) / 2))
    assert pipeline.observe(clear)[0].match is not None
    (vague,) = pipeline.observe(noisy)
    assert (vague.embedding, vague.match) == (None, None)
    assert pipeline.observe(noisy, every_face=True)[0].match is not None


def test_while_the_gallery_cannot_be_read_those_known_are_recognized(
    show: Callable[..., list[Observation]],
    pipeline: Pipeline,
    people: Gallery,
    obama: Person,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    show("obama_press_room.jpg")

    def broken() -> None:
        raise GalleryError("disk I/O error")

    monkeypatch.setattr(people, "templates", broken)
    people.enroll("Somebody", [np.eye(128, dtype=np.float32)[0]], [0.9])
    for _ in range(3):
        (seen,) = show("obama_press_room.jpg")
        assert (needed(seen.match).decision, needed(seen.match).name) == (Decision.ACCEPT, "Barack Obama")
    assert caplog.text.count("disk I/O error") == 1
    monkeypatch.undo()
    pipeline._blind_until = 0.0
    show("obama_press_room.jpg")
    assert len(pipeline.templates.people) == 2
