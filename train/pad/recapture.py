"""Simulate presentation attacks: show a photo on a screen or print it, and take a picture of that with another camera."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeface.types import Image
from train.augment import noise

Picture = NDArray[np.float32]
"""RGB light, 0 to 1."""

SCREEN, PRINT = "screen", "print"
BORDERLESS = 0.35
"""Share of attacks of which no edge is in the frame."""
LEAN = 0.12
"""Standard deviation of a corner's displacement by perspective, in sides of the medium."""


def recapture(photo: Image, kind: str, size: tuple[int, int], scenes: Sequence[Image], random: np.random.Generator) -> Image:
    """Take a frame of ``size`` (width, height) of a photo, RGB, that is shown on a ``SCREEN`` or in ``PRINT``.

    The medium's pattern is evaluated at the frame's pixels without a filter before, as a sensor samples it: a fine pattern
    becomes moire. ``scenes`` are what may be behind the medium.
    """
    borderless = random.random() < BORDERLESS
    matrix = _placed(photo.shape[1::-1], size, borderless, random)
    render = _screen if kind == SCREEN else _print
    margin = 0.0 if borderless else random.uniform(0.01, 0.16)
    framed, matrix = _framed(_light(photo), kind, margin, matrix, random)
    seen = cv2.warpPerspective(framed, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    where = np.ones(framed.shape[:2], np.float32)
    covered = cv2.warpPerspective(where, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)[..., None]
    share = np.asarray(1.0 if borderless else covered, np.float32)
    shown = render(np.asarray(seen, np.float32), _places(matrix, size), random)
    room = np.exp(random.normal(0.0, 0.35))
    if kind == SCREEN and random.random() < 0.5:  # a bright screen makes the camera darken the room
        room *= random.uniform(0.2, 0.8)
    behind = cv2.GaussianBlur(_light(_behind(scenes, size, random)) * np.float32(room), (0, 0), random.uniform(0.3, 2.5))
    light = cv2.GaussianBlur(share * shown + (1 - share) * behind, (0, 0), random.uniform(0.25, 1.1))
    frame = _pixels(np.asarray(light, np.float32) * np.float32(np.exp(random.normal(0.0, 0.15))))
    return noise(frame, random.uniform(0.5, 5), random)


def _placed(photo: Sequence[int], size: tuple[int, int], borderless: bool, random: np.random.Generator) -> NDArray[np.float64]:
    """The homography of a photo (width, height) that hangs somewhere before the camera, leaning and turned a little."""
    width, height = photo
    fill = random.uniform(1.0, 1.5) if borderless else random.uniform(0.45, 0.95)
    fit = max if borderless else min
    scale = fill * fit(size[0] / width, size[1] / height)
    turn = np.deg2rad(random.normal(0, 5))
    corners = np.array([[-width, -height], [width, -height], [width, height], [-width, height]]) / 2 * scale
    corners = corners @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    corners += random.normal(0, LEAN / 3, (4, 2)) * scale * min(width, height) * (0.3 if borderless else 1.0)
    loose = np.abs(np.array(size) - scale * np.array([width, height])) / 2
    corners += np.array(size) / 2 + random.uniform(-0.8, 0.8, 2) * loose
    start = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    return np.asarray(cv2.getPerspectiveTransform(start, corners.astype(np.float32)), np.float64)


def _framed(
    light: Picture, kind: str, margin: float, matrix: NDArray[np.float64], random: np.random.Generator
) -> tuple[Picture, NDArray[np.float64]]:
    """The photo within a device's frame or the paper's margin, ``margin`` photo widths wide, and the homography of both."""
    edge = round(margin * light.shape[1])
    if not edge:
        return light, matrix
    dark = random.random() < 0.75
    value = random.uniform(0.0, 0.06) if kind == SCREEN and dark else random.uniform(0.5, 0.95)
    tint = np.clip(value * np.exp(random.normal(0, 0.05, 3)), 0, 1)
    framed = cv2.copyMakeBorder(light, edge, edge, edge, edge, cv2.BORDER_CONSTANT, value=tuple(map(float, tint)))
    back = np.array([[1.0, 0, -edge], [0, 1.0, -edge], [0, 0, 1]])
    return np.asarray(framed, np.float32), matrix @ back


def _places(matrix: NDArray[np.float64], size: tuple[int, int]) -> tuple[Picture, Picture]:
    """Where on the medium each pixel of the frame looks, in pixels that are as large as the frame's are there on average."""
    v, u = np.mgrid[0 : size[1], 0 : size[0]].astype(np.float32)
    back = np.linalg.inv(matrix).astype(np.float32)
    depth = back[2, 0] * u + back[2, 1] * v + back[2, 2]
    scale = np.float32(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))
    x = (back[0, 0] * u + back[0, 1] * v + back[0, 2]) / depth * scale
    y = (back[1, 0] * u + back[1, 1] * v + back[1, 2]) / depth * scale
    return x, y


