"""Load prepared views, and draw batches of them as a camera may see them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
from numpy.typing import NDArray

from edgeface.errors import DataError
from edgeface.types import Image
from edgeface.vision.passive_liveness import CLASSES, SIDE
from train.augment import blur, grey, jpeg, light, noise
from train.pad.model import LOGITS, TAUGHT
from train.pad.prepare import FRAME, KEPT, PHOTO, RECAPTURED_FRAME, RECAPTURED_PHOTO

SHARES = {FRAME: (0.24, 0.14, 0.12), PHOTO: (0.24, 0.0, 0.0)}
"""Shares of live, screen and print in what is presented, by origin, without simulated attacks."""
SIMULATED = {RECAPTURED_FRAME: (0.0, 0.5, 0.5), RECAPTURED_PHOTO: (0.0, 0.5, 0.5)}
"""The same of simulated attacks, before they are weighed."""


@dataclass(frozen=True, eq=False)
class Views:
    """Both crops of n faces, (n, 112, 112, 6), the class and the origin of each, and the teachers' features, (n, 256).

    The features are standardised: mean 0 and variance 1 over all views.
    """

    pixels: NDArray[np.uint8]
    kinds: NDArray[np.uint8]
    origins: NDArray[np.uint8]
    features: NDArray[np.float32]


def load_manifest(prepared: Path) -> dict[str, Any]:
    """Read what ``prepare`` says of its work.

    Raises:
        DataError: it is not done.
    """
    try:
        manifest: dict[str, Any] = json.loads((prepared / "manifest.json").read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"{prepared}/manifest.json: cannot be read: {error}; run python -m train pad prepare first") from None
    return manifest


def load_views(prepared: Path) -> Views:
    """Read all shards into memory."""
    parts: dict[str, list[NDArray[Any]]] = {"views": [], "kinds": [], "origins": [], "features": []}
    for number in range(load_manifest(prepared)["shards"]):
        with np.load(prepared / f"shard-{number:05}.npz") as shard:
            for name, arrays in parts.items():
                arrays.append(shard[name])
    features = np.concatenate(parts["features"]).astype(np.float32)
    features = (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-3)
    pixels, kinds, origins = (np.concatenate(parts[name]) for name in ("views", "kinds", "origins"))
    return Views(pixels, kinds, origins, features)


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches of degraded views; ``simulated`` is the share of simulated attacks in all that is presented."""

    def __init__(self, views: Views, batch: int, steps: int, simulated: float, seed: int) -> None:
        super().__init__(workers=2, max_queue_size=24)
        self._views, self._batch, self._steps, self._seed, self._epoch = views, batch, steps, seed, 0
        self._groups, shares = [], []
        weighed = [(SHARES, 1 - simulated), (SIMULATED, simulated / 2)]
        for table, weight in weighed:
            for origin, row in table.items():
                for kind, share in enumerate(row):
                    rows = np.flatnonzero((views.origins == origin) & (views.kinds == kind))
                    if share * weight and len(rows):
                        self._groups.append(rows)
                        shares.append(share * weight)
        if not shares:
            raise DataError("there are no views to learn from")
        self._shares = np.array(shares) / sum(shares)

    def __len__(self) -> int:
        return self._steps

    def on_epoch_end(self) -> None:
        """Let the next epoch draw others."""
        self._epoch += 1

    def __getitem__(self, number: int) -> tuple[NDArray[np.float32], dict[str, NDArray[Any]]]:
        """Return one batch: views, and the classes and features that are wanted."""
        random = np.random.default_rng((self._seed, self._epoch, number))
        groups = random.choice(len(self._groups), self._batch, p=self._shares)
        rows = np.array([random.choice(self._groups[group]) for group in groups])
        pixels = np.stack([seen(self._views.pixels[row], random) for row in rows]).astype(np.float32)
        classes = np.eye(len(CLASSES), dtype=np.float32)[self._views.kinds[rows]]
        return pixels, {LOGITS: classes, TAUGHT: self._views.features[rows]}


def seen(view: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """Cut a view again where another detector's box would lie, and degrade both crops alike."""
    side = int(random.uniform(0.68, 1.0) * KEPT)
    left, top = random.integers(0, KEPT - side + 1, 2)
    view = view[top : top + side, left : left + side]
    if random.random() < 0.5:
        view = view[:, ::-1]
    first, second = (np.ascontiguousarray(half) for half in (view[..., :3], view[..., 3:]))
    halves = [np.asarray(cv2.resize(half, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR), np.uint8) for half in (first, second)]
    luck = random.integers(2**32)
    return np.concatenate([_degrade(half, np.random.default_rng(luck)) for half in halves], axis=-1)


def _degrade(crop: Image, random: np.random.Generator) -> Image:
    if random.random() < 0.7:
        gain = np.exp(random.normal(0, 0.25) + random.normal(0, 0.08, 3))
        crop = light(crop, gain, float(np.exp(random.normal(0, 0.25))))
    if random.random() < 0.06:
        crop = grey(crop)
    if random.random() < 0.2:
        small = round(SIDE * random.uniform(0.35, 0.95))
        shrunk = cv2.resize(crop, (small, small), interpolation=cv2.INTER_AREA)
        crop = np.asarray(cv2.resize(shrunk, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR), np.uint8)
    if random.random() < 0.15:
        crop = blur(crop, random.uniform(0.4, 1.5))
    if random.random() < 0.25:
        crop = noise(crop, random.uniform(1, 10), random)
    return jpeg(crop, int(random.integers(30, 95))) if random.random() < 0.35 else crop
