"""YuNet (Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", 2023) through OpenCV's ``FaceDetectorYN``."""

from collections.abc import Sequence
from importlib.resources import as_file, files

import cv2
import numpy as np

from edgeface.types import Box, Face, Image

MIN_SIDE = 64
WEIGHTS = "face_detection_yunet_2023mar_int8bq.onnx"


class YuNet:
    """Finds faces from about 10 pixels wide (in the shrunk image) with five landmarks each."""

    def __init__(self, *, max_side: int = 640, min_score: float = 0.7) -> None:
        with as_file(files("edgeface.models") / WEIGHTS) as path:
            self._net = cv2.FaceDetectorYN.create(str(path), "", (320, 320), min_score, 0.3, 500)
        self._max_side = max_side

    def detect(self, image: Image) -> Sequence[Face]:
        """Find the faces of an RGB image, largest first, in the image's own pixels."""
        height, width = image.shape[:2]
        factor = min(1.0, self._max_side / max(height, width))
        size = max(1, round(width * factor)), max(1, round(height * factor))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if factor < 1.0 else image
        # Below its coarsest stride YuNet reads memory that nobody wrote.
        right, bottom = max(0, MIN_SIDE - size[0]), max(0, MIN_SIDE - size[1])
        small = cv2.copyMakeBorder(small, 0, bottom, 0, right, cv2.BORDER_CONSTANT)
        self._net.setInputSize((size[0] + right, size[1] + bottom))
        _, rows = self._net.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        if rows is None:
            return []
        rows = np.array(rows, np.float32)
        rows[:, 0:14:2] = rows[:, 0:14:2] * (width / size[0])
        rows[:, 1:14:2] = rows[:, 1:14:2] * (height / size[1])
        faces = [
            Face(Box(*(float(v) for v in row[:4])), row[4:14].reshape(5, 2).copy(), float(min(row[14], 1.0)))
            for row in rows
            if np.isfinite(row).all()
        ]
        return sorted(faces, key=lambda face: face.box.width * face.box.height, reverse=True)
