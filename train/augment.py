"""Degrade faces as cheap cameras, bad light, clothes and inexact landmarks do, for training and to measure robustness."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeface.types import Image
from edgeface.vision.alignment import CHIP_SIZE, TEMPLATE, similarity_transform

MARGIN = 16
"""Pixels of surroundings that are kept on every side of a chip, so that it can be moved and turned in training."""

CROP = CHIP_SIZE + 2 * MARGIN
"""Side of a crop, in pixels: a chip with its surroundings."""

FACE_WIDTH = 80
"""Width of the face in an aligned chip, in pixels, from ear to ear."""

MASK = np.array([[24, 66], [56, 60], [88, 66], [86, 92], [74, 108], [56, 112], [38, 108], [26, 92]], np.float32)
"""Outline of a surgical mask on the alignment template, from below the eyes to the chin."""

LENSES = ((38, 52), (74, 52))


def light(chip: Image, gain: NDArray[np.float64], gamma: float) -> Image:
    """Multiply the channels by ``gain``, shape (3,) or (1,), and bend them by ``gamma``, clipped as a sensor clips."""
    ramp = np.linspace(0.0, 1.0, 256)[:, None] * np.broadcast_to(gain, (3,))
    table = np.rint(255.0 * np.minimum(ramp, 1.0) ** gamma).astype(np.uint8)
    return np.asarray(cv2.LUT(chip, table[None]), np.uint8)


def grey(chip: Image) -> Image:
    """Take the colour away, as an infrared camera does."""
    return np.repeat(cv2.cvtColor(chip, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)


def coarse(chip: Image, face: float) -> Image:
    """Lower the resolution to that of a face ``face`` pixels wide in the frame."""
    side = max(2, round(face * CHIP_SIZE / FACE_WIDTH))
    small = cv2.resize(chip, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (CHIP_SIZE, CHIP_SIZE), interpolation=cv2.INTER_CUBIC), np.uint8)


def blur(chip: Image, sigma: float) -> Image:
    """Put out of focus, by a Gaussian of this standard deviation in pixels."""
    return np.asarray(cv2.GaussianBlur(chip, (0, 0), sigma), np.uint8)


def smear(chip: Image, length: int, angle: float) -> Image:
    """Blur by a motion of ``length`` pixels at ``angle`` degrees while the shutter is open."""
    kernel = np.zeros((length, length), np.float32)
    reach = np.array([np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))]) * (length - 1) / 2
    middle = (length - 1) / 2
    start, end = ([int(value) for value in np.rint(middle + sign * reach)] for sign in (-1, 1))
    cv2.line(kernel, start, end, (1.0,))
    return np.asarray(cv2.filter2D(chip, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE), np.uint8)


def noise(chip: Image, deviation: float, random: np.random.Generator) -> Image:
    """Add Gaussian noise of this standard deviation, in steps of 0..255."""
    grain = random.standard_normal(chip.shape, np.float32) * deviation
    return np.asarray(np.rint(np.clip(chip + grain, 0, 255)), np.uint8)


def jpeg(chip: Image, quality: int) -> Image:
    """Compress to JPEG at this quality, 0 to 100, and decompress."""
    _, data = cv2.imencode(".jpg", cv2.cvtColor(chip, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB), np.uint8)


def mask(chip: Image, colour: tuple[int, int, int], shift: tuple[float, float] = (0.0, 0.0)) -> Image:
    """Draw a surgical mask of one colour, ``shift`` pixels off its place."""
    outline = np.rint(MASK + np.array(shift, np.float32)).astype(np.int32)
    return np.asarray(cv2.fillPoly(chip.copy(), [outline], colour, cv2.LINE_AA), np.uint8)


def sunglasses(chip: Image, colour: tuple[int, int, int], size: tuple[int, int] = (15, 11)) -> Image:
    """Draw two lenses with half axes of ``size`` pixels, and a bridge."""
    result = chip.copy()
    for lens in LENSES:
        cv2.ellipse(result, lens, size, 0, 0, 360, colour, -1, cv2.LINE_AA)
    cv2.line(result, LENSES[0], LENSES[1], colour, 2, cv2.LINE_AA)
    return result


def turn(chip: Image, degrees: float) -> Image:
    """Turn the whole chip about its middle, as when alignment fails by that angle."""
    middle = ((CHIP_SIZE - 1) / 2, (CHIP_SIZE - 1) / 2)
    matrix = cv2.getRotationMatrix2D(middle, degrees, 1.0)
    return np.asarray(cv2.warpAffine(chip, matrix, (CHIP_SIZE, CHIP_SIZE), borderMode=cv2.BORDER_REFLECT), np.uint8)


def rotation(degrees: float) -> NDArray[np.float64]:
    """The 2 x 2 matrix that turns column vectors by ``degrees``."""
    radians = np.deg2rad(degrees)
    return np.array([[np.cos(radians), -np.sin(radians)], [np.sin(radians), np.cos(radians)]])


LANDMARK_ERROR = 0.07
"""Standard deviation of a shaken chip's landmarks, in eye distances: a detector's on a poor frame."""


def shake(picture: Image, error: float, random: np.random.Generator, degrees: float = 0.0) -> Image:
    """Align an aligned face again, by landmarks that are wrong: the chip that a device sees.

    ``picture`` is square and holds the template, of any scale, in its middle, so that the chip's side is 7/9 of its own. Each
    landmark is displaced by a normal ``error`` in eye distances, and all are turned by ``degrees``.
    """
    side = picture.shape[0]
    scale = side / CROP
    middle = TEMPLATE.mean(axis=0)
    moved = TEMPLATE + random.normal(0.0, error * EYE_DISTANCE, TEMPLATE.shape)
    landmarks = (moved - middle) @ rotation(degrees).T + middle + MARGIN
    # Pixel centres of the larger and the smaller picture do not lie on each other.
    landmarks = (landmarks + 0.5) * scale - 0.5
    matrix = similarity_transform(landmarks.astype(np.float32))
    return np.asarray(cv2.warpAffine(picture, matrix, (CHIP_SIZE, CHIP_SIZE), flags=cv2.INTER_LINEAR), np.uint8)


def seen(crop: Image, random: np.random.Generator) -> Image:
    """Make of a clean crop, (144, 144, 3), a chip, (112, 112, 3), that a device may get of that face.

    In the order in which it happens: something covers a part of the face; the camera takes it at some size, and up to five of
    ``EFFECTS`` degrade the picture; the face is aligned by landmarks that are as inexact as a detector's at that size.
    """
    if random.random() < COVERED:
        crop = _covered(crop, random)
    width = FACE_WIDTH if random.random() < 0.5 else np.exp(random.uniform(np.log(SMALLEST), np.log(FACE_WIDTH)))
    scale = width / FACE_WIDTH
    side = round(CROP * scale)
    picture = cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA) if scale < 1 else crop
    if random.random() >= SPARED:
        chosen = random.choice(len(EFFECTS), random.integers(1, 6), replace=False, p=SHARES)
        for number in np.sort(chosen):
            picture = EFFECTS[number][1](picture, scale, random)
    error = np.hypot(random.uniform(0.0, 0.08), PIXEL_ERROR / (EYE_DISTANCE * scale))
    return shake(np.asarray(picture, np.uint8), error, random, random.normal(0, 7) if random.random() < 0.15 else 0.0)


EYE_DISTANCE = float(TEMPLATE[1, 0] - TEMPLATE[0, 0])
SMALLEST = 18.0
"""Width in pixels of the smallest face that is learnt from."""

PIXEL_ERROR = 0.4
"""Error of a detector's landmark however small the face, in pixels of the frame."""

