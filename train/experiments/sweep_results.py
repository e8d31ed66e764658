"""Read the results of ``sweep``, and name the rows of its tables."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeface.errors import DataError
from train.checkpoints import current_name
from train.experiments import dense_baseline
from train.experiments.sweep import ENCODERS, PARTS, slug

Figures = dict[str, Any]

CRITERIA = {
    "mse": ("held-out MSE", min),
    "bic": ("BIC", min),
    "gain": ("information gain", max),
    "accuracy": ("verification accuracy", max),
}
ROWS = {
    "article": "dense, as the article has it",
    "dense": "dense",
    "eigenfaces": "PCA (eigenfaces)",
    "convolutional": "convolutional",
    "classification": "convolutional encoder, classification",
    "combination": "convolutional, reconstruction and classification",
    "combination-and-teacher": "convolutional, both and the teacher's relations",
    "shipped": "the shipped network, int8",
}
PART_NAMES = {
    "reconstruction": "reconstruction alone",
    "cosine": "+ distillation of the teacher's embedding",
    "position_wise": "+ distillation by position",
    "margin": "+ identity labels",
    "perceptual": "+ the perceptual loss of rebuilt faces",
    "relational": "+ the relations within a batch",
}


class Found:
    """The results of a sweep.

    Raises:
        DataError: there is none in ``folder``, or it is not finished.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = self._read("sweep")
        self.article = self._read("article")
        self.grid = [self._read(f"grid-{hidden}") for hidden in self.settings["budget"]["hidden"]]
        self.overfit = {name: self._read(f"overfit-{slug(name)}")["curve"] for name in dense_baseline.CURES}
        self.cost = self._read("cost")
        self.encoders = {"article": {**self.article, **self.article["encoder"], "code": dense_baseline.HIDDEN}}
        self.encoders |= {slug(name): self._read(f"encoder-{slug(name)}") for name in ENCODERS}
        self.encoders["shipped"] = self._read("shipped")
        self.losses = [self._loss(count) for count in range(1, len(PARTS) + 1)]
        self.verification = self._read("verification")

    def faces(self, name: str) -> NDArray[np.uint8]:
        """Faces that an encoder rebuilt."""
        return np.asarray(np.load(self.folder / f"faces-{name}.npy"))

    def _loss(self, count: int) -> Figures:
        found = self._read(f"loss-{count}")
        return found | {"weights": {current_name(part): weight for part, weight in found["weights"].items()}}

    def _read(self, name: str) -> Figures:
        path = self.folder / f"{name}.json"
        try:
            return dict(json.loads(path.read_text()))
        except (OSError, ValueError):
            raise DataError(f"{path}: no result; run python -m train sweep to its end first") from None


def pick(found: Found, criterion: str) -> int:
    """The hidden size that a criterion picks; of equal ones the smallest."""
    means = {row["hidden"]: float(np.mean(row[criterion])) for row in found.grid}
    return int(CRITERIA[criterion][1](means, key=lambda size: means[size]))


def best_epoch(curve: Sequence[Sequence[float]]) -> int:
    """The epoch, from 0, of the lowest validation error."""
    return int(np.argmin([validation for _, validation in curve]))


def costs(found: Found) -> dict[str, tuple[Figures, Figures]]:
    """The dense and the convolutional encoder's costs, by picture, from the smallest on."""
    rows = found.cost["rows"]
    return {f"{a['side']} px, {a['colour']}": (a, b) for a, b in zip(rows[::2], rows[1::2], strict=True)}
