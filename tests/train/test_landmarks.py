"""Labels and chips from which the landmarks' network learns, and the network from end to end."""

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("tensorflow")

from fixtures.optional import needed

from edgeface.detectors.landmarks import LandmarkRefiner
from edgeface.detectors.yunet import YuNet
from edgeface.errors import DataError
from edgeface.vision.alignment import TEMPLATE
from edgeface.vision.images import load_image
from train import landmarks
from train.prepare import is_validation


@pytest.fixture(scope="module")
def face(demo_photos: Path) -> NDArray[Any]:
    """A face of 80 pixels, as far as a door is."""
    photo = load_image(demo_photos / "collins_portrait.jpg")
    box = YuNet().detect(photo)[0].box
    return cv2.resize(photo, None, fx=80 / box.width, fy=80 / box.width, interpolation=cv2.INTER_AREA)


def tilted(image: NDArray[Any], degrees: int) -> NDArray[Any]:
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    return cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)


def test_labels_turn_with_the_face(face: NDArray[Any]) -> None:
    turned = tilted(face, 15)
    _, rough = needed(landmarks.portrait(face, YuNet(), np.random.default_rng(0)))
    crop, straight = needed(landmarks.portrait(turned, YuNet(), np.random.default_rng(0)))
    side = 112 + 2 * landmarks.MARGIN
    assert crop.shape == (side, side, 3)
    assert np.abs(straight - TEMPLATE).max() < 12
    assert np.abs(straight - rough).mean() < 1.5  # both are cut out upright, so the same face lies at the same place


def test_no_label_without_a_face() -> None:
    assert landmarks.portrait(np.full((160, 160, 3), 90, np.uint8), YuNet(), np.random.default_rng(0)) is None


def test_displaced_chips_say_where_their_landmarks_are() -> None:
    side = 112 + 2 * landmarks.MARGIN
    points = TEMPLATE + 2
    crop = np.zeros((side, side, 3), np.uint8)
    for number, (x, y) in enumerate(points + landmarks.MARGIN):
        cv2.circle(crop, (round(float(x)), round(float(y))), 2, (50 * (number + 1), 255, 255), -1)
    portraits = landmarks.Portraits(crop[None], points[None].astype(np.float32), np.array([False]))
    random = np.random.default_rng(3)
    for _ in range(20):
        chip, off = landmarks.displaced(portraits, 0, random)
        for number, (x, y) in enumerate(TEMPLATE + off):
            if 3 <= x < 109 and 3 <= y < 109:
                near = chip[int(y) - 2 : int(y) + 4, int(x) - 2 : int(x) + 4].reshape(-1, 3)
                brightest = near[near[:, 1].argmax()]
                assert brightest[1] > 100
                # Of a mirrored face the left eye is the right one.
                seen = round(5 * int(brightest[0]) / max(int(brightest[1]), 1) * 255 / 250)
                assert seen in (number + 1, landmarks.MIRRORED[number] + 1)


@pytest.mark.slow
def test_from_photos_to_a_network_that_the_detector_loads(demo_photos: Path, tmp_path: Path) -> None:
    names = sorted(map(str, range(99)), key=lambda name: is_validation(f"photos/{name}"))
    for name, photo in ((names[0], "obama_portrait"), (names[1], "biden_portrait"), (names[-1], "collins_portrait")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        shutil.copy(demo_photos / f"{photo}.jpg", tmp_path / "photos" / name)
    out = tmp_path / "landmarks.tflite"
    figures = landmarks.landmarks([tmp_path / "photos"], out, 10, 2 * landmarks.BATCH)
    assert figures["faces"] == 1
    assert figures["bytes"] == out.stat().st_size < 200_000
    image = load_image(demo_photos / "collins_portrait.jpg")
    assert LandmarkRefiner(YuNet(), out).detect(image)[0].landmarks.shape == (5, 2)


def test_photos_of_one_kind_of_people_only(demo_photos: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="both are needed"):
        landmarks.landmarks([demo_photos], tmp_path / "landmarks.tflite", 2, 256)
