"""Prepared shards -> batches of chips, worn and clean, with teacher targets and labels."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edgeface.errors import DataError
from train import joint
from train.degrade import augment
from train.joint import Joint
from train.prepare import is_validation

JOINT_SAMPLE = 16_384
"""Chips from which it is learnt how two teachers make one target."""


@dataclass(frozen=True, eq=False)
class Chips:
    """Prepared chips, 125 KB a photo with their targets, mapped from disk; ``people[i]`` is "" where nobody knows."""

    chips: list[NDArray[np.uint8]]  # a shard each: (n, 2, 112, 112, 3), aligned and shaken
    positions: list[NDArray[np.float16]]  # (n, 2, 2, 49, 128), the second 2 as it is and mirrored
    where: NDArray[np.int64]  # (n, 2): shard, row
    people: NDArray[np.str_]
    second: list[NDArray[np.float16]]  # (n, 2, 2, 192), as positions: the second teacher's embeddings; empty without one
    joint: Joint | None = None

    def __len__(self) -> int:
        return len(self.where)

    def take(
        self, rows: NDArray[np.int64], views: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.uint8], NDArray[np.float16]]:
        """Chips (n, 112, 112, 3) and the teacher's contributions (n, 49, 128) of these rows.

        ``views`` says which: 0 aligned (the default), 1 that mirrored, 2 shaken, 3 that mirrored.
        """
        places = self._places(rows, views)
        chips = [self.chips[s][r, shaken][:, ::-1] if flip else self.chips[s][r, shaken] for s, r, shaken, flip in places]
        return np.stack(chips), np.stack([self.positions[s][r, shaken, flip] for s, r, shaken, flip in places])

    def opinions(self, rows: NDArray[np.int64], views: NDArray[np.int64] | None = None) -> NDArray[np.float16]:
        """The second teacher's unit embeddings, (n, 192), of the same chips."""
        return np.stack([self.second[s][r, shaken, flip] for s, r, shaken, flip in self._places(rows, views)])

    def targets(
        self, rows: NDArray[np.int64], views: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.uint8], NDArray[np.float16]]:
        """What ``take`` gives, with the contributions of both teachers where they are joint."""
        chips, positions = self.take(rows, views)
        return chips, self.joint.contributions(positions, self.opinions(rows, views)) if self.joint else positions

    def _places(self, rows: NDArray[np.int64], views: NDArray[np.int64] | None) -> list[tuple[int, int, int, int]]:
        views = np.zeros(len(rows), np.int64) if views is None else views
        return [(*self.where[row], *divmod(int(view), 2)) for row, view in zip(rows, views, strict=True)]

    def select(self, keep: NDArray[np.bool_]) -> "Chips":
        """The chips where ``keep`` is true."""
        return Chips(self.chips, self.positions, self.where[keep], self.people[keep], self.second, self.joint)

    def labels(self) -> NDArray[np.int32]:
        """Each chip's person as a number from 0 on, or -1 where nobody knows or no other chip shows them."""
        names, inverse, counts = np.unique(self.people, return_inverse=True, return_counts=True)
        known = (names != "") & (counts > 1)
        numbers = np.where(known, np.cumsum(known) - 1, -1)
        return np.asarray(numbers[inverse], np.int32)

    def split(self) -> tuple["Chips", "Chips"]:
        """Training and validation chips; no person is in both."""
        held_out = np.array([is_validation(person) for person in self.people], bool)
        return self.select(~held_out), self.select(held_out)


def teacher_embeddings(positions: NDArray[np.float16]) -> NDArray[np.float32]:
    """The teacher's unit embeddings, (n, 128), from its contributions, (n, 49, 128)."""
    total = positions.astype(np.float32).sum(axis=1)
    return np.asarray(total / np.linalg.norm(total, axis=1, keepdims=True), np.float32)


def learn_together(training: Chips, held_out: Chips) -> tuple[Chips, Chips]:
    """Both with the joint target that the training chips teach, where there are two teachers."""
    if not training.second:
        return training, held_out
    rows = np.sort(np.random.default_rng(0).permutation(len(training))[:JOINT_SAMPLE])
    target = joint.learn(teacher_embeddings(training.take(rows)[1]), training.opinions(rows).astype(np.float32))
    return replace(training, joint=target), replace(held_out, joint=target)


def load(folders: Sequence[Path]) -> Chips:
    """Open what ``prepare`` wrote into these folders.

    Raises:
        DataError: a folder holds no finished preparation, a damaged one, or only some have a second teacher.
    """
    chips: list[NDArray[np.uint8]] = []
    positions: list[NDArray[np.float16]] = []
    where: list[tuple[int, int]] = []
    people: list[str] = []
    second: list[NDArray[np.float16]] = []
    for folder in folders:
        if not (folder / "manifest.json").is_file():
            raise DataError(f"{folder}: no manifest.json; run python -m train prepare first, to its end")
        for index in sorted(folder.glob("shard-*.json")):
            try:
                kept = json.loads(index.read_text())["kept"]
                chips.append(np.load(index.with_suffix(".chips.npy"), mmap_mode="r"))
                positions.append(np.load(index.with_suffix(".positions.npy"), mmap_mode="r"))
                if (opinions := index.with_suffix(".second.npy")).is_file():
                    second.append(np.load(opinions, mmap_mode="r"))
            except (OSError, ValueError, EOFError) as error:
                raise DataError(f"{index.with_suffix('')}: damaged ({error}); delete its files and prepare again") from None
            where += [(len(chips) - 1, row) for row in range(len(kept))]
            people += [person for _, person in kept]
    if len(second) not in (0, len(chips)):
        raise DataError("some of these folders were prepared with a second teacher and some without")
    return Chips(chips, positions, np.array(where, np.int64), np.array(people), second)


def batches(data: Chips, size: int, first: int, seed: int, share: tuple[int, int] = (0, 1)) -> tf.data.Dataset:
    """Endless shuffled batches from batch ``first`` on: a resumed run sees what it would have.

    A batch is chips (size, 112, 112, 3), the same augmented, the targets (size, 49, 128) of the former, and
    labels (size,). ``share`` (i, n) gives every n-th row from the i-th on: what one worker of n takes.
    """
    labels = data.labels()

    def read() -> Iterator[tuple[Any, ...]]:
        per_epoch = len(data) // size
        number = first
        while True:
            random = np.random.default_rng((seed, number // per_epoch))
            order, views = random.permutation(len(data)), random.integers(0, 4, len(data))
            for at in range(number % per_epoch * size, per_epoch * size, size):
                mine = slice(at + share[0], at + size, share[1])
                clean, positions = data.targets(order[mine], views[mine])
                luck = np.random.default_rng((seed, number, share[0]))
                worn = np.stack([augment(chip, luck) for chip in clean])
                yield clean, worn, positions, labels[order[mine]]
                number += 1

    rows = len(range(share[0], size, share[1]))
    signature = (
        tf.TensorSpec((rows, 112, 112, 3), tf.uint8),
        tf.TensorSpec((rows, 112, 112, 3), tf.uint8),
        tf.TensorSpec((rows, 49, 128), tf.float16),
        tf.TensorSpec((rows,), tf.int32),
    )
    return tf.data.Dataset.from_generator(read, output_signature=signature).prefetch(4)
