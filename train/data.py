"""Prepared shards -> batches of chips and teacher targets; augmentation."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edgeface.errors import DataError
from train.prepare import is_validation


@dataclass(frozen=True, eq=False)
class Chips:
    """Prepared chips in memory, 63 KB each with their targets; ``people[i]`` is "" where nobody knows."""

    chips: list[NDArray[np.uint8]]
    positions: list[NDArray[np.float16]]
    where: NDArray[np.int64]  # (n, 2): shard, row
    people: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.where)

    def take(
        self, rows: NDArray[np.int64], mirrored: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.uint8], NDArray[np.float16]]:
        """Chips (n, 112, 112, 3) and the teacher's contributions (n, 49, 128) of these rows; mirrored where 1, not where 0."""
        mirrored = np.zeros(len(rows), np.int64) if mirrored is None else mirrored
        places = [(*self.where[row], flip) for row, flip in zip(rows, mirrored, strict=True)]
        chips = [self.chips[s][r, :, ::-1] if flip else self.chips[s][r] for s, r, flip in places]
        return np.stack(chips), np.stack([self.positions[s][r, flip] for s, r, flip in places])

    def select(self, keep: NDArray[np.bool_]) -> "Chips":
        """The chips where ``keep`` is true."""
        return Chips(self.chips, self.positions, self.where[keep], self.people[keep])

    def split(self) -> tuple["Chips", "Chips"]:
        """Training and validation chips; no person is in both."""
        held_out = np.array([is_validation(person) for person in self.people])
        return self.select(~held_out), self.select(held_out)


def load(folders: Sequence[Path]) -> Chips:
    """Open what ``prepare`` wrote into these folders.

    Raises:
        DataError: a folder holds no finished preparation.
    """
    chips: list[NDArray[np.uint8]] = []
    positions: list[NDArray[np.float16]] = []
    where: list[tuple[int, int]] = []
    people: list[str] = []
    for folder in folders:
        if not (folder / "manifest.json").is_file():
            raise DataError(f"{folder}: no manifest.json; run python -m train prepare first, to its end")
        for index in sorted(folder.glob("shard-*.json")):
            kept = json.loads(index.read_text())["kept"]
            where += [(len(chips), row) for row in range(len(kept))]
            people += [person for _, person in kept]
            chips.append(np.load(index.with_suffix(".chips.npy")))
            positions.append(np.load(index.with_suffix(".positions.npy")))
    return Chips(chips, positions, np.array(where, np.int64), np.array(people))


def batches(data: Chips, size: int, first: int, seed: int) -> tf.data.Dataset:
    """Endless shuffled batches from batch number ``first`` on: a resumed run sees what it would have seen."""

    def read() -> Iterator[tuple[Any, Any]]:
        per_epoch = len(data) // size
        number = first
        while True:
            random = np.random.default_rng((seed, number // per_epoch))
            order, mirrored = random.permutation(len(data)), random.integers(0, 2, len(data))
            for at in range(number % per_epoch * size, per_epoch * size, size):
                yield data.take(order[at : at + size], mirrored[at : at + size])
                number += 1

    signature = (
        tf.TensorSpec((size, 112, 112, 3), tf.uint8),
        tf.TensorSpec((size, 49, 128), tf.float16),
    )
    return tf.data.Dataset.from_generator(read, output_signature=signature).prefetch(3)


def augment(chips: tf.Tensor) -> tf.Tensor:
    """What a cheap camera does to a face, 0..255 float32 in and out; geometry stays, for the targets are by position.

    Each effect strikes its own share of the batch: light and colour, grey, few pixels, noise, something in front.
    """
    n = tf.shape(chips)[0]
    x = tf.cast(chips, tf.float32)

    def struck(share: float) -> tf.Tensor:
        return tf.random.uniform([n, 1, 1, 1]) < share

    gain = tf.exp(tf.random.normal([n, 1, 1, 1], stddev=0.25) + tf.random.normal([n, 1, 1, 3], stddev=0.06))
    gamma = tf.exp(tf.random.normal([n, 1, 1, 1], stddev=0.2))
    x = tf.where(struck(0.7), 255.0 * tf.pow(tf.minimum(x * gain / 255.0, 1.0) + 1e-4, gamma), x)
    x = tf.where(struck(0.1), tf.image.rgb_to_grayscale(x), x)
    small = tf.random.uniform([], 20, 80, tf.int32)
    coarse = tf.image.resize(tf.image.resize(x, [small, small], antialias=True), [112, 112], "bicubic")
    x = tf.where(struck(0.15), coarse, x)
    noise = tf.random.normal(tf.shape(x), stddev=1.0) * tf.random.uniform([n, 1, 1, 1], 2.0, 16.0)
    x = tf.where(struck(0.15), x + noise, x)
    return tf.clip_by_value(tf.where(struck(0.1) & _rectangles(n), 255.0 * tf.random.uniform([n, 1, 1, 3]), x), 0.0, 255.0)


def _rectangles(n: tf.Tensor) -> tf.Tensor:
    """One random rectangle an image, 10 to 45 pixels a side, as a mask of shape (n, 112, 112, 1)."""
    line = tf.range(112, dtype=tf.float32)
    inside = []
    for _ in range(2):
        length = tf.random.uniform([n, 1], 10.0, 45.0)
        start = tf.random.uniform([n, 1]) * (112.0 - length)
        inside.append((line >= start) & (line < start + length))
    return (inside[0][:, :, None] & inside[1][:, None, :])[..., None]
