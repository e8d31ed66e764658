"""Measure what networks cost: their files, multiply-adds and time; and what our decoder loses."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import cv2
import numpy as np

from edgeface.measurement import bench
from edgeface.types import Image
from edgeface.vision.embedding import Embedder
from train.compare.cache import Cache, digest
from train.compare.networks import Network
from train.data import Chips

ROUNDS = 100
SHOWN = 500
"""Held-out faces that are rebuilt."""


def measure(networks: Sequence[Network], chip: Image, cache: Cache) -> dict[str, Any]:
    """Size, multiply-adds where they are known, and time of each network's embedding of ``chip``, all in the same rounds.

    Time is the fastest round's and the median, in microseconds, on one thread; a comparison that goes on keeps it.
    """
    threads = cv2.getNumThreads()

    def timed() -> list[float]:
        cv2.setNumThreads(1)
        timings, _ = bench.time_calls({network.name: partial(network.look, chip) for network in networks}, ROUNDS)
        cv2.setNumThreads(threads)
        return [value for network in networks for value in (timings[network.name].min, timings[network.name].p50)]

    names = " ".join(f"{network.name} {network.card.encoder.sha256[:16]}" for network in networks)
    times = cache.row(f"time {names} {digest(chip)}", lambda: np.array(timed())).reshape(-1, 2).tolist()
    return {
        network.name: {
            "bytes": network.card.encoder.bytes,
            "multiply_adds": network.card.cost.get("multiply_adds"),
            "fastest": fastest,
            "median": median,
        }
        for network, (fastest, median) in zip(networks, times, strict=True)
    }


def decoder(embedder: Embedder, held_out: Chips) -> dict[str, Any]:
    """The decoder's file and picture, and its mean squared error on held-out faces at its own size and at the chip's."""
    chips = held_out.chips(np.arange(min(SHOWN, len(held_out))))
    drawn = [embedder.rebuild(chip) for chip in chips]
    side = drawn[0].shape[0]
    smaller = [np.asarray(cv2.resize(chip, (side, side), interpolation=cv2.INTER_AREA), np.uint8) for chip in chips]
    larger = [
        np.asarray(cv2.resize(picture, chip.shape[1::-1], interpolation=cv2.INTER_CUBIC), np.uint8)
        for picture, chip in zip(drawn, chips, strict=True)
    ]
    return {
        "bytes": embedder.card.decoder.bytes,
        "side": side,
        "faces": len(chips),
        "mse": _error(drawn, smaller),
        "mse_as_chip": _error(larger, chips),
    }


def _error(one: Iterable[Image], other: Iterable[Image]) -> float:
    return float(np.mean([np.mean(np.square((a.astype(np.float32) - b) / 255.0)) for a, b in zip(one, other, strict=True)]))
