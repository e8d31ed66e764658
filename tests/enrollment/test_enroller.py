import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import pytest
from fixtures.optional import needed
from numpy.typing import NDArray

from edgeface import detectors
from edgeface.config.schema import Config, GallerySettings
from edgeface.enrollment.enroller import Enroller, Report, read_images
from edgeface.errors import GalleryError, ImageError
from edgeface.gallery.open import open_gallery
from edgeface.gallery.store import Gallery
from edgeface.recognition.pipeline import Pipeline
from edgeface.types import Image
from edgeface.vision.embedding import Embedder
from edgeface.vision.images import load_image

BLANK = np.full((480, 640, 3), 127, np.uint8)


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder()


@pytest.fixture
def gallery(tmp_path: Path, embedder: Embedder) -> Iterator[Gallery]:
    opened = open_gallery(Config(gallery=GallerySettings(str(tmp_path / "gallery.db"))), embedder.card)
    yield opened
    opened.close()


@pytest.fixture
def enroller(gallery: Gallery, embedder: Embedder) -> Enroller:
    """Enrolls as a fresh command would: with the gallery as it is now."""

    class Fresh:
        def __getattr__(self, name: str) -> Any:
            pipeline = Pipeline(Config(), embedder, gallery)
            return getattr(Enroller(pipeline, gallery), name)

    return cast(Enroller, Fresh())


@pytest.fixture
def portrait(demo_photos: Path) -> Image:
    return load_image(demo_photos / "obama_portrait.jpg")


def scaled(image: Image, factor: float) -> NDArray[Any]:
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)


def refusal(report: Report) -> str:
    assert report.person is None
    assert report.accepted == []
    ((_, reason),) = report.refused
    assert len(reason.splitlines()) == 1
    return str(reason)


def test_good_photos_become_templates_of_one_person(enroller: Enroller, gallery: Gallery, demo_photos: Path) -> None:
    paths = [demo_photos / "obama_portrait.jpg", demo_photos / "obama_congress.jpg"]
    report = enroller.enroll("  Änna ", read_images(paths))
    assert report.accepted == [str(path) for path in paths]
    assert report.refused == []
    assert gallery.people() == [report.person]
    assert (needed(report.person).name, needed(report.person).templates) == ("Änna", 2)


def test_another_photo_of_the_same_name_adds_to_that_person(enroller: Enroller, gallery: Gallery, demo_photos: Path) -> None:
    first = needed(enroller.enroll("Anna", read_images([demo_photos / "obama_portrait.jpg"])).person)
    second = needed(enroller.enroll("Anna", read_images([demo_photos / "obama_congress.jpg"])).person)
    assert (second.id, second.templates) == (first.id, 2)
    again = needed(enroller.enroll("Anna", read_images([demo_photos / "obama_congress.jpg"])).person)
    assert again.templates == 2
    assert len(gallery.people()) == 1


def test_a_picture_without_a_face_is_refused(enroller: Enroller) -> None:
    assert "no face" in refusal(enroller.enroll("Anna", [("blank", BLANK)]))


def test_a_picture_of_two_people_is_refused(enroller: Enroller, photos: Path) -> None:
    report = enroller.enroll("Anna", read_images([photos / "obama_and_biden_blue_room.jpg"]))
    assert "2 faces" in refusal(report)


def test_somebody_small_in_the_background_is_no_second_person(enroller: Enroller, portrait: Image, demo_photos: Path) -> None:
    small = scaled(load_image(demo_photos / "collins_portrait.jpg"), 0.3)
    picture = portrait.copy()
    picture[-small.shape[0] :, -small.shape[1] :] = small
    faces = detectors.create().detect(picture)
    if len(faces) < 2:
        pytest.skip("the detector does not see the small face")
    assert enroller.enroll("Anna", [("both", picture)]).person


def test_a_tiny_face_is_refused(enroller: Enroller, portrait: Image) -> None:
    assert "too small" in refusal(enroller.enroll("Anna", [("tiny", scaled(portrait, 0.2))]))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda image: cv2.GaussianBlur(image, (0, 0), 12),
        lambda image: (image * 0.12).astype(np.uint8),
    ],
    ids=["blurred", "dark"],
)
def test_a_poor_picture_is_refused_with_its_quality(
    enroller: Enroller, portrait: Image, spoil: Callable[..., NDArray[Any]]
) -> None:
    reason = refusal(enroller.enroll("Anna", [("poor", spoil(portrait))]))
    assert "quality" in reason or "no face" in reason


