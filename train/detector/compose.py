"""Compose pictures of faces whose landmarks are known, before scenes without faces."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeface.types import Image
from train.augment import blur, grey, light, noise, rotation
from train.detector.pictures import UNKNOWN, Labelled, labelled
from train.landmarks import MIRRORED

MOST = 30
"""Faces of a picture."""

EMPTY = 0.15
"""Share of pictures in which nobody is."""

SIZES = (11.0, 430.0)
"""Height of the smallest and of the largest face, in pixels."""

CANVASES = ((640, 480), (640, 480), (640, 480), (480, 640))
COVERED, DECOYS = 0.15, 0.5
"""Shares of faces that something covers in part, and of pictures that show patches of a scene, cut out as faces are."""


class Canvas:
    """A picture in the making, and the faces that it shows so far."""

    def __init__(self, background: Image) -> None:
        self.image = background
        self.boxes: list[NDArray[np.float32]] = []
        self.landmarks: list[NDArray[np.float32]] = []

    def has_room(self, box: NDArray[np.float32]) -> bool:
        """Whether most of a face would lie in the picture, and hide little of the others."""
        height, width = self.image.shape[:2]
        area = float(box[2] * box[3])
        frame = np.array([0, 0, width, height], np.float32)
        covers = [_shared(box, other) / min(area, float(other[2] * other[3])) for other in self.boxes]
        return _shared(box, frame) >= 0.6 * area and max(covers, default=0.0) < 0.25

    def paste(self, picture: Image, matrix: NDArray[np.float64], outline: NDArray[np.uint8]) -> None:
        """Draw a picture where the 2 x 3 ``matrix`` takes it, as far as the outline, 0..255, lets it through."""
        height, width = picture.shape[:2]
        corners = np.array([[0, 0], [width, 0], [0, height], [width, height]]) @ matrix[:, :2].T + matrix[:, 2]
        low = np.maximum(np.floor(corners.min(axis=0)).astype(int), 0)
        high = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + 1, self.image.shape[1::-1])
        if (high <= low).any():
            return
        scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
        if scale < 0.6:  # bilinear sampling alone would alias
            size = max(2, round(width * scale)), max(2, round(height * scale))
            picture, outline = (_shrunk(each, size) for each in (picture, outline))
            matrix = np.c_[matrix[:, :2] @ np.diag([width / size[0], height / size[1]]), matrix[:, 2]]
        local = np.c_[matrix[:, :2], matrix[:, 2] - low]
        extent = (int(high[0] - low[0]), int(high[1] - low[1]))
        drawn = cv2.warpAffine(picture, local, extent, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        share = cv2.warpAffine(outline, local, extent).astype(np.float32)[..., None] / 255
        region = self.image[low[1] : high[1], low[0] : high[0]]
        region[:] = np.rint(region + share * (drawn.astype(np.float32) - region)).astype(np.uint8)


def compose(faces: Sequence[Labelled], scenes: Sequence[Image], random: np.random.Generator) -> Labelled:
    """A picture with up to ``MOST`` of these faces before one of these scenes."""
    canvas = Canvas(_background(scenes, random))
    if random.random() < DECOYS:
        for _ in range(random.integers(1, 6)):
            _add_decoy(canvas, scenes[random.integers(len(scenes))], random)
    if random.random() >= EMPTY:
        count = 1 + min(MOST - 1, int(random.exponential(7.0)))
        largest = SIZES[1] if count < 4 else SIZES[1] / count**0.6
        for _ in range(count):
            _add_face(canvas, faces[random.integers(len(faces))], largest, random)
    return labelled(canvas.image, canvas.boxes, canvas.landmarks, [UNKNOWN] * len(canvas.boxes))


def _background(scenes: Sequence[Image], random: np.random.Generator) -> Image:
    width, height = CANVASES[random.integers(len(CANVASES))]
    scene = scenes[random.integers(len(scenes))]
    zoom = max(width / scene.shape[1], height / scene.shape[0]) * np.exp(random.uniform(0.0, 0.7))
    size = max(width, round(scene.shape[1] * zoom)), max(height, round(scene.shape[0] * zoom))
    large = cv2.resize(scene, size, interpolation=cv2.INTER_LINEAR)
    left, top = random.integers(0, size[0] - width + 1), random.integers(0, size[1] - height + 1)
    cut = large[top : top + height, left : left + width]
    return light(np.ascontiguousarray(cut[:, :: random.choice([-1, 1])]), _gain(random), float(np.exp(random.normal(0, 0.2))))


def _add_face(canvas: Canvas, face: Labelled, largest: float, random: np.random.Generator) -> None:
    """Draw a face at a place where it has room, if such a place is soon found."""
    image, box, points = face.image, face.boxes[0], face.landmarks[0]
    if random.random() < 0.5:
        width = image.shape[1]
        image = image[:, ::-1]
        box = np.array([width - box[0] - box[2], *box[1:]], np.float32)
        points = (points * (-1, 1) + (width - 1, 0))[MIRRORED].astype(np.float32)
    middle = box[:2] + box[2:] / 2
    for _ in range(10):
        degrees = random.uniform(-50, 50) if random.random() < 0.25 else random.normal(0, 10)
        scale = np.exp(random.uniform(np.log(SIZES[0]), np.log(max(largest, 40.0)))) / box[3]
        turn = scale * rotation(degrees)
        place = random.uniform((0, 0), canvas.image.shape[1::-1])
        where = turned_box(box, scale, degrees, place)
        if canvas.has_room(where):
            picture = _dressed(np.ascontiguousarray(image), box, random)
            canvas.paste(picture, np.c_[turn, place - turn @ middle], _outline(picture.shape[:2], box, random))
            canvas.boxes.append(where)
            canvas.landmarks.append(((points - middle) @ turn.T + place).astype(np.float32))
            return


def turned_box(box: NDArray[np.float32], scale: float, degrees: float, place: NDArray[np.float64]) -> NDArray[np.float32]:
    """The box around the ellipse that fills ``box``, scaled, turned, and with its middle at ``place``."""
    wide, high = scale * box[2] / 2, scale * box[3] / 2
    cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    half = np.array([np.hypot(wide * cosine, high * sine), np.hypot(wide * sine, high * cosine)])
    return np.array([*(place - half), *(2 * half)], np.float32)


def _outline(shape: tuple[int, ...], box: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.uint8]:
    """What of a portrait is pasted: mostly the head, at times the whole of it, with edges hard or soft."""
    outline = np.zeros(shape[:2], np.uint8)
    if random.random() < 0.25:
        edge = int(random.integers(1, 8))
        outline[edge:-edge, edge:-edge] = 255
    else:
        middle = box[0] + box[2] / 2, box[1] + box[3] * random.uniform(0.4, 0.5)
        half = box[2] * random.uniform(0.55, 0.85), box[3] * random.uniform(0.55, 0.8)
        cv2.ellipse(outline, [round(each) for each in middle], [round(each) for each in half], 0, 0, 360, (255.0,), -1)
    softness = random.uniform(0.0, 5.0)
    return np.asarray(cv2.GaussianBlur(outline, (0, 0), softness), np.uint8) if softness > 0.3 else outline


def _dressed(image: Image, box: NDArray[np.float32], random: np.random.Generator) -> Image:
    """A portrait in another light, at times without colour, blurred, or covered in part."""
    image = light(image, _gain(random), float(np.exp(random.normal(0, 0.25))))
    if random.random() < 0.1:
        image = grey(image)
    if random.random() < 0.2:
        image = blur(image, random.uniform(0.5, 3.0))
    if random.random() < COVERED:
        image = _covered(image, box, random)
    return image


def _covered(image: Image, box: NDArray[np.float32], random: np.random.Generator) -> Image:
    """Hide up to half of a face: its lower part, a side, or a patch of it."""
    left, top, width, height = box
    wide, high = width * random.uniform(0.3, 1.2), height * random.uniform(0.2, 0.5)
    corner = left + random.uniform(-0.2, 0.8) * width, top + random.choice([random.uniform(0, 0.8), 0.55]) * height
    cover = np.full_like(image, random.integers(0, 256, 3))
    cover = noise(cover, random.uniform(0, 40), random)
    where = np.zeros(image.shape[:2], np.uint8)
    cv2.rectangle(where, tuple(map(round, corner)), (round(corner[0] + wide), round(corner[1] + high)), 255, -1)
    return np.where(where[..., None] > 0, cover, image)


def _add_decoy(canvas: Canvas, scene: Image, random: np.random.Generator) -> None:
    """Draw a patch of a scene as faces are drawn, so that edges of pasted things do not tell a face."""
    side = int(min(scene.shape[:2], default=0) * random.uniform(0.2, 0.9))
    left, top = random.integers(0, scene.shape[1] - side + 1), random.integers(0, scene.shape[0] - side + 1)
    patch = np.ascontiguousarray(scene[top : top + side, left : left + side])
    box = np.array([0.25 * side, 0.2 * side, 0.5 * side, 0.65 * side], np.float32)
    turn = np.exp(random.uniform(np.log(SIZES[0]), np.log(200.0))) / box[3] * rotation(random.normal(0, 20))
    place = random.uniform((0, 0), canvas.image.shape[1::-1])
    patch = light(patch, _gain(random), float(np.exp(random.normal(0, 0.25))))
    canvas.paste(patch, np.c_[turn, place - turn @ [side / 2, side / 2]], _outline(patch.shape, box, random))


def _shrunk(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _gain(random: np.random.Generator) -> NDArray[np.float64]:
    return np.asarray(np.exp(random.normal(0, 0.3) + random.normal(0, 0.07, 3)), np.float64)


def _shared(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Area that two boxes share."""
    start = np.maximum(one[:2], other[:2])
    end = np.minimum(one[:2] + one[2:], other[:2] + other[2:])
    return float(np.prod(np.maximum(end - start, 0)))
