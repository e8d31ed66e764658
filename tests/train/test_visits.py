"""Visits made of photos: for every person the right photos in the right place, and frames that look like a camera's."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tqdm", reason="belongs to the extra train")

from fixtures.frames import photo

from edgeface import detectors
from edgeface.errors import DataError, EdgefaceError
from edgeface.vision.images import load_image
from train.evaluation.visits import play, visits

PHOTOS = ("obama_portrait.jpg", "obama_press_room.jpg", "obama_congress.jpg")


@pytest.fixture
def people(tmp_path: Path) -> list[Path]:
    """Five people with three photos, or what is called so, and one with too few."""
    for name in "abcde":
        (tmp_path / "people" / name).mkdir(parents=True)
        for number, file in enumerate(PHOTOS):
            (tmp_path / "people" / name / f"{number}.jpg").write_bytes(photo(file).read_bytes())
    (tmp_path / "people" / "few").mkdir()
    (tmp_path / "people" / "few" / "0.jpg").write_bytes(photo(PHOTOS[0]).read_bytes())
    return sorted((tmp_path / "people").iterdir())


@pytest.mark.slow
def test_one_half_is_enrolled_the_other_are_strangers_and_no_photo_is_both_template_and_visit(
    people: list[Path], tmp_path: Path
) -> None:
    assert visits(people, tmp_path / "out", enroll=1, frames=3, fill=None, enrolled=1000) == (3, 2, 15)
    listed = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert [path for path in listed if path.startswith("gallery")] == [f"gallery/{name}/0.jpg" for name in "ace"]
    assert {path.split("/")[1] for path in listed if path.startswith("visits")} == set("ace")
    assert {path.split("/")[1] for path in listed if path.startswith("strangers")} == set("bd")
    assert [path for path in listed if path.startswith("visits/a/")] == [
        f"visits/a/{visit:02}/{frame:04}.jpg" for visit in (1, 2, 3) for frame in (1, 2, 3)
    ]


def test_others_fill_the_gallery_and_make_no_visit(people: list[Path], tmp_path: Path) -> None:
    fill = tmp_path / "fill"
    for name in ("a", "x", "y", "z"):
        (fill / name).mkdir(parents=True)
        (fill / name / "0.jpg").write_bytes(photo(PHOTOS[0]).read_bytes())
    assert visits(people, tmp_path / "out", enroll=1, frames=1, fill=fill, enrolled=5)[0] == 5
    assert sorted(path.name for path in (tmp_path / "out" / "gallery").iterdir()) == ["a", "c", "e", "x", "y"]


def test_visits_that_are_there_are_not_mixed_with_others(people: list[Path], tmp_path: Path) -> None:
    visits(people, tmp_path / "out", enroll=2, frames=2, fill=None, enrolled=10)
    with pytest.raises(DataError, match="there is a folder gallery already"):
        visits(people, tmp_path / "out", enroll=2, frames=2, fill=None, enrolled=10)
    with pytest.raises(EdgefaceError):
        visits(people, tmp_path / "other", enroll=2, frames=2, fill=tmp_path / "none", enrolled=10)
    assert not (tmp_path / "other").exists()


def test_nobody_with_enough_photos_is_told(people: list[Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no two people with more than 3 photos"):
        visits(people, tmp_path / "out", enroll=3, frames=1, fill=None, enrolled=5)


def test_a_visit_shows_its_photos_in_turn_moving_and_the_same_each_time() -> None:
    pictures = [load_image(photo(name)) for name in ("obama_portrait.jpg", "biden_portrait.jpg")]
    frames, again = (list(play(pictures, 6, np.random.default_rng(3))) for _ in range(2))
    assert all(np.array_equal(one, other) for one, other in zip(frames, again, strict=True))
    heights = [round(1.25 * picture.shape[0]) for picture in pictures]
    assert [frame.shape[0] for frame in frames] == [heights[0]] * 3 + [heights[1]] * 3
    found = [detectors.create().detect(frame) for frame in frames]
    assert [len(faces) for faces in found] == [1] * 6
    places = [faces[0].box.left / frame.shape[1] for faces, frame in zip(found, frames, strict=True)]
    assert len({round(place, 3) for place in places[:3]}) == 3
