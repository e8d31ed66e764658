"""How people stand in a gallery: on real photos, and on vectors made for the purpose."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.optional import needed
from fixtures.sitters import sitter
from numpy.typing import NDArray
from typer.testing import CliRunner

from edgeface.cli import app
from edgeface.config.schema import CameraSettings, Config, GallerySettings, MatchingSettings
from edgeface.enrollment.assessment import LENS, assess, distance, template_scores
from edgeface.enrollment.enroller import Assessment, Enroller, read_images
from edgeface.enrollment.gallery_check import FEW, Finding, check
from edgeface.errors import EdgefaceError, GalleryError
from edgeface.gallery.open import open_gallery
from edgeface.gallery.store import template_id
from edgeface.recognition.matching import Matcher
from edgeface.recognition.pipeline import Pipeline
from edgeface.types import Image
from edgeface.vision.embedding import Embedder

OBAMA = ["obama_portrait.jpg", "obama_congress.jpg", "obama_press_room.jpg"]


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder()


class House:
    """A gallery, and what one asks about it."""

    def __init__(self, folder: Path, embedder: Embedder) -> None:
        self.folder, self.embedder = folder, embedder
        self.settings = Config(gallery=GallerySettings(str(folder / "gallery.db")))
        self.gallery = open_gallery(self.settings, embedder.card)

    def enroll(
        self, name: str, images: Iterator[tuple[str, Image | EdgefaceError]] | list[Any], *, force: bool = False
    ) -> Assessment:
        pipeline = Pipeline(self.settings, self.embedder, self.gallery)
        report = Enroller(pipeline, self.gallery).enroll(name, images, force=force)
        return assess(pipeline, self.settings, needed(report.person), report.views)

    def add(self, name: str, *vectors: NDArray[Any]) -> None:
        self.gallery.enroll(name, list(vectors), [1.0] * len(vectors))

    def check(self) -> list[Finding]:
        templates = self.gallery.templates()
        return check(templates, Matcher(templates, self.embedder.card, MatchingSettings()))


@pytest.fixture
def house(tmp_path: Path, embedder: Embedder) -> Iterator[House]:
    house = House(tmp_path, embedder)
    yield house
    house.gallery.close()


def vector(*parts: float) -> NDArray[Any]:
    """A unit vector with these components first."""
    made = np.zeros(128, np.float32)
    made[: len(parts)] = parts
    return made / np.linalg.norm(made)


def test_an_enrollment_says_how_the_person_stands(house: House, demo_photos: Path) -> None:
    house.enroll("Biden", read_images([demo_photos / "biden_portrait.jpg"]))
    told = house.enroll("Obama", read_images([demo_photos / name for name in OBAMA]))
    assert told.nearest == "Biden"
    assert needed(told.score) < told.threshold
    assert needed(told.margin) > 0.2
    assert needed(told.weakest).endswith(tuple(OBAMA))
    assert needed(told.weakest_score) > told.threshold
    assert told.metres == pytest.approx(distance(640, needed(told.pixels)))
    assert told.told.startswith(f"will be recognized from about {told.metres:.1f} m")
    assert f"{LENS:.0f} degrees" in told.told
    assert told.advice == ["3 of 5 views: edgeface enroll Obama adds those that are missing"]


def test_sixteen_pixels_between_the_eyes_are_two_metres_at_640_pixels() -> None:
    assert distance(640, 16) == pytest.approx(2.1, abs=0.01)
    assert distance(1280, 16) == pytest.approx(2 * distance(640, 16))


def test_one_photo_promises_nothing(house: House, demo_photos: Path) -> None:
    told = house.enroll("Obama", read_images([demo_photos / OBAMA[0]]))
    assert (told.metres, told.weakest, told.nearest) == (None, None, None)
    assert "one view alone" in told.told


def test_views_that_are_not_alike_are_said_to_be_hardly_recognized(house: House) -> None:
    told = house.enroll("Eve", [("a", sitter()), ("b", sitter("biden_portrait.jpg"))])
    assert told.metres is None
    assert "hardly" in told.told
    assert any("is little like the others" in advice for advice in told.advice)


def test_who_looks_like_another_is_told(house: House) -> None:
    house.enroll("Joe", [("a", sitter("biden_portrait.jpg"))])
    told = house.enroll("Eve", [("b", sitter("biden_portrait.jpg", yaw=0.2))], force=True)
    assert needed(told.score) > told.threshold
    assert any("Joe looks alike" in advice for advice in told.advice)


def test_the_camera_s_width_counts(house: House) -> None:
    house.settings = Config(gallery=house.settings.gallery, camera=CameraSettings(width=1280))
    told = house.enroll("Obama", [(str(yaw), sitter(yaw=yaw)) for yaw in (-0.2, 0.0, 0.2)])
    assert told.metres == pytest.approx(distance(1280, needed(told.pixels)))


def test_a_sound_gallery_has_no_fault(house: House) -> None:
    house.add("Anna", vector(1, 0.3), vector(1, 0, 0.3), vector(1, 0, 0, 0.3))
    house.add("Berta", vector(0, 0, 0, 0, 1, 0.3), vector(0, 0, 0, 0, 1, 0, 0.3), vector(0, 0, 0, 0, 1, 0, 0, 0.3))
    assert house.check() == []


def test_each_fault_is_found_with_the_command_that_cures_it(house: House) -> None:
    stray, odd = vector(0, 0, 0, 0, 1, 0.2), vector(0, 0, 0, 0, 0, 0, 0, 0, 1)
    house.add("Anna", vector(1, 0.3), vector(1, 0, 0.3), vector(1, 0, 0, 0.3), stray)
    house.add("Berta B", vector(0, 0, 0, 0, 1, 0.3), vector(0, 0, 0, 0, 1, 0, 0.3), vector(0, 0, 0, 0, 1, 0, 0, 0.3), odd)
    house.add("Carl", vector(*[0] * 10, 1))
    found = {finding.kind: finding for finding in house.check()}
    anna, berta = (house.gallery.find(name).id for name in ("Anna", "Berta B"))
    assert found["mislabelled"].cure == f"edgeface gallery drop {template_id(anna, stray)}"
    assert found["weak"].cure == f"edgeface gallery drop {template_id(berta, odd)}"
    assert found["few"].cure == "edgeface enroll Carl"
    assert found["look-alikes"].cure == "edgeface enroll Anna && edgeface enroll 'Berta B'"
    for finding in found.values():
        if "drop" in finding.cure:
            house.gallery.drop(finding.cure.split()[-1])
    assert [finding.kind for finding in house.check()] == ["few"]


def test_a_template_that_two_people_have_is_dropped_of_the_one_who_is_named(house: House) -> None:
    stray = vector(1, 0.4)
    house.add("Anna", vector(1, 0.3), vector(1, 0, 0.3), vector(1, 0, 0, 0.3), stray)
    house.add("Zoe", vector(0, 0, 0, 0, 1, 0.3), vector(0, 0, 0, 0, 1, 0, 0.3), vector(0, 0, 0, 0, 1, 0, 0, 0.3), stray)
    assert needed(house.gallery.drop(template_id(house.gallery.find("Zoe").id, stray))[0]).name == "Zoe"
    assert [person.templates for person in house.gallery.people()] == [4, 3]


def test_one_person_under_two_names_is_one_finding(house: House) -> None:
    house.add("Anna", *(vector(1, *[0] * n, 0.3) for n in range(4)))
    house.add("Ann", *(vector(1, *[0] * n, 0.3) for n in range(4, 7)))
    (finding,) = house.check()
    assert finding.kind == "look-alikes"
    assert "seem to be one person" in finding.found
    assert finding.cure == f"edgeface people merge {house.gallery.find('Ann').id} {house.gallery.find('Anna').id}"


def test_the_only_template_is_not_dropped(house: House) -> None:
    house.add("Carl", vector(1))
    with pytest.raises(GalleryError, match="the only template"):
        house.gallery.drop(template_id(house.gallery.find("Carl").id, vector(1)))
    with pytest.raises(GalleryError, match="no template"):
        house.gallery.drop("00000000")


def test_how_one_stands_is_the_same_as_how_one_is_matched(house: House) -> None:
    rng = np.random.default_rng(0)
    for name in ("Anna", "Berta", "Carl"):
        house.add(name, *(vector(*rng.normal(size=128)) for _ in range(4)))
    templates = house.gallery.templates()
    matcher = Matcher(templates, house.embedder.card, MatchingSettings())
    for index in range(3):
        one = template_scores(templates, matcher, index)
        for probe, rival, score in zip(one.vectors, one.rivals, one.non_mated, strict=True):
            scores = matcher.scores(probe)
            assert scores[rival] == score == np.delete(scores, index).max()


def test_the_command_tells_and_exits_with_one(house: House, tmp_path: Path) -> None:
    file = tmp_path / "edgeface.toml"
    file.write_text(f'[gallery]\npath = "{house.settings.gallery.path}"\n')
    house.add("Anna", vector(1, 0.3), vector(1, 0, 0.3))
    run = CliRunner().invoke(app, ["--config", str(file), "gallery", "check"])
    assert run.exit_code == 1
    assert "-> edgeface enroll Anna" in run.stdout
    told = CliRunner().invoke(app, ["--config", str(file), "gallery", "check", "--json"])
    assert [finding["kind"] for finding in json.loads(told.stdout)["findings"]] == ["few"]
    house.add("Anna", vector(1, 0, 0, 0.3))
    assert FEW == 3
    run = CliRunner().invoke(app, ["--config", str(file), "gallery", "check"])
    assert (run.exit_code, run.stdout) == (0, "1 enrolled, nothing to mend\n")
