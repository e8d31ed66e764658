"""Tells from a still picture whether a live person stands before the camera, a screen that shows one, or a print.

The network sees two square crops of the frame. The narrow one shows the skin, where a screen's pixels and a print's dots leave
patterns; the wide one shows what is around the face: edges of paper, a device's frame, a hand.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edgeface.errors import ModelError
from edgeface.types import Box, Image, PassiveScore
from edgeface.vision.embedding import invoke
from edgeface.vision.model_card import SHIPPED, NetworkFile, read_card, read_network
from edgeface.vision.tflite import interpreter

CARD = "pad.json"
SIDE = 96
"""Of a crop as the network sees it, in pixels."""
CROPS = (1.3, 3.0)
"""Sides of the two crops, in sides of the square that is as large as the face's box."""
CLASSES = ("live", "screen", "print")
OUTSIDE = 128
"""Value of what lies beyond the edge of the frame."""


class PassiveCard(Struct, frozen=True):
    """The description of the network.

    A visit counts as live from a ``live`` of ``live_at``, as an attack below ``attack_at``, and is in doubt between the two.
    ``metrics`` tells the errors at both on people from whom nothing was learnt.
    """

    name: str
    network: NetworkFile
    live_at: float
    attack_at: float
    metrics: dict[str, Any]
    training: dict[str, Any]
    licence: str
    commit: str


class PassiveLiveness:
    """The network of one folder. It must not be used from two threads at once.

    Raises:
        ModelError: the folder holds no such network, or a damaged one.
    """

    def __init__(self, folder: Path = SHIPPED, threads: int = 1) -> None:
        self.card, data = load(folder)
        self._network, _ = interpreter(data, threads)
        (given,), outputs = self._network.get_input_details(), self._network.get_output_details()
        shapes = [tuple(map(int, tensor["shape"])) for tensor in (given, *outputs)]
        if (given["dtype"], shapes) != (np.uint8, [(1, SIDE, SIDE, 3 * len(CROPS)), (1, len(CLASSES))]):
            raise ModelError(f"{folder / self.card.network.file}: not the network that {CARD} describes")

    @property
    def live_at(self) -> float:
        """The ``live`` of a visit from which it counts as live."""
        return self.card.live_at

    @property
    def attack_at(self) -> float:
        """The ``live`` of a visit below which it counts as an attack."""
        return self.card.attack_at

    def score(self, image: Image, box: Box) -> PassiveScore:
        """Return what stands before the camera, judged by one frame, RGB, and the box of a face in it."""
        logits = invoke(self._network, crops(image, box, SIDE)[None])[len(CLASSES)]
        return PassiveScore(*map(float, _softmax(logits)))


def fuse(scores: Sequence[PassiveScore]) -> PassiveScore:
    """Return the score of a visit of one or more frames, which is the mean of their logits."""
    logs = np.log(np.clip([[score.live, score.screen, score.print] for score in scores], 1e-6, None))
    return PassiveScore(*map(float, _softmax(logs.mean(axis=0))))


def crops(image: Image, box: Box, side: int, looser: float = 1.0) -> NDArray[np.uint8]:
    """Cut both crops out of a frame, (side, side, 6); ``looser`` ones show so many times as much."""
    reach = np.sqrt(box.width * box.height) / 2
    height, width = image.shape[:2]
    middle = min(max(box.left + box.width / 2, 0), width - 1), min(max(box.top + box.height / 2, 0), height - 1)
    return np.concatenate([_square(image, middle, looser * crop * reach, side) for crop in CROPS], axis=-1)


def _square(image: Image, middle: tuple[float, float], half: float, side: int) -> NDArray[np.uint8]:
    """Cut out a square of whole pixels; beyond the frame there is grey."""
    half = max(1, round(half))
    left, top = round(middle[0]) - half, round(middle[1]) - half
    height, width = image.shape[:2]
    before, after = (max(0, -top), max(0, -left)), (max(0, top + 2 * half - height), max(0, left + 2 * half - width))
    cut = image[max(0, top) : max(0, top + 2 * half), max(0, left) : max(0, left + 2 * half)]
    if any(before + after):
        edges = before[0], after[0], before[1], after[1]
        cut = np.asarray(cv2.copyMakeBorder(cut, *edges, cv2.BORDER_CONSTANT, value=(OUTSIDE, OUTSIDE, OUTSIDE)))
    # Halving is many times as fast as averaging over areas of any size, and what is left is less than another halving.
    while (half := len(cut) // 2) >= side:
        cut = np.asarray(cv2.resize(cut[: 2 * half, : 2 * half], (half, half), interpolation=cv2.INTER_AREA))
    return np.asarray(cv2.resize(cut, (side, side), interpolation=cv2.INTER_LINEAR), np.uint8)


def load(folder: Path) -> tuple[PassiveCard, bytes]:
    """Read the card, and the network for which it vouches.

    Raises:
        ModelError: a file is missing or not what it should be.
    """
    card = read_card(folder / CARD, PassiveCard, "a card of a liveness network")
    return card, read_network(folder, card.network)


def _softmax(logits: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    raised = np.exp(logits - logits.max())
    return np.asarray(raised / raised.sum())
