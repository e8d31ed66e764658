"""Figures of verification: cosines of matched and unmatched pairs -> accuracy, ROC, TAR at FAR, thresholds."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


def all_pairs(embeddings: Floats, people: NDArray[np.str_]) -> tuple[Floats, Floats]:
    """Cosines of every matched and every unmatched pair of unit embeddings, (n, d)."""
    cosines = embeddings @ embeddings.T
    upper = np.triu(np.ones(cosines.shape, bool), 1)
    same = people[:, None] == people[None, :]
    return cosines[upper & same], cosines[upper & ~same]


def threshold_at_far(unmatched: Floats, far: float) -> float:
    """The lowest threshold at which at most a share ``far`` of the unmatched cosines lies on or above it."""
    ranked = np.sort(unmatched)[::-1]
    allowed = int(far * len(ranked))
    return float(np.nextafter(ranked[min(allowed, len(ranked) - 1)], np.inf, dtype=ranked.dtype))


def tar_at_far(matched: Floats, unmatched: Floats, far: float) -> float:
    """True-accept rate at the threshold that holds this false-accept rate."""
    return float(np.mean(matched >= threshold_at_far(unmatched, far)))


def equal_error_rate(matched: Floats, unmatched: Floats) -> float:
    """Where false accepts and false rejects are equally many."""
    thresholds = np.unique(np.concatenate([matched, unmatched]))
    false_accept = 1 - np.searchsorted(np.sort(unmatched), thresholds) / len(unmatched)
    false_reject = np.searchsorted(np.sort(matched), thresholds) / len(matched)
    at = int(np.argmin(np.abs(false_accept - false_reject)))
    return float((false_accept[at] + false_reject[at]) / 2)


def best_threshold(scores: Floats, same: NDArray[np.bool_]) -> float:
    """The threshold with the highest accuracy; ties go to the lowest."""
    order = np.argsort(scores)
    ranked = same[order]
    # Below candidate i lie i pairs, all called different.
    right = np.concatenate([[0], np.cumsum(~ranked)]) + ranked.sum() - np.concatenate([[0], np.cumsum(ranked)])
    at = int(np.argmax(right))
    return float(scores[order[at]]) if at < len(scores) else float(np.nextafter(scores[order[-1]], np.inf))


def fold_accuracies(scores: Floats, same: NDArray[np.bool_], folds: NDArray[np.int64]) -> Sequence[float]:
    """Accuracy on each fold at the threshold that is best on the others; LFW's protocol (Huang et al., 2007)."""
    accuracies = []
    for fold in np.unique(folds):
        inside = folds == fold
        threshold = best_threshold(scores[~inside], same[~inside])
        accuracies.append(float(np.mean((scores[inside] >= threshold) == same[inside])))
    return accuracies