COVERED, SPARED = 0.16, 0.3
"""Shares of faces that are covered in part, and of those that no effect strikes."""

Effect = Callable[[Image, float, np.random.Generator], Image]
"""A picture, its scale in relation to a crop, and luck."""

EFFECTS: tuple[tuple[float, Effect], ...] = (
    (3.0, lambda picture, _, luck: light(picture, _gain(luck), float(np.exp(luck.normal(0, 0.25))))),
    (1.5, lambda picture, scale, luck: blur(picture, max(0.3, scale * luck.uniform(0.5, 4)))),
    (0.8, lambda picture, scale, luck: smear(picture, max(2, round(scale * luck.uniform(3, 14))), luck.uniform(0, 180))),
    (0.7, lambda picture, _, luck: light(picture, np.array([luck.uniform(0.15, 0.6)]), 1.0)),
    (1.5, lambda picture, _, luck: noise(picture, luck.uniform(2, 16), luck)),
    (1.0, lambda picture, _, _luck: grey(picture)),
    (2.0, lambda picture, _, luck: jpeg(picture, int(luck.integers(20, 90)))),
    (1.5, lambda picture, _, luck: jpeg(_resampled(picture, luck), int(luck.integers(30, 90)))),
)
"""How often each strikes in relation to the others, in the order in which a camera brings them about."""

