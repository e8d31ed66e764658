"""Finds faces with YuNet (Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", 2023) in OpenCV's ``dnn``.

OpenCV's own ``FaceDetectorYN`` finds the same, to the bit, but holds the first layers' outputs, the largest, for the whole
picture. Here the first layers see one strip of it after another: some more work, for less memory (docs/figures.md).
"""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeface.types import Box, Face, Image
from edgeface.vision.images import shrunk
from edgeface.vision.model_card import SHIPPED

STRIDES = (8, 16, 32)
OUTPUTS = tuple(f"{kind}_{stride}" for stride in STRIDES for kind in ("cls", "obj", "bbox", "kps"))
MIN_SIDE = 64
OVERLAP, MAX_BOXES = 0.3, 500
"""Intersection over union from which two boxes are one face; and the number of surest boxes that are compared."""
STEM, HEADS = "yunet_stem.onnx", "yunet_heads.onnx"
"""The two halves of YuNet, as ``python -m train detector yunet`` cuts it."""
CHANNELS, GRAIN = 64, 8
"""Channels of the stem's output, and pixels of the picture for each of its rows and columns."""
STRIPS, HALO = 4, 24
"""Strips of a picture; and pixel rows above and below a strip that the stem sees, too, as far as an output depends on."""


class YuNet:
    """Finds faces from about 10 pixels wide (in the shrunk image) with five landmarks each."""

    def __init__(self, *, max_side: int = 640, min_score: float = 0.7) -> None:
        self._stem, self._heads = (cv2.dnn.readNetFromONNX(str(SHIPPED / name)) for name in (STEM, HEADS))
        self._max_side, self._min_score = max_side, min_score

    def detect(self, image: Image) -> Sequence[Face]:
        small = shrunk(image, self._max_side / max(image.shape[:2]))
        rows = self._search(_padded(small))
        rows[:, 0:14:2] *= image.shape[1] / small.shape[1]
        rows[:, 1:14:2] *= image.shape[0] / small.shape[0]
        faces = [Face(Box(*map(float, row[:4])), row[4:14].reshape(5, 2).copy(), float(row[14])) for row in rows]
        return sorted(faces, key=lambda face: face.box.width * face.box.height, reverse=True)

    def _search(self, picture: Image) -> NDArray[np.float32]:
        """Return box (left, top, width, height), landmarks and score, (n, 15), of each face; the sides are whole strides."""
        self._heads.setInput(self._features(picture))
        outputs = [np.asarray(output, np.float32) for output in self._heads.forward(OUTPUTS)]
        found = dict(zip(OUTPUTS, outputs, strict=True))
        rows = np.concatenate(list(self._decoded(found, picture.shape[1])))
        rows = rows[np.isfinite(rows).all(axis=1)]
        boxes = np.trunc(rows[:, :4].astype(np.float64)).tolist()
        kept = cv2.dnn.NMSBoxes(boxes, rows[:, 14].tolist(), self._min_score, OVERLAP, top_k=MAX_BOXES)
        return np.asarray(rows[np.asarray(kept, np.intp).ravel()], np.float32)

    def _features(self, picture: Image) -> NDArray[np.float32]:
        """Return the stem's output for the whole picture, (1, channels, rows, columns)."""
        height, width = picture.shape[:2]
        features = np.empty((1, CHANNELS, height // GRAIN, width // GRAIN), np.float32)
        step = -(-height // (STRIPS * GRAIN)) * GRAIN
        seen = min(height, step + 2 * HALO)  # alike for every strip: for another size OpenCV would lay out the network anew
        for top in range(0, height, step):
            bottom, first = min(height, top + step), min(max(0, top - HALO), height - seen)
            self._stem.setInput(_planes(picture[first : first + seen]))
            features[:, :, top // GRAIN : bottom // GRAIN] = self._stem.forward()[
                :, :, (top - first) // GRAIN : (bottom - first) // GRAIN
            ]
        return features

    def _decoded(self, found: dict[str, NDArray[np.float32]], width: int) -> Iterator[NDArray[np.float32]]:
        """Yield for each stride the rows of the cells that score well enough."""
        for stride in STRIDES:
            cls, obj, box, points = (found[f"{kind}_{stride}"][0] for kind in ("cls", "obj", "bbox", "kps"))
            scores = np.sqrt(np.clip(cls[:, 0], 0, 1) * np.clip(obj[:, 0], 0, 1))
            cells = np.flatnonzero(scores >= self._min_score)
            corner = np.stack([cells % (width // stride), cells // (width // stride)], axis=1).astype(np.float32)
            extent = np.exp(box[cells, 2:]) * stride
            start = (corner + box[cells, :2]) * stride - extent / 2
            landmarks = points[cells] * stride + np.tile(corner, 5) * stride
            yield np.hstack([start, extent, landmarks, scores[cells, None]], dtype=np.float32)


def _planes(picture: Image) -> NDArray[np.float32]:
    """Return blue, green and red planes, (1, 3, height, width); ``blobFromImage`` takes longer and twice the memory."""
    planes = np.empty((1, 3, *picture.shape[:2]), np.float32)
    for number in range(3):
        planes[0, number] = cv2.extractChannel(picture, 2 - number)
    return planes


def _padded(picture: Image) -> Image:
    """Add black at the right and bottom until the sides are multiples of the coarsest stride, and twice as long at least.

    In smaller pictures YuNet reads uninitialized memory.
    """
    bottom, right = (max(MIN_SIDE, -(-side // STRIDES[-1]) * STRIDES[-1]) - side for side in picture.shape[:2])
    if not bottom and not right:
        return picture
    return np.asarray(cv2.copyMakeBorder(picture, 0, bottom, 0, right, cv2.BORDER_CONSTANT), np.uint8)
