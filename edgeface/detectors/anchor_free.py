"""Finds faces with a detector that ``python -m train detector`` made: int8 throughout, and one network for every size.

Each cell of three grids, of 8, 16 and 32 pixels, says whether a face is there, and where its box and its landmarks are.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edgeface.errors import ModelError
from edgeface.types import Box, Face, Image
from edgeface.vision.images import shrunk
from edgeface.vision.model_card import NetworkFile, read_card, read_network
from edgeface.vision.tflite import interpreter

CARD = "detector.json"
STRIDES, PATCH = (8, 16, 32), 4
"""Pixels of a cell's side on each grid; and of the squares in which the network sees the picture."""
NUMBERS, LOGIT = 16, 4.0
"""Of a cell: score, quality, middle (2), size (2), landmarks (10). The score's unit is this many logits, which brings it to
the range of the others: all share the steps of an int8."""
LOG_SIZES = (-3.0, 4.0)
"""Of a box in strides: beyond, exponentials would overflow."""

OVERLAP, VOTE, MAX_BOXES = 0.4, 0.6, 300
"""Intersection over union from which two boxes are one face, and from which both say where it is; the surest boxes that are
compared."""

Rows = NDArray[np.float32]
"""Faces, (n, 16): left, top, width, height, five landmarks, score, quality."""


class DetectorCard(Struct, frozen=True):
    """The description of a detector's network; faces below ``min_score`` are none.

    The score is one at which the network gave one false alarm in ``training``'s development pictures as often as ``metrics``
    says.
    """

    name: str
    network: NetworkFile
    min_score: float
    metrics: dict[str, Any]
    training: dict[str, Any]
    licence: str
    commit: str


class AnchorFree:
    """Finds faces from about 10 pixels wide (in the shrunk image) with five landmarks each.

    Raises:
        ModelError: the folder holds no detector, or a damaged one.
    """

    def __init__(self, folder: Path, *, max_side: int = 640, threads: int = 1, min_score: float | None = None) -> None:
        self.card, network = load(folder)
        self._network, _ = interpreter(network, threads)
        (given,) = self._network.get_input_details()
        outputs = self._network.get_output_details()
        shapes = {tuple(map(int, output["shape_signature"]))[-1] for output in outputs}
        if (given["dtype"], given["quantization"], shapes, len(outputs)) != (np.int8, (1.0, -128), {NUMBERS}, len(STRIDES)):
            raise ModelError(f"{folder / self.card.network.file}: not a network that {CARD} can describe")
        self._input = given["index"]
        self._shape: tuple[int, ...] = ()
        self._max_side = max_side
        self._min_score = self.card.min_score if min_score is None else min_score

    def detect(self, image: Image) -> Sequence[Face]:
        small = shrunk(image, self._max_side / max(image.shape[:2]))
        rows = self.search(small)
        rows[:, 0:14:2] *= image.shape[1] / small.shape[1]
        rows[:, 1:14:2] *= image.shape[0] / small.shape[0]
        faces = [Face(Box(*map(float, row[:4])), row[4:14].reshape(5, 2).copy(), float(row[14])) for row in rows]
        return sorted(faces, key=lambda face: face.box.width * face.box.height, reverse=True)

    def search(self, picture: Image) -> Rows:
        """Return the faces of a picture in its own size."""
        pieces = _pieces(_padded(picture))
        if pieces.shape != self._shape:
            self._network.resize_tensor_input(self._input, pieces.shape)
            self._network.allocate_tensors()
            self._shape = pieces.shape
        self._network.set_tensor(self._input, pieces)
        self._network.invoke()
        grids = []
        for output in self._network.get_output_details():
            scale, zero = output["quantization"]
            grids.append((self._network.get_tensor(output["index"])[0], float(scale), int(zero)))
        grids.sort(key=lambda grid: -grid[0].size)
        return suppressed(np.concatenate(list(_decoded(grids, self._min_score))))


def load(folder: Path) -> tuple[DetectorCard, bytes]:
    """Read a detector's card, and the network for which it vouches.

    Raises:
        ModelError: a file is missing or not what it should be.
    """
    card = read_card(folder / CARD, DetectorCard, "a detector's card")
    return card, read_network(folder, card.network)


def rows_of(values: NDArray[np.float32], cells: NDArray[np.intp], columns: int, stride: int) -> Rows:
    """Turn the numbers, (n, 16), of these cells of a grid into faces."""
    middles = (np.stack([cells % columns, cells // columns], axis=1) + 0.5).astype(np.float32)
    extent = np.exp(np.clip(values[:, 4:6], *LOG_SIZES))
    rows = np.empty((len(values), NUMBERS), np.float32)
    rows[:, :2] = (middles + values[:, 2:4] - extent / 2) * stride
    rows[:, 2:4] = extent * stride
    rows[:, 4:14] = (np.tile(middles, 5) + values[:, 6:]) * stride
    rows[:, 14] = 1 / (1 + np.exp(-LOGIT * values[:, 0]))
    rows[:, 15] = values[:, 1]
    return rows


def suppressed(rows: Rows) -> Rows:
    """Join the rows of one face to one: the mean of those that nearly agree with the surest, weighted by score."""
    rows = rows[np.argsort(-rows[:, 14], kind="stable")[:MAX_BOXES]]
    kept = []
    while len(rows):
        overlaps = _overlaps(rows[0], rows)
        voters = rows[overlaps >= VOTE]
        face = np.average(voters, axis=0, weights=voters[:, 14])
        face[14] = rows[0, 14]
        kept.append(face)
        rows = rows[overlaps < OVERLAP]
    return np.asarray(kept, np.float32).reshape(-1, NUMBERS)


def _decoded(grids: Sequence[tuple[NDArray[np.int8], float, int]], min_score: float) -> Iterator[Rows]:
    """Yield for each stride the rows of the cells that score well enough."""
    least = math.log(min_score / (1 - min_score)) / LOGIT
    for stride, (grid, scale, zero) in zip(STRIDES, grids, strict=True):
        cells = np.flatnonzero(grid[..., 0] >= least / scale + zero)
        values = (grid.reshape(-1, NUMBERS)[cells].astype(np.float32) - zero) * np.float32(scale)
        yield rows_of(values, cells, grid.shape[1], stride)


def _overlaps(one: NDArray[np.float32], rows: Rows) -> NDArray[np.float32]:
    """Intersection over union of one box with each of several."""
    start = np.maximum(one[:2], rows[:, :2])
    end = np.minimum(one[:2] + one[2:4], rows[:, :2] + rows[:, 2:4])
    shared = np.prod(np.maximum(end - start, 0), axis=1)
    union = np.prod(rows[:, 2:4], axis=1) + np.prod(one[2:4]) - shared
    return np.asarray(shared / np.maximum(union, 1e-9), np.float32)


def _pieces(picture: Image) -> NDArray[np.int8]:
    """Return the picture as the network takes it, (1, height, width / 4, 12), signed."""
    height, width = picture.shape[:2]
    return np.bitwise_xor(picture, 128).view(np.int8).reshape(1, height, width // PATCH, 3 * PATCH)


def _padded(picture: Image) -> Image:
    """Add black at the right and bottom until the sides are multiples of the coarsest stride."""
    bottom, right = (-side % STRIDES[-1] for side in picture.shape[:2])
    if not bottom and not right:
        return np.ascontiguousarray(picture)
    return np.asarray(cv2.copyMakeBorder(picture, 0, bottom, 0, right, cv2.BORDER_CONSTANT), np.uint8)