SHARES = np.array([share for share, _ in EFFECTS]) / sum(share for share, _ in EFFECTS)


def _gain(random: np.random.Generator) -> NDArray[np.float64]:
    return np.asarray(np.exp(random.normal(0, 0.3) + random.normal(0, 0.07, 3)), np.float64)


def _resampled(picture: Image, random: np.random.Generator) -> Image:
    """Resize and resize back, so that no block of a second compression lies on one of the first."""
    side = picture.shape[0]
    other = max(8, round(side * random.uniform(0.7, 1.3)))
    there = cv2.resize(picture, (other, other), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.resize(there, (side, side), interpolation=cv2.INTER_LINEAR), np.uint8)


def _covered(crop: Image, random: np.random.Generator) -> Image:
    """Put a mask, sunglasses, or something else before the face."""
    inside = slice(MARGIN, MARGIN + CHIP_SIZE)
    kind = random.random()
    if kind < 0.4:
        chip = mask(crop[inside, inside], _colour(random), tuple(random.normal(0, 3, 2)))
    elif kind < 0.65:
        chip = sunglasses(crop[inside, inside], _colour(random, 90), (random.integers(12, 19), random.integers(8, 14)))
    else:
        chip = crop[inside, inside].copy()
        top, left = random.integers(0, CHIP_SIZE - 20, 2)
        height, width = random.integers(10, 56, 2)
        chip[top : top + height, left : left + width] = noise(
            np.full((height, width, 3), _colour(random), np.uint8), random.uniform(0, 30), random
        )[: CHIP_SIZE - top, : CHIP_SIZE - left]
    result = crop.copy()
    result[inside, inside] = chip
    return result


def night(photo: Image, random: np.random.Generator) -> Image:
    """Take a whole photo as a cheap camera does at night: less than half the size, without colour, dark, and amplified."""
    height, width = photo.shape[:2]
    small = cv2.resize(photo, (round(0.45 * width), round(0.45 * height)), interpolation=cv2.INTER_AREA)
    dark = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32) * random.uniform(0.2, 0.4)
    dark = np.clip(dark + random.normal(0, 4, dark.shape), 0, 255)
    return np.repeat(np.clip(2.5 * dark, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def augment(chip: Image, random: np.random.Generator) -> Image:
    """Degrade a chip, and turn it by a few degrees in a quarter of cases.

    Geometry stays as it is but for that: the teacher's targets are by position.
    """
    return degrade(turn(chip, random.normal(0, 7)) if random.random() < 0.25 else chip, random)


def degrade(chip: Image, random: np.random.Generator) -> Image:
    """Degrade a chip at random: each effect strikes its own share of chips, at a random strength."""

    def struck(share: float) -> bool:
        return bool(random.random() < share)

    if struck(0.05):
        chip = mask(chip, _colour(random), tuple(random.normal(0, 3, 2)))
    if struck(0.04):
        chip = sunglasses(chip, _colour(random, 90), (random.integers(12, 19), random.integers(8, 14)))
    if struck(0.05):
        chip = chip.copy()
        top, left = random.integers(0, CHIP_SIZE - 20, 2)
        height, width = random.integers(10, 46, 2)
        chip[top : top + height, left : left + width] = _colour(random)
    if struck(0.6):
        gain = np.exp(random.normal(0, 0.25) + random.normal(0, 0.06, 3))
        chip = light(chip, gain, float(np.exp(random.normal(0, 0.2))))
    if struck(0.1):
        chip = grey(chip)
    if struck(0.12):
        chip = coarse(chip, random.uniform(16, 57))
    if struck(0.07):
        chip = blur(chip, random.uniform(0.5, 4))
    if struck(0.03):
        chip = smear(chip, int(random.integers(3, 14)), random.uniform(0, 180))
    if struck(0.05):
        chip = light(chip, np.array([random.uniform(0.15, 0.5)]), 1.0)
    if struck(0.1):
        chip = noise(chip, random.uniform(2, 16), random)
    return jpeg(chip, int(random.integers(15, 75))) if struck(0.12) else chip


def _colour(random: np.random.Generator, brightest: int = 256) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in random.integers(0, brightest, 3))
    return red, green, blue
