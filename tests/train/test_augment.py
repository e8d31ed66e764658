"""What is done to chips, on real faces: each effect does what it says, and leaves the chip that it was given alone."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.random import Generator
from numpy.typing import NDArray

from edgeface import detectors
from edgeface.types import Image
from edgeface.vision.alignment import TEMPLATE, align
from edgeface.vision.images import load_image
from edgeface.vision.quality import sharpness
from train import augment
from train.prepare import find_crop

BLUE = (120, 170, 200)


@pytest.fixture(scope="module")
def chips(demo_photos: Path) -> list[Image]:
    detector = detectors.create()
    images = [load_image(path) for path in sorted(demo_photos.glob("*.jpg"))]
    return [align(image, detector.detect(image)[0].landmarks) for image in images]


@pytest.fixture(scope="module")
def chip(chips: list[Image]) -> Image:
    return chips[0]


def rng() -> Generator:
    return np.random.default_rng(7)


def difference(a: NDArray[Any] | Image, b: NDArray[Any] | Image) -> float:
    return float(np.abs(a.astype(float) - b).mean())


EFFECTS: dict[str, Callable[[Image], Image]] = {
    "light": partial(augment.light, gain=np.array([0.5, 0.6, 0.7]), gamma=1.2),
    "grey": augment.grey,
    "coarse": partial(augment.coarse, face=20),
    "blur": partial(augment.blur, sigma=2.0),
    "smear": partial(augment.smear, length=9, angle=30.0),
    "noise": lambda chip: augment.noise(chip, 16, rng()),
    "jpeg": partial(augment.jpeg, quality=20),
    "mask": partial(augment.mask, colour=BLUE),
    "sunglasses": partial(augment.sunglasses, colour=(20, 20, 20)),
    "turn": partial(augment.turn, degrees=15.0),
    "augment": lambda chip: augment.augment(augment.augment(chip, rng()), rng()),
}


@pytest.mark.parametrize("name", EFFECTS)
def test_an_effect_gives_another_chip_and_leaves_its_own_alone(chips: list[Image], name: str) -> None:
    for chip in chips:
        before = chip.copy()
        chip.setflags(write=False)
        changed = EFFECTS[name](chip)
        assert (changed.shape, changed.dtype) == (chip.shape, np.dtype(np.uint8))
        assert np.array_equal(chip, before)
        assert difference(changed, chip) > 0.5


def test_light_multiplies_each_channel_and_clips() -> None:
    chip = np.full((112, 112, 3), 100, np.uint8)
    assert augment.light(chip, np.array([0.5, 1.0, 1.5]), 1.0)[0, 0].tolist() == [50, 100, 150]
    assert augment.light(chip, np.array([9.0]), 1.0).min() == 255
    assert augment.light(chip, np.array([1.0]), 1.0).max() == 100


def test_gamma_over_one_darkens_and_keeps_the_ends() -> None:
    ramp = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 256, 3)
    dark, bright = (augment.light(ramp, np.array([1.0]), gamma) for gamma in (2.0, 0.5))
    assert dark[0, 128, 0] == 64  # 255 * (128 / 255) ** 2
    assert np.all(dark <= ramp)
    assert np.all(bright >= ramp)
    assert [dark[0, 0, 0], dark[0, 255, 0], bright[0, 255, 0]] == [0, 255, 255]


def test_grey_has_three_equal_channels_of_the_same_brightness(chip: Image) -> None:
    plain = augment.grey(chip)
    assert np.array_equal(plain[..., 0], plain[..., 1])
    assert np.array_equal(plain[..., 1], plain[..., 2])
    weights = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
    assert np.abs(plain[..., 0] - chip @ weights).max() < 1


@pytest.mark.parametrize(
    ("effect", "little", "much"),
    [(augment.coarse, 40, 20), (augment.blur, 2.0, 4.0), (lambda chip, length: augment.smear(chip, length, 0.0), 5, 13)],
    ids=["coarse", "blur", "smear"],
)
def test_stronger_effects_leave_less_sharpness(
    chips: list[Image], effect: Callable[[Image, float], Image], little: float, much: float
) -> None:
    for chip in chips:
        assert sharpness(chip) > sharpness(effect(chip, little)) > sharpness(effect(chip, much))


def test_a_coarse_face_has_no_more_detail_than_its_pixels(chip: Image) -> None:
    """28 pixels across a face of 80 are 39 across the chip: shrinking to that and growing again changes little more."""
    once = augment.coarse(chip, 28)
    assert difference(augment.coarse(once, 28), once) < difference(once, chip) / 3


def test_motion_smears_along_its_direction_only() -> None:
    stripes = np.zeros((112, 112, 3), np.uint8)
    stripes[:, ::8] = 255
    assert np.array_equal(augment.smear(stripes, 9, 90.0), stripes)
    assert augment.smear(stripes, 9, 0.0)[:, 8:-8].std() < stripes.std() / 4


def test_noise_has_its_deviation_and_no_bias_and_repeats_by_its_generator() -> None:
    flat = np.full((112, 112, 3), 128, np.uint8)
    noisy = augment.noise(flat, 16, rng())
    assert abs(noisy.std() - 16) < 0.5
    assert abs(noisy.mean() - 128) < 0.3  # half a step darker, were whole numbers cut off in place of rounded
    assert np.array_equal(noisy, augment.noise(flat, 16, rng()))


def test_lower_jpeg_quality_loses_more(chip: Image) -> None:
    assert (
        difference(augment.jpeg(chip, 10), chip)
        > difference(augment.jpeg(chip, 40), chip)
        > difference(augment.jpeg(chip, 95), chip)
    )


def test_jpeg_keeps_the_order_of_the_channels(chip: Image) -> None:
    red = np.zeros((112, 112, 3), np.uint8)
    red[..., 0] = 200
    assert augment.jpeg(red, 90)[50, 50, 0] > 180
    assert augment.jpeg(red, 90)[50, 50, 2] < 20


def test_a_mask_covers_nose_mouth_and_chin_and_no_eye(chip: Image) -> None:
    worn = augment.mask(chip, BLUE)
    changed = np.any(worn != chip, axis=2)
    assert not changed[:59].any()  # the eyes lie at 52
    assert changed[60:].mean() > 0.4
    for x, y in ((56, 72), (42, 92), (71, 92), (56, 105)):
        assert tuple(worn[y, x]) == BLUE
    moved = augment.mask(chip, BLUE, (0.0, -6.0))
    assert np.any(moved != chip, axis=2)[53:59].any()


def test_sunglasses_cover_both_eyes_and_not_the_mouth(chip: Image) -> None:
    worn = augment.sunglasses(chip, (20, 20, 20))
    for x in (38, 74):
        assert tuple(worn[52, x]) == (20, 20, 20)
    assert tuple(worn[52, 56]) == (20, 20, 20)  # the bridge
    assert np.array_equal(worn[66:], chip[66:])
    assert np.any(augment.sunglasses(chip, (20, 20, 20), (15, 16))[66:] != chip[66:])


def test_a_turn_is_undone_by_its_opposite_and_keeps_the_middle(chip: Image) -> None:
    back = augment.turn(augment.turn(chip, 15.0), -15.0)
    inner = slice(30, 82)
    assert (
        difference(back[inner, inner], chip[inner, inner])
        < difference(augment.turn(chip, 15.0)[inner, inner], chip[inner, inner]) / 2
    )
    arrow = np.zeros((112, 112, 3), np.uint8)
    cv2.line(arrow, (56, 56), (100, 56), (255, 255, 255), 3)
    turned = augment.turn(arrow, 15.0)[..., 0]
    assert turned[56 - round(40 * np.sin(np.deg2rad(15.0))), 56 + round(40 * np.cos(np.deg2rad(15.0)))] > 128  # anticlockwise


def test_augmentation_is_its_generators_alone(chip: Image) -> None:
    first, second = ([augment.augment(chip, luck) for _ in range(20)] for luck in (rng(), rng()))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert len({picture.tobytes() for picture in first}) > 15


@pytest.fixture(scope="module")
def crop(demo_photos: Path) -> Image:
    return find_crop(load_image(demo_photos / "obama_portrait.jpg"), detectors.create())


def test_exact_landmarks_give_the_chip_itself_at_any_size(crop: Image) -> None:
    chip = crop[16:-16, 16:-16]
    assert np.array_equal(augment.shake(crop, 0.0, rng()), chip)
    half = np.asarray(cv2.resize(crop, (72, 72), interpolation=cv2.INTER_AREA), np.uint8)
    again = augment.shake(half, 0.0, rng())
    moved = [difference(np.roll(again, (y, x), (0, 1))[4:-4, 4:-4], chip[4:-4, 4:-4]) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    assert np.argmin(moved) == 4


def test_inexact_landmarks_move_and_turn_the_chip(crop: Image) -> None:
    chip = crop[16:-16, 16:-16]
    little, much = (difference(augment.shake(crop, error, rng()), chip) for error in (0.02, 0.1))
    assert 0 < little < much
    turned = augment.shake(crop, 0.0, rng(), 15.0)
    inner = np.s_[45:85, 36:-36]
    back = [
        cv2.warpAffine(turned, cv2.getRotationMatrix2D(TEMPLATE.mean(axis=0).tolist(), degrees, 1.0), (112, 112))
        for degrees in (15.0, -15.0)
    ]
    assert min(difference(picture[inner], chip[inner]) for picture in back) < difference(turned[inner], chip[inner]) / 3


def test_what_a_camera_sees_is_its_generators_alone_and_differs(crop: Image) -> None:
    crop.setflags(write=False)
    first, second = ([augment.seen(crop, luck) for _ in range(40)] for luck in (rng(), rng()))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert len({picture.tobytes() for picture in first}) == 40
    assert all((picture.shape, picture.dtype) == ((112, 112, 3), np.dtype(np.uint8)) for picture in first)


def test_what_a_camera_sees_is_worn_in_most_cases(crop: Image) -> None:
    chip = crop[16:-16, 16:-16]
    luck = rng()
    many = [augment.seen(crop, luck) for _ in range(300)]
    assert np.mean([sharpness(picture) < sharpness(chip) / 4 for picture in many]) > 0.25
    assert np.mean([sharpness(picture) > sharpness(chip) / 2 for picture in many]) > 0.15
    assert 0.05 < np.mean([np.array_equal(picture[..., 0], picture[..., 2]) for picture in many]) < 0.3


def test_augmentation_strikes_some_chips_and_spares_others(chip: Image) -> None:
    luck = rng()
    many = [augment.augment(chip, luck) for _ in range(300)]
    assert 0.05 < np.mean([np.array_equal(picture, chip) for picture in many]) < 0.3
    grey = np.mean([np.array_equal(picture[..., 0], picture[..., 2]) for picture in many])
    assert 0.03 < grey < 0.2
    assert np.mean([sharpness(picture) < sharpness(chip) / 4 for picture in many]) > 0.1


def test_a_photo_at_night_is_small_grey_and_noisy_and_the_same_each_time(demo_photos: Path) -> None:
    photo = load_image(demo_photos / "obama_portrait.jpg")
    dark = augment.night(photo, rng())
    assert dark.shape == (round(0.45 * photo.shape[0]), round(0.45 * photo.shape[1]), 3)
    assert np.ptp(dark, axis=2).max() == 0
    small = cv2.cvtColor(cv2.resize(photo, dark.shape[1::-1], interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    assert dark.mean() < small.mean()
    assert difference(dark[..., 0], cv2.medianBlur(dark[..., 0], 3)) > 2 * difference(small, cv2.medianBlur(small, 3))
    assert np.array_equal(dark, augment.night(photo, rng()))
