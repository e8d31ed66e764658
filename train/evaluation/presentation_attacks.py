"""Render, from one photo of a person, the frames that a camera would take of a live head with that face, or of an attack.

Every scene is a textured surface before the camera: a sheet of paper is flat or bent to a cylinder, a head is an ellipsoid with
a nose and eye sockets, and a screen is a flat surface whose texture may be a film. None of it moves by itself: no eye blinks.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeface.types import Image, Landmarks
from edgeface.vision.alignment import similarity_transform
from edgeface.vision.liveness import MIDDLE, UNIT
from train.augment import jpeg, noise

HIGH, WIDE = 256, 288
"""Size of a frame in pixels."""

KINDS = {
    "live": "a head that looks about, by up to 5 to 20 degrees",
    "still": "a head that turns by less than 2 degrees",
    "moved": "a photo that is moved and shakes by 3 degrees",
    "tilted": "a photo that is tilted by up to 10 to 35 degrees",
    "bent": "a photo bent to a cylinder and turned by 5 to 25 degrees",
    "flexed": "a photo that is bent to and fro and turned",
    "swapped": "two photos of the person in turn",
    "screen": "a photo on a screen that is turned by 10 degrees",
    "replayed": "the film of a head that looks about, on such a screen",
}

Mask = NDArray[np.float32]
SHEET: Mask | None = None
"""The whole photo."""

Relief = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]
"""Height of a surface towards the camera at x and y, all in distances between the eyes, from the middle of the face."""


@dataclass(frozen=True, slots=True)
class Pose:
    """Where a surface is: angles in radians, place in pixels of the frame, ``scale`` in frame pixels per texture pixel."""

    yaw: float
    pitch: float
    roll: float
    x: float
    y: float
    scale: float


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """A texture that a surface carries: which of its pixels are there, the middle of its face, and the distance of its eyes."""

    texture: Image
    mask: Mask
    centre: NDArray[np.float64]
    unit: float


def flat(x: NDArray[np.float32], _y: NDArray[np.float32]) -> NDArray[np.float32]:
    """A sheet of paper, or a screen."""
    return np.zeros_like(x)


def bent(radius: float, angle: float) -> Relief:
    """A sheet bent to a cylinder of this radius, in distances between the eyes, about an axis at this angle."""
    return lambda x, y: -((x * np.cos(angle) + y * np.sin(angle)) ** 2) / np.float32(2 * radius)


def head(random: np.random.Generator) -> Relief:
    """A head like no other: its axes vary by 15 %, its nose by 30 %."""
    half, tall, deep = np.array([1.3, 2.0, 1.2]) * random.uniform(0.85, 1.15, 3)
    nose, thick, long = np.array([0.32, 0.17, 0.32]) * random.uniform(0.7, 1.3, 3)
    socket = 0.1 * random.uniform(0.5, 1.5)

    def relief(x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
        skull = deep * np.sqrt(np.maximum(0.08, 1 - (x / half) ** 2 - (y / tall) ** 2))
        tip = nose * np.exp(-((x / thick) ** 2) / 2 - ((y - 0.12) / np.where(y > 0.12, 0.4 * long, long)) ** 2 / 2)
        eyes = sum(socket * np.exp(-((x - side) ** 2 + (y + 0.46) ** 2) / 0.08) for side in (-0.5, 0.5))
        return np.asarray(skull + tip - eyes - deep, np.float32)

    return relief


def show(sheet: Sheet, relief: Relief, pose: Pose, behind: Image) -> Image:
    """The surface before a background, seen in perspective from 12 distances between the eyes, about 80 cm."""
    unit = sheet.unit
    yaw, pitch, roll = pose.yaw, pose.pitch, pose.roll
    around = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    over = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    aside = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    turn = (aside @ over @ around).astype(np.float32)
    back = np.linalg.inv(turn[:2, :2])
    height, width = behind.shape[:2]
    v, u = 2 * np.mgrid[0 : height // 2, 0 : width // 2].astype(np.float32) + 0.5
    u, v = (u - pose.x) / (pose.scale * unit), (v - pose.y) / (pose.scale * unit)
    x, y = back[0, 0] * u + back[0, 1] * v, back[1, 0] * u + back[1, 1] * v
    for _ in range(6):  # the texture's point that is seen at each pixel: Newton's method with the derivative of a flat sheet
        z = relief(x, y)
        near = 1 + (turn[2, 0] * x + turn[2, 1] * y + turn[2, 2] * z) / 12
        off = [(turn[i, 0] * x + turn[i, 1] * y + turn[i, 2] * z) * near - (u, v)[i] for i in (0, 1)]
        x = np.clip(x - 0.8 * (back[0, 0] * off[0] + back[0, 1] * off[1]), -5, 5)
        y = np.clip(y - 0.8 * (back[1, 0] * off[0] + back[1, 1] * off[1]), -5, 5)
    places = ((x, sheet.centre[0]), (y, sheet.centre[1]))
    at_x, at_y = (cv2.resize((place * unit + middle).astype(np.float32), (width, height)) for place, middle in places)
    seen = cv2.remap(sheet.texture, at_x, at_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
    alpha = cv2.remap(sheet.mask, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)[..., None]
    return np.asarray(np.clip(np.rint(alpha * seen + (1 - alpha) * behind), 0, 255), np.uint8)


def sway(frames: int, reach: Sequence[float], random: np.random.Generator) -> NDArray[np.float64]:
    """Smooth random motion, (frames, len(reach)): each column the sum of two sines of 0.15 to 0.6 Hz at 5 frames a second."""
    time = np.arange(frames)[:, None] / 5
    phases, speeds = random.uniform(0, 2 * np.pi, (2, len(reach))), 2 * np.pi * random.uniform(0.15, 0.6, (2, len(reach)))
    return np.asarray(
        (np.sin(time * speeds[0] + phases[0]) + 0.5 * np.sin(time * speeds[1] + phases[1])) / 1.2 * np.array(reach)
    )


@dataclass(frozen=True, slots=True)
class Scene:
    """Photos of one person, at least one, and what is behind them: everything to compose a visit of so many frames.

    A scene is a kind of ``KINDS``. Live heads come first, then what an attacker shows.
    """

    photos: Sequence[Image]
    landmarks: Sequence[Landmarks]
    behind: Image
    frames: int

    def play(self, kind: str, random: np.random.Generator) -> Iterator[Image]:
        """The frames of one visit, through a camera with noise, changing light and JPEG."""
        grain, quality = random.uniform(1.5, 5), int(random.integers(60, 92))
        light = 1 + sway(self.frames, [0.06], random)[:, 0]
        for picture, gain in zip(getattr(self, f"_{kind}")(random), light, strict=True):
            lit = np.clip(cv2.GaussianBlur(picture, (0, 0), 0.6) * gain, 0, 255).astype(np.uint8)
            yield jpeg(noise(lit, grain, random), quality)

    def _live(self, random: np.random.Generator) -> Iterator[Image]:
        return self._film(repeat(head(random)), self._oval(), random.uniform(5, 20), random)

    def _still(self, random: np.random.Generator) -> Iterator[Image]:
        return self._film(repeat(head(random)), self._oval(), 2.0, random)

    def _moved(self, random: np.random.Generator) -> Iterator[Image]:
        return self._film(repeat(flat), SHEET, 3.0, random)

    def _tilted(self, random: np.random.Generator) -> Iterator[Image]:
        return self._film(repeat(flat), SHEET, random.uniform(10, 35), random)

    def _bent(self, random: np.random.Generator) -> Iterator[Image]:
        axis = float(random.choice([0, np.pi / 2, random.uniform(0, np.pi)]))
        return self._film(repeat(bent(random.uniform(1.2, 6), axis)), SHEET, random.uniform(5, 25), random)

    def _flexed(self, random: np.random.Generator) -> Iterator[Image]:
        curves = sway(self.frames, [0.5], random)[:, 0]
        surfaces = [bent(1 / (curve if abs(curve) > 1e-3 else 1e-3), 0.0) for curve in curves]
        return self._film(surfaces, SHEET, random.uniform(3, 20), random)

    def _swapped(self, random: np.random.Generator) -> Iterator[Image]:
        shows = [self._film(repeat(flat), SHEET, 3.0, random, number) for number in (0, len(self.photos) - 1)]
        for number, pictures in enumerate(zip(*shows, strict=True)):
            yield pictures[number // 3 % 2]

    def _screen(self, random: np.random.Generator) -> Iterator[Image]:
        return self._shown(self._film(repeat(flat), SHEET, 0.0, random), random)

    def _replayed(self, random: np.random.Generator) -> Iterator[Image]:
        return self._shown(self._live(random), random)

    def _shown(self, film: Iterator[Image], random: np.random.Generator) -> Iterator[Image]:
        """A film on a screen that is held in a hand and turned by up to 10 degrees."""
        moves = sway(self.frames, [10, 6, 3, 8, 8, 0.04], random)
        whole = np.ones((HIGH, WIDE), np.float32)
        for picture, (yaw, pitch, roll, x, y, grow) in zip(film, moves, strict=True):
            angles = np.deg2rad([yaw, pitch, roll])
            pose = Pose(angles[0], angles[1], angles[2], WIDE / 2 + x, HIGH / 2 + y, 0.9 * (1 + grow))
            framed = np.full_like(picture, 12)
            framed[6:-6, 6:-6] = picture[6:-6, 6:-6]
            yield show(Sheet(framed, whole, np.array([WIDE / 2, HIGH / 2]), 50.0), flat, pose, self.behind)

    def _film(
        self, surfaces: Iterable[Relief], mask: Mask | None, turn: float, random: np.random.Generator, number: int = 0
    ) -> Iterator[Image]:
        """A photo on a surface that sways, turns by up to ``turn`` degrees and nods by half of it."""
        scale, start = random.uniform(1.1, 1.6), np.deg2rad(random.normal(0, 3, 2))
        centre, unit = middle(self.landmarks[number])
        photo = self.photos[number]
        sheet = Sheet(photo, np.ones(photo.shape[:2], np.float32) if mask is None else mask, centre, unit)
        moves = sway(self.frames, [turn, turn / 2, 4, 12, 12, 0.08], random)
        for surface, (yaw, pitch, roll, x, y, grow) in zip(surfaces, moves, strict=False):
            angles = np.deg2rad([yaw, pitch]) + start
            pose = Pose(angles[0], angles[1], np.deg2rad(roll), WIDE / 2 + x, HIGH / 2 + y, scale * (1 + grow))
            yield show(sheet, surface, pose, self.behind)

    def _oval(self) -> Mask:
        """The head without the photo's background."""
        (x, y), unit = middle(self.landmarks[0])
        mask = np.zeros(self.photos[0].shape[:2], np.float32)
        cv2.ellipse(mask, (round(x), round(y)), (round(1.2 * unit), round(1.75 * unit)), 0, 0, 360, (1.0,), -1)
        return np.asarray(cv2.GaussianBlur(mask, (0, 0), 2.0), np.float32)


def middle(landmarks: Landmarks) -> tuple[NDArray[np.float64], float]:
    """The middle of a face and the distance between its eyes, in pixels."""
    transform = similarity_transform(landmarks)
    unit = UNIT / float(np.hypot(transform[0, 0], transform[1, 0]))
    return np.asarray(np.linalg.inv(transform[:, :2]) @ (MIDDLE - transform[:, 2])), unit
