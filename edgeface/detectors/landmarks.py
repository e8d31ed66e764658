"""Corrects the landmarks of each face with a second, small network."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgeface.errors import ModelError
from edgeface.interfaces import Detector
from edgeface.types import Face, Image, Landmarks
from edgeface.vision.alignment import TEMPLATE, align, similarity_transform
from edgeface.vision.embedding import invoke
from edgeface.vision.model_card import SHIPPED
from edgeface.vision.tflite import interpreter

FILE = "landmarks.tflite"


class LandmarkRefiner:
    """Another detector, whose landmarks a small network corrects on the aligned chip.

    YuNet's own landmarks of a face under 200 pixels follow only a third of its tilt (`train/LOG.md`).

    Raises:
        ModelError: the network is missing or cannot be loaded.
    """

    def __init__(self, coarse: Detector, network: Path = SHIPPED / FILE) -> None:
        self._coarse = coarse
        try:
            self._network, _ = interpreter(network.read_bytes())
        except OSError as error:
            raise ModelError(f"{network}: {error.strerror or error}; reinstall edgeface") from None

    def detect(self, image: Image) -> Sequence[Face]:
        return [replace(face, landmarks=self.refine(image, face.landmarks)) for face in self._coarse.detect(image)]

    def refine(self, image: Image, landmarks: Landmarks) -> Landmarks:
        """Return the five landmarks of a face, (5, 2) in the image's pixels, from rough ones."""
        (off,) = invoke(self._network, align(image, landmarks)[None]).values()
        transform = similarity_transform(landmarks)
        found = (TEMPLATE + off.reshape(5, 2) - transform[:, 2]) @ np.linalg.inv(transform[:, :2]).T
        return np.asarray(found, np.float32)
