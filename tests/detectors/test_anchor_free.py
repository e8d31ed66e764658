"""A detector of our own: how its numbers become faces, and what its files may be.

The network of these tests was trained for seconds. With a low ``min_score`` it says something of every picture: what it says
must be in the right places, whatever it is.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgeface.detectors import create
from edgeface.detectors.anchor_free import CARD, NUMBERS, AnchorFree, rows_of, suppressed
from edgeface.errors import ModelError
from edgeface.vision.images import load_image

ANYTHING = 0.01


def row(left: Any, top: Any, score: Any, side: Any = 40.0) -> Any:
    """A face with its landmarks on its diagonal."""
    points = [value for part in (0.2, 0.4, 0.5, 0.6, 0.8) for value in (left + part * side, top + part * side)]
    return [left, top, side, side, *points, score, 0.5]


def rows(*each: Any) -> Any:
    return np.array(each, np.float32).reshape(-1, NUMBERS)


def test_the_numbers_of_a_cell_are_in_strides_from_its_middle() -> None:
    values = np.zeros((2, NUMBERS), np.float32)
    values[1, 2:4] = 0.5, -0.5
    values[1, 4:6] = np.log(2), np.log(4)
    values[1, 6:8] = 1.0, -1.0
    first, second = rows_of(values, np.array([0, 11]), columns=10, stride=16)
    assert first[:4] == pytest.approx([0, 0, 16, 16])
    assert first[4:14] == pytest.approx([8] * 10)
    assert first[14] == pytest.approx(0.5)
    # Cell 11 is the second of the second row: its middle is (24, 24).
    assert second[:4] == pytest.approx([24 + 8 - 16, 24 - 8 - 32, 32, 64])
    assert second[4:6] == pytest.approx([40, 8])


def test_no_numbers_are_too_wild_to_be_faces() -> None:
    values = np.random.default_rng(0).normal(0, 200, (500, NUMBERS)).astype(np.float32)
    values[:, 0] = 1.0
    found = suppressed(rows_of(values, np.arange(500), columns=25, stride=32))
    assert len(found)
    assert np.isfinite(found).all()


def test_boxes_of_one_face_are_joined_and_others_stay() -> None:
    found = suppressed(rows(row(0, 0, 0.9), row(4, 0, 0.3), row(200, 0, 0.5), row(16, 0, 0.2)))
    assert [round(float(each[14]), 3) for each in found] == [0.9, 0.5]
    assert found[0, 0] == pytest.approx((0.9 * 0 + 0.3 * 4) / 1.2)  # the fourth overlaps too little to say where it is
    assert found[0, 4] == pytest.approx(8 + 1.0)
    assert found[1, :4] == pytest.approx([200, 0, 40, 40])
    assert suppressed(rows()).shape == (0, NUMBERS)


def test_the_surest_box_decides_whatever_the_order() -> None:
    given = [row(0, 0, 0.9), row(12, 0, 0.8), row(24, 0, 0.7)]
    expected = suppressed(rows(*given))
    for order in ([2, 1, 0], [1, 2, 0]):
        assert suppressed(rows(*(given[i] for i in order))) == pytest.approx(expected)


@pytest.fixture
def eager(own_detector: Any) -> Any:
    return AnchorFree(own_detector, min_score=ANYTHING)


def places(faces: Any) -> Any:
    return np.array([[*face.landmarks.ravel(), face.box.left, face.box.width] for face in faces]).reshape(-1, 12)


@pytest.fixture(scope="module")
def photo(demo_photos: Any) -> Any:
    return cv2.resize(load_image(demo_photos / "obama_portrait.jpg"), (320, 256), interpolation=cv2.INTER_AREA)


@pytest.mark.slow
def test_faces_are_values_as_any_detectors_the_largest_first(eager: Any, photo: Any) -> None:
    before = photo.copy()
    faces = eager.detect(photo)
    assert faces
    areas = [face.box.width * face.box.height for face in faces]
    assert areas == sorted(areas, reverse=True)
    for face in faces:
        assert ANYTHING <= face.score <= 1.0
        assert (face.landmarks.shape, face.landmarks.dtype) == ((5, 2), np.float32)
    assert np.array_equal(photo, before)


@pytest.mark.slow
def test_places_are_in_the_pictures_own_pixels(own_detector: Any, photo: Any) -> None:
    small = AnchorFree(own_detector, max_side=320, min_score=ANYTHING)
    large = cv2.resize(photo, None, fx=3, fy=3, interpolation=cv2.INTER_NEAREST)
    one, three = places(small.detect(photo)), places(small.detect(large))
    assert one.shape == three.shape
    apart = np.abs(3 * one[:, None] - three[None, :]).max(axis=2)  # in any order: faces are alike in size
    assert (apart.min(axis=1) < 3).all()
    assert apart.max() > 100


@pytest.mark.slow
def test_what_is_added_to_reach_whole_cells_is_no_part_of_the_picture(eager: Any, photo: Any) -> None:
    odd = photo[:250, :300]
    whole = np.zeros((256, 320, 3), np.uint8)
    whole[:250, :300] = odd
    assert places(eager.detect(odd)) == pytest.approx(places(eager.detect(whole)))


@pytest.mark.slow
def test_pictures_of_all_sizes_one_after_another_leave_no_trace(eager: Any, photo: Any) -> None:
    expected = places(eager.detect(photo))
    for shape in [(1, 1), (3, 500), (500, 3), (33_000, 10), (480, 640), (192, 320)]:
        eager.detect(np.full((*shape, 3), 128, np.uint8))
        assert places(eager.detect(photo)) == pytest.approx(expected)


@pytest.mark.slow
def test_a_higher_score_finds_fewer(own_detector: Any, eager: Any, photo: Any) -> None:
    most = max(face.score for face in eager.detect(photo))
    assert AnchorFree(own_detector, min_score=min(0.999, most + 1e-3)).detect(photo) == []
    default = AnchorFree(own_detector)
    assert all(face.score >= default.card.min_score for face in default.detect(photo))


@pytest.mark.slow
def test_a_folder_is_a_detector_by_its_path(own_detector: Any, photo: Any) -> None:
    made = create(str(own_detector), max_side=320)
    assert isinstance(made, AnchorFree)
    assert places(made.detect(photo)) == pytest.approx(places(AnchorFree(own_detector, max_side=320).detect(photo)))


def test_a_folder_without_a_detector_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"detector\.json: No such file"):
        create(str(tmp_path))


@pytest.mark.slow
def test_damaged_files_are_refused(own_detector: Any, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(own_detector, folder)
    card = folder / CARD
    text = card.read_text()
    card.write_text("{}")
    with pytest.raises(ModelError, match="not a detector's card"):
        AnchorFree(folder)
    card.write_text(text)
    network = folder / json.loads(text)["network"]["file"]
    network.write_bytes(network.read_bytes() + b"\0")
    with pytest.raises(ModelError, match="of its card; reinstall the model"):
        AnchorFree(folder)


@pytest.mark.slow
def test_another_kind_of_network_is_refused(own_detector: Any, tmp_path: Path) -> None:
    import hashlib

    from edgeface.vision.model_card import SHIPPED

    card = json.loads((own_detector / CARD).read_text())
    data = (SHIPPED / "encoder.tflite").read_bytes()
    (tmp_path / "encoder.tflite").write_bytes(data)
    card["network"] = {"file": "encoder.tflite", "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    (tmp_path / CARD).write_text(json.dumps(card))
    with pytest.raises(ModelError, match="not a network that"):
        AnchorFree(tmp_path)
