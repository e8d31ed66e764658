"""Read prepared shards, and make batches of clean chips, augmented chips, the teachers' targets and labels."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edgeface.errors import DataError
from train.augment import seen
from train.prepare import chips_of, is_validation
from train.teachers import fusion
from train.teachers.fusion import Fusion

FUSION_SAMPLE = 16_384
"""Chips from which the fusion of two teachers is learnt."""

Place = tuple[int, int, int]
"""Shard, row in it, and 1 where the mirror image is meant."""


@dataclass(frozen=True, eq=False)
class Chips:
    """Prepared faces, 88 KB each with their targets, mapped from disk; ``people[i]`` is "" where nobody knows."""

    faces: list[NDArray[np.uint8]]  # a shard each: (n, 144, 144, 3), aligned, with a margin
    positions: list[NDArray[np.float16]]  # (n, 2, 49, 128), as it is and mirrored
    where: NDArray[np.int64]  # (n, 2): shard, row
    people: NDArray[np.str_]
    second: list[NDArray[np.float16]]  # (n, 2, 512), as positions: the second teacher's embeddings; empty without one
    fusion: Fusion | None = None
    identity: int = 128

    def __len__(self) -> int:
        return len(self.where)

    def crops(self, rows: NDArray[np.int64], mirrored: NDArray[np.bool_] | None = None) -> NDArray[np.uint8]:
        """Aligned faces with their surroundings, (n, 144, 144, 3), those mirrored where ``mirrored``, shape (n,), is true."""
        return self._crops(self._places(rows, mirrored))

    def chips(self, rows: NDArray[np.int64], mirrored: NDArray[np.bool_] | None = None) -> NDArray[np.uint8]:
        """The aligned chips of these rows, (n, 112, 112, 3)."""
        return chips_of(self.crops(rows, mirrored))

    def contributions(self, rows: NDArray[np.int64], mirrored: NDArray[np.bool_] | None = None) -> NDArray[np.float16]:
        """The first teacher's contributions, (n, 49, 128), for these chips."""
        return _targets(self.positions, self._places(rows, mirrored))

    def second_embeddings(self, rows: NDArray[np.int64], mirrored: NDArray[np.bool_] | None = None) -> NDArray[np.float16]:
        """The second teacher's unit embeddings, (n, 512), of these chips."""
        return _targets(self.second, self._places(rows, mirrored))

    def targets(self, rows: NDArray[np.int64], mirrored: NDArray[np.bool_] | None = None) -> NDArray[np.float16]:
        """The contributions, (n, 49, identity), of both teachers where they are fused, else of the first and zeros."""
        return self._fused(self._places(rows, mirrored))

    def read(self, rows: NDArray[np.int64], mirrored: NDArray[np.bool_]) -> tuple[NDArray[np.uint8], NDArray[np.float16]]:
        """The crops and the targets of these rows."""
        places = self._places(rows, mirrored)
        return self._crops(places), self._fused(places)

    def _crops(self, places: Sequence[Place]) -> NDArray[np.uint8]:
        return np.stack([self.faces[s][r][:, ::-1] if flip else self.faces[s][r] for s, r, flip in places])

    def _fused(self, places: Sequence[Place]) -> NDArray[np.float16]:
        positions = _targets(self.positions, places)
        if self.fusion:
            return self.fusion.contributions(positions, _targets(self.second, places))
        return np.pad(positions, ((0, 0), (0, 0), (0, self.identity - positions.shape[-1])))

    def _places(self, rows: NDArray[np.int64], mirrored: NDArray[np.bool_] | None) -> list[Place]:
        mirrored = np.zeros(len(rows), bool) if mirrored is None else mirrored
        return [(*self.where[row], int(flip)) for row, flip in zip(rows, mirrored, strict=True)]

    def select(self, keep: NDArray[np.bool_]) -> "Chips":
        """The chips where ``keep`` is true."""
        return Chips(self.faces, self.positions, self.where[keep], self.people[keep], self.second, self.fusion, self.identity)

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


