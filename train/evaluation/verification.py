"""Figures of verification: cosines of matched and unmatched pairs -> accuracy, ROC, TAR at FAR, thresholds."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


def compare(
    templates: Floats, probes: Floats, people: NDArray[np.str_], counted: NDArray[np.bool_] | None = None
) -> tuple[Floats, Floats]:
    """Cosines of each template with each probe, both (n, d) of the same n photos: matched pairs, then unmatched ones.

    A photo is not compared with itself, and only those probes are that are ``counted``, shape (n,); else all.
    """
    cosines = templates @ probes.T
    same = people[:, None] == people[None, :]
    there = np.broadcast_to(True if counted is None else counted, same.shape)
    return cosines[same & there & ~np.eye(len(people), dtype=bool)], cosines[~same & there]


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


def fit_calibration(matched: Floats, unmatched: Floats) -> tuple[float, float]:
    """Slope and offset of the log-odds that a cosine is a matched pair's, both kinds being equally likely beforehand.

    Logistic regression by Newton's method, each kind weighing a half (Platt, 1999), with a slope held back a little, so that
    it is finite where nothing overlaps.
    """
    x = np.concatenate([matched, unmatched]).astype(np.float64)
    y = np.concatenate([np.ones(len(matched)), np.zeros(len(unmatched))])
    weight = np.where(y == 1, 0.5 / len(matched), 0.5 / len(unmatched))
    design = np.stack([x, np.ones_like(x)], axis=1)
    solution, ridge = np.zeros(2), np.array([1e-8, 0.0])
    for _ in range(100):
        p = 1 / (1 + np.exp(-design @ solution))
        gradient = design.T @ (weight * (y - p)) - ridge * solution
        hessian = (design * (weight * p * (1 - p))[:, None]).T @ design + np.diag(ridge)
        solution += np.linalg.solve(hessian, gradient)
        if np.abs(gradient).max() < 1e-9:
            break
    return float(solution[0]), float(solution[1])
