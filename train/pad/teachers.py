"""Run MiniFASNetV2 and MiniFASNetV1SE, networks of Silent-Face-Anti-Spoofing (Minivision, 2020; Apache-2.0), on frames."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import openvino
from numpy.typing import NDArray

from edgeface.errors import ModelError
from edgeface.types import Box, Image, PassiveScore

TEACHERS = {"minifasnet_v2.onnx": 2.7, "minifasnet_v1se.onnx": 4.0}
"""The teachers' files, and by how much the part of the frame that each sees is larger than the face."""
SIDE, FEATURES, LIVE = 80, 128, 1
"""Side of what they see in pixels; length of their last layer but one; the class of live faces."""
LAST_BUT_ONE = "/bn/BatchNormalization_output_0"


class Teachers:
    """Both networks of one folder.

    Raises:
        ModelError: a file is missing or another network.
    """

    def __init__(self, folder: Path) -> None:
        core = openvino.Core()
        self._networks = []
        for name, scale in TEACHERS.items():
            try:
                network = onnx.load(folder / name)
                network.graph.output.append(onnx.ValueInfoProto(name=LAST_BUT_ONE))
                read = core.read_model(network.SerializeToString(), b"")
            except (OSError, RuntimeError, ValueError) as error:
                raise ModelError(f"{folder / name}: {str(error).splitlines()[0]}") from None
            compiled = core.compile_model(read, "CPU", {"INFERENCE_NUM_THREADS": 1}).create_infer_request()
            self._networks.append((compiled, scale))

    def look(self, image: Image, box: Box) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the features, shape (256,), and the probability of a live face by each network, (2,), of a face in a frame."""
        features, live = [], []
        for network, scale in self._networks:
            seen = around(image, box, scale)[..., ::-1].transpose(2, 0, 1)[None].astype(np.float32)
            found = network.infer({0: seen})
            logits = found[0][0]
            features.append(found[1][0])
            live.append(np.exp(logits - logits.max())[LIVE] / np.exp(logits - logits.max()).sum())
        return np.concatenate(features), np.array(live, np.float32)

    def scores(self) -> dict[str, Callable[[Image, Box], PassiveScore]]:
        """The networks' judgements of a face in a frame, by the names of their files; they tell screen and print not apart."""

        def of(number: int) -> Callable[[Image, Box], PassiveScore]:
            def score(image: Image, box: Box) -> PassiveScore:
                live = float(self.look(image, box)[1][number])
                return PassiveScore(live, (1 - live) / 2, (1 - live) / 2)

            return score

        return {name: of(number) for number, name in enumerate(TEACHERS)}


def digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of each teacher's file, by its name."""
    return {name: f"sha256:{hashlib.sha256((folder / name).read_bytes()).hexdigest()}" for name in TEACHERS}


def around(image: Image, box: Box, scale: float) -> Image:
    """Cut out what a teacher sees: ``scale`` times the box, or as much as the frame has, moved into the frame."""
    height, width = image.shape[:2]
    scale = min((height - 1) / box.height, (width - 1) / box.width, scale)
    size = np.array([box.width, box.height]) * scale
    middle = np.array([box.left + box.width / 2, box.top + box.height / 2])
    start = np.clip(middle - size / 2, 0, np.array([width, height]) - 1 - size)
    left, top = np.floor(start).astype(int)
    right, bottom = np.floor(start + size).astype(int)
    return np.asarray(cv2.resize(image[top : bottom + 1, left : right + 1], (SIDE, SIDE)), np.uint8)