def test_files_that_are_no_pictures_are_refused_each_with_its_reason_and_the_good_one_stays(
    enroller: Enroller, tmp_path: Path, demo_photos: Path
) -> None:
    (tmp_path / "text.jpg").write_text("I am no picture")
    (tmp_path / "empty.png").touch()
    good = demo_photos / "obama_portrait.jpg"
    paths = [tmp_path / "text.jpg", tmp_path / "empty.png", tmp_path / "absent.jpg", good]
    report = enroller.enroll("Anna", read_images(paths))
    assert report.accepted == [str(good)]
    assert [path for path, _ in report.refused] == [str(path) for path in paths[:3]]
    for (path, reason), part in zip(report.refused, ("not a JPEG", "empty", "No such file"), strict=True):
        assert part in reason
        assert path not in reason  # it is told beside the reason
    assert needed(report.person).templates == 1


def test_a_folder_stands_for_the_pictures_in_it(tmp_path: Path, demo_photos: Path) -> None:
    for name in ("b.JPG", "a.jpg"):
        (tmp_path / name).write_bytes((demo_photos / "obama_portrait.jpg").read_bytes())
    (tmp_path / "notes.txt").write_text("not a picture")
    found = list(read_images([tmp_path]))
    assert [label for label, _ in found] == [str(tmp_path / "a.jpg"), str(tmp_path / "b.JPG")]
    assert all(isinstance(image, np.ndarray) for _, image in found)


def test_a_folder_without_pictures_is_told(tmp_path: Path) -> None:
    ((label, error),) = read_images([tmp_path])
    assert label == str(tmp_path)
    assert "no image" in str(error)


def test_a_face_known_under_another_name_is_refused_unless_forced(
    enroller: Enroller, gallery: Gallery, portrait: Image
) -> None:
    enroller.enroll("Anna", [("one", portrait)])
    reason = refusal(enroller.enroll("Berta", [("one", portrait)]))
    assert "'Anna'" in reason
    assert reason.endswith("; force enrolls it anyway")
    report = enroller.enroll("Berta", [("one", portrait)], force=True)
    assert needed(report.person).name == "Berta"
    assert [person.name for person in gallery.people()] == ["Anna", "Berta"]


def test_a_face_unlike_the_templates_of_its_name_is_refused_unless_forced(
    enroller: Enroller, gallery: Gallery, portrait: Image, demo_photos: Path
) -> None:
    enroller.enroll("Anna", read_images([demo_photos / "obama_portrait.jpg", demo_photos / "obama_congress.jpg"]))
    other = load_image(demo_photos / "biden_portrait.jpg")
    reason = refusal(enroller.enroll(" Anna ", [("other", other)]))
    assert re.fullmatch(r"this face is not like that of 'Anna': score 0\.\d\d \(needs 0\.30\); force enrolls it anyway", reason)
    assert gallery.find("Anna").templates == 2
    report = enroller.enroll("Anna", [("other", other), ("own", portrait)])
    assert (report.accepted, [label for label, _ in report.refused]) == (["own"], ["other"])
    assert needed(enroller.enroll("Anna", [("other", other)], force=True).person).templates == 3


def test_a_name_that_another_face_got_meanwhile_gets_no_view_of_this_one(
    enroller: Enroller, portrait: Image, demo_photos: Path
) -> None:
    view = enroller.judge("one", portrait, "Anna")
    enroller.enroll("Anna", read_images([demo_photos / "biden_portrait.jpg"]))
    with pytest.raises(GalleryError, match=r"'Anna' was enrolled with another face meanwhile: .*; force enrolls it anyway"):
        enroller.keep("Anna", [view])
    assert enroller.keep("Anna", [view], force=True).templates == 2


def test_the_same_name_written_another_way_is_the_same_person(enroller: Enroller, gallery: Gallery, portrait: Image) -> None:
    enroller.enroll("Zo\u00eb", [("one", portrait)])
    report = enroller.enroll(" Zoe\u0308 ", [("one", portrait)])
    assert report.refused == []
    assert len(gallery.people()) == 1


@pytest.mark.parametrize("name", ["", "   ", "a\nb", "x" * 101, "\udcff"])
def test_a_name_that_is_none_is_refused_before_any_picture(
    enroller: Enroller, gallery: Gallery, portrait: Image, name: str
) -> None:
    with pytest.raises(GalleryError):
        enroller.enroll(name, [("one", portrait)])
    assert gallery.people() == []


def test_judging_says_what_is_wrong_with_a_view(enroller: Enroller) -> None:
    with pytest.raises(ImageError, match="no face"):
        enroller.judge("blank", BLANK, "Anna")
