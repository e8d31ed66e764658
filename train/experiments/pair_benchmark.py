"""Verify the pairs of a set by any encoder in one call, from chips that are made once."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeface import detectors
from edgeface.vision.alignment import CHIP_SIZE
from train.compare.robustness import FAR, portraits
from train.evaluation.pairs import NO_FACE, Pairs
from train.evaluation.verification import best_threshold, fold_accuracies, tar_at_far
from train.experiments.model_selection import accuracy_difference

Scores = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PairBenchmark:
    """Pairs to verify and the aligned chips of their photos; ``left`` and ``right`` are a pair's rows, -1 without a face."""

    pairs: Pairs
    chips: NDArray[np.uint8]
    left: NDArray[np.int64]
    right: NDArray[np.int64]

    @cached_property
    def people(self) -> NDArray[np.int64]:
        """The two people of each pair, numbered, (pairs, 2)."""
        names = [name.partition("/")[0] for name in (*self.pairs.left, *self.pairs.right)]
        return np.asarray(np.unique(names, return_inverse=True)[1].reshape(2, -1).T, np.int64)

    def scores(self, templates: NDArray[np.float32], probes: NDArray[np.float32]) -> Scores:
        """Cosines of the pairs, from unit vectors of the chips; ``NO_FACE`` where a face is missing."""
        cosines = np.sum(templates[self.left] * probes[self.right], axis=1, dtype=np.float64)
        return np.where((self.left < 0) | (self.right < 0), NO_FACE, cosines)

    def right_ones(self, scores: Scores) -> NDArray[np.bool_]:
        """Which pairs are told right, each fold at the threshold that is best on the others (LFW's protocol)."""
        right = np.zeros(len(scores), bool)
        for fold in np.unique(self.pairs.folds):
            inside = self.pairs.folds == fold
            threshold = best_threshold(scores[~inside], self.pairs.same[~inside])
            right[inside] = (scores[inside] >= threshold) == self.pairs.same[inside]
        return right

    def judge(self, scores: Scores) -> dict[str, float]:
        """Accuracy with the standard deviation of the folds, and TAR at a FAR of 1e-2."""
        same = self.pairs.same
        folds = fold_accuracies(scores, same, self.pairs.folds)
        return {
            "accuracy": float(np.mean(folds)),
            "accuracy_std": float(np.std(folds)),
            "tar": tar_at_far(scores[same], scores[~same], FAR),
        }

    def difference(self, scores: Scores, other: Scores) -> dict[str, float]:
        """How much more accurate ``scores`` are than ``other``, with the ends of the 95 % interval of ``criteria``."""
        gained = accuracy_difference(self.right_ones(scores), self.right_ones(other), self.pairs.same, self.people)
        return dict(zip(("difference", "low", "high"), gained, strict=True))


def open_benchmark(images: Path, pairs: Pairs, cache: Path) -> PairBenchmark:
    """Find and align the faces, or read from ``cache`` what an earlier call found.

    Raises:
        DataError: there is no face in any photo.
        ImageError: a photo is missing or cannot be read.
    """
    names = np.unique([*pairs.left, *pairs.right])
    if not cache.is_file():
        found = portraits(images, list(names), detectors.create())
        nobody = np.zeros((CHIP_SIZE, CHIP_SIZE, 3), np.uint8)
        part = cache.with_suffix(".part.npz")
        np.savez(part, chips=[face.chip if face else nobody for face in found], seen=[face is not None for face in found])
        part.replace(cache)
    with np.load(cache) as file:
        chips, seen = file["chips"], file["seen"]
    left, right = (np.searchsorted(names, side) for side in (pairs.left, pairs.right))
    return PairBenchmark(pairs, chips, np.where(seen[left], left, -1), np.where(seen[right], right, -1))