def _screen(light: Picture, places: tuple[Picture, Picture], random: np.random.Generator) -> Picture:
    """A display: its tone and colour, its pixels, refresh bands, and what is reflected in its glass."""
    light = light ** np.float32(np.exp(random.normal(0.0, 0.25)))
    light = light * np.exp(random.normal([-0.05, 0.0, 0.08], 0.12)).astype(np.float32)
    x, y = places
    pitch = np.exp(random.uniform(np.log(0.35), np.log(3.0)))
    depth = random.uniform(0.0, 0.35) * min(1.0, pitch)
    wave = np.float32(2 * np.pi / pitch)
    bend = random.normal(0, 2e-4, 2).astype(np.float32)  # a lens bends the grid
    x, y = x + bend[0] * x * y, y + bend[1] * x * y
    rows = 1 + np.float32(depth * random.uniform(0.2, 1)) * np.cos(wave * y)
    for channel in range(3):
        columns = 1 + np.float32(depth) * np.cos(wave * x + np.float32(2 * np.pi * channel / 3))
        light[..., channel] *= columns * rows
    if random.random() < 0.25:
        bands = np.cos(2 * np.pi * (np.arange(light.shape[0]) / (light.shape[0] * random.uniform(0.15, 1)) + random.random()))
        light *= (1 + random.uniform(0.02, 0.2) * bands[:, None, None]).astype(np.float32)
    light = light * np.float32(random.uniform(0.6, 1.5)) + np.float32(abs(random.normal(0, 0.04)))
    return _glare(light, random) if random.random() < 0.5 else light


def _print(light: Picture, places: tuple[Picture, Picture], random: np.random.Generator) -> Picture:
    """A print: the inks' narrow range, its dots, the paper's grain, its bend, and the light that falls on it."""
    grey = light.mean(axis=-1, keepdims=True)
    light = np.clip(grey + (light - grey) * np.float32(random.uniform(0.45, 1.05)), 0, 1)
    darkest, paper = random.uniform(0.01, 0.12), random.uniform(0.65, 0.95)
    light = np.float32(darkest) + light ** np.float32(np.exp(random.normal(0.0, 0.2))) * np.float32(paper - darkest)
    light *= np.exp(random.normal([0.03, 0.0, -0.04], 0.07)).astype(np.float32)
    x, y = places
    pitch, depth = np.exp(random.uniform(np.log(0.5), np.log(2.5))), random.uniform(0.0, 0.25)
    for channel in range(3):  # each ink's screen has its own angle
        angle = np.deg2rad((15, 75, 0)[channel] + random.normal(0, 3))
        across = x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle))
        along = y * np.float32(np.cos(angle)) - x * np.float32(np.sin(angle))
        dots = np.cos(np.float32(2 * np.pi / pitch) * across) * np.cos(np.float32(2 * np.pi / pitch) * along)
        tone = np.clip(light[..., channel], 0, 1)
        light[..., channel] += np.float32(depth) * dots * tone * (1 - tone) * 2
    grain = random.standard_normal(light.shape[:2], np.float32) * np.float32(random.uniform(0, 0.05))
    light = light * (1 + cv2.GaussianBlur(grain, (0, 0), random.uniform(0.3, 1.2)))[..., None]
    angle, wave = random.uniform(0, np.pi), 2 * np.pi / (max(light.shape) * random.uniform(0.7, 3))
    v, u = np.mgrid[0 : light.shape[0], 0 : light.shape[1]].astype(np.float32)
    curl = np.cos(wave * (u * np.cos(angle) + v * np.sin(angle)) + random.uniform(0, 2 * np.pi))
    light = light * (1 + random.uniform(0, 0.25) * curl).astype(np.float32)[..., None]
    return _glare(light, random) if random.random() < 0.2 else light


def _glare(light: Picture, random: np.random.Generator) -> Picture:
    """Add the blurred reflection of a lamp or of a window."""
    height, width = light.shape[:2]
    spot = np.zeros((height, width), np.float32)
    middle = (int(random.uniform(0, width)), int(random.uniform(0, height)))
    half = (int(width * random.uniform(0.03, 0.3)) + 1, int(height * random.uniform(0.03, 0.3)) + 1)
    if random.random() < 0.5:
        cv2.ellipse(spot, middle, half, random.uniform(0, 180), 0, 360, (1.0,), -1)
    else:
        cv2.rectangle(spot, (middle[0] - half[0], middle[1] - half[1]), (middle[0] + half[0], middle[1] + half[1]), (1.0,), -1)
    soft = cv2.GaussianBlur(spot, (0, 0), max(1.0, min(half) * random.uniform(0.1, 0.7)))
    return light + soft[..., None] * np.float32(random.uniform(0.05, 0.6))


def _behind(scenes: Sequence[Image], size: tuple[int, int], random: np.random.Generator) -> Image:
    scene = scenes[random.integers(len(scenes))]
    zoom = max(size[0] / scene.shape[1], size[1] / scene.shape[0]) * random.uniform(1.0, 1.6)
    large = cv2.resize(scene, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_LINEAR)
    left, top = (random.integers(0, max(1, large.shape[axis] - size[1 - axis] + 1)) for axis in (1, 0))
    cut = large[top : top + size[1], left : left + size[0]]
    return np.asarray(cv2.resize(cut, size), np.uint8)


def _light(picture: Image) -> Picture:
    return np.asarray((picture.astype(np.float32) / 255) ** np.float32(2.2), np.float32)


def _pixels(light: Picture) -> Image:
    return np.asarray(np.rint(255 * np.clip(light, 0, 1) ** np.float32(1 / 2.2)), np.uint8)
