"""Reads the networks encoder.tflite and decoder.tflite, and the card model.json that vouches for both."""

import hashlib
import math
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from edgeface.errors import ModelError
from edgeface.platform.files import write_whole

Card = TypeVar("Card")

SHIPPED = Path(__file__).parent.parent / "models"


class NetworkFile(Struct, frozen=True):
    file: str
    sha256: str
    bytes: int


class Threshold(Struct, frozen=True, omit_defaults=True):
    """The cosine that at most a share ``far`` of non-mated comparisons reaches.

    ``low`` and ``high`` are the limits of the cosine's 95 % interval, where they are known. A ``modelled`` threshold lies
    beyond the comparisons that were made, and comes from a model of their tail.
    """

    far: float
    cosine: float
    low: float | None = None
    high: float | None = None
    modelled: bool = False


class Sameness(Struct, frozen=True):
    """A Platt calibration: ``slope`` * cosine + ``offset`` are the log-odds of one person in two faces, at even prior odds."""

    slope: float
    offset: float


class ModelCard(Struct, frozen=True):
    """The description of a network; see the shipped model.json.

    Views whose embedding has a norm below ``min_norm`` are too poor to be used: 5 % of clear portraits are.
    """

    name: str
    encoder: NetworkFile
    decoder: NetworkFile
    input_size: int
    identity: int
    appearance: int
    alignment: list[list[float]]
    thresholds: list[Threshold]
    sameness: Sameness
    min_norm: float
    calibration: dict[str, Any]
    metrics: dict[str, Any]
    cost: dict[str, Any]
    training: dict[str, Any]
    licence: str
    commit: str

    @property
    def digest(self) -> str:
        return f"sha256:{self.encoder.sha256}"

    def threshold(self, far: float) -> float:
        """Return the cosine threshold at a false-accept rate, linear in log FAR between and beyond the measured points."""
        points = sorted((math.log10(t.far), t.cosine) for t in self.thresholds)
        at = math.log10(far)
        (x0, y0), (x1, y1) = next((pair for pair in pairwise(points) if at <= pair[1][0]), (points[-2], points[-1]))
        return min(1.0, y0 + (y1 - y0) * (at - x0) / (x1 - x0))

    @property
    def measured_to(self) -> float:
        """The lowest false-accept rate whose threshold was measured."""
        return min((t.far for t in self.thresholds if not t.modelled), default=1.0)

    def beyond_measured(self, target_fpir: float, templates: int) -> str:
        """Say that the threshold of a gallery of this size was not measured; empty where it was."""
        far = target_fpir / max(1, templates)
        if far >= self.measured_to * (1 - 1e-9):
            return ""
        source = "modelled" if far >= min(t.far for t in self.thresholds) else "extrapolated"
        return (
            f"the threshold is for a false-accept rate of {far:.1e} a comparison, was measured down to {self.measured_to:.0e}, "
            f"and is {source} beyond"
        )

    def probability(self, cosine: float) -> float:
        """Return the probability, 0 to 1, that two faces with this cosine are one person's, at even prior odds."""
        return 0.5 + 0.5 * math.tanh((self.sameness.slope * cosine + self.sameness.offset) / 2)


def load_card(folder: Path = SHIPPED) -> ModelCard:
    """Read ``folder``/model.json.

    Raises:
        ModelError: the file is missing or no model card.
    """
    path = folder / "model.json"
    card = read_card(path, ModelCard, "a model card")
    fars = {threshold.far for threshold in card.thresholds}
    if len(fars) < max(2, len(card.thresholds)) or not all(0 < far <= 1 for far in fars):
        raise ModelError(f"{path}: a model card needs two thresholds or more, at different rates between 0 and 1")
    return card


def save_card(folder: Path, card: ModelCard) -> None:
    write_whole(folder / "model.json", msgspec.json.format(msgspec.json.encode(card), indent=1) + b"\n")


def read_card(path: Path, kind: type[Card], what: str) -> Card:
    """Read a card of this kind, and say ``what`` it is not if it is none.

    Raises:
        ModelError: the file is missing or no such card.
    """
    try:
        return msgspec.json.decode(_read(path), type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: not {what}: {error}") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror or error}") from None


def read_network(folder: Path, network: NetworkFile) -> bytes:
    """Return the bytes of a network for which the card vouches.

    Raises:
        ModelError: the file is missing or its digest is not the card's.
    """
    path = folder / network.file
    data = _read(path)
    found = hashlib.sha256(data).hexdigest()
    if found != network.sha256:
        raise ModelError(f"{path}: its digest {found[:12]}… is not the {network.sha256[:12]}… of its card; reinstall the model")
    return data