def _targets(shards: Sequence[NDArray[np.float16]], places: Sequence[Place]) -> NDArray[np.float16]:
    return np.stack([shards[s][r, flip] for s, r, flip in places])


def teacher_embeddings(positions: NDArray[np.float16]) -> NDArray[np.float32]:
    """A teacher's unit embeddings, (n, d), from its contributions, (n, 49, d)."""
    total = positions.astype(np.float32).sum(axis=1)
    return np.asarray(total / np.linalg.norm(total, axis=1, keepdims=True), np.float32)


def target_both(training: Chips, held_out: Chips, identity: int) -> tuple[Chips, Chips]:
    """Give both sets targets of length ``identity``; two teachers are fused as the training chips tell."""
    if not training.second:
        return replace(training, identity=identity), replace(held_out, identity=identity)
    rows = np.sort(np.random.default_rng(0).permutation(len(training))[:FUSION_SAMPLE])
    fused = fusion.learn(
        teacher_embeddings(training.contributions(rows)), training.second_embeddings(rows).astype(np.float32), identity
    )
    return replace(training, fusion=fused, identity=identity), replace(held_out, fusion=fused, identity=identity)


def load(folders: Sequence[Path]) -> Chips:
    """Open what ``prepare`` wrote into these folders.

    Raises:
        DataError: a folder holds no finished preparation, a damaged one, or only some have a second teacher.
    """
    faces: list[NDArray[np.uint8]] = []
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
                faces.append(np.load(index.with_suffix(".crops.npy"), mmap_mode="r"))
                positions.append(np.load(index.with_suffix(".positions.npy"), mmap_mode="r"))
                if (other := index.with_suffix(".second.npy")).is_file():
                    second.append(np.load(other, mmap_mode="r"))
            except (OSError, ValueError, EOFError) as error:
                raise DataError(f"{index.with_suffix('')}: damaged ({error}); delete its files and prepare again") from None
            where += [(len(faces) - 1, row) for row in range(len(kept))]
            people += [person for _, person in kept]
    if len(second) not in (0, len(faces)):
        raise DataError("some of these folders were prepared with a second teacher and some without")
    return Chips(faces, positions, np.array(where, np.int64), np.array(people), second)


def photo_names(folder: Path) -> list[str]:
    """The file names of a prepared folder's photos, in the order in which ``load`` gives their chips."""
    indexes = sorted(folder.glob("shard-*.json"))
    return [Path(path).name for index in indexes for path, _ in json.loads(index.read_text())["kept"]]


def batches(data: Chips, size: int, first: int, seed: int, share: tuple[int, int] = (0, 1)) -> tf.data.Dataset:
    """Endless shuffled batches from batch ``first`` on: a resumed run gets the batches that it would have got.

    A batch is clean chips (size, 112, 112, 3), the same chips augmented, the targets (size, 49, identity) of the clean chips,
    and labels (size,). ``share`` (i, n) gives every n-th row from the i-th on: what one worker of n takes.
    """
    labels = data.labels()

    def read() -> Iterator[tuple[Any, ...]]:
        per_epoch = len(data) // size
        number = first
        while True:
            random = np.random.default_rng((seed, number // per_epoch))
            order, mirrored = random.permutation(len(data)), random.random(len(data)) < 0.5
            for at in range(number % per_epoch * size, per_epoch * size, size):
                mine = slice(at + share[0], at + size, share[1])
                rows, flips = order[mine], mirrored[mine]
                crops, targets = data.read(rows, flips)
                luck = np.random.default_rng((seed, number, share[0]))
                augmented = np.stack([seen(crop, luck) for crop in crops])
                yield chips_of(crops), augmented, targets, labels[rows]
                number += 1

    rows = len(range(share[0], size, share[1]))
    signature = (
        tf.TensorSpec((rows, 112, 112, 3), tf.uint8),
        tf.TensorSpec((rows, 112, 112, 3), tf.uint8),
        tf.TensorSpec((rows, 49, data.identity), tf.float16),
        tf.TensorSpec((rows,), tf.int32),
    )
    return tf.data.Dataset.from_generator(read, output_signature=signature).prefetch(4)
