"""Judge a network by BIC, by information gain, and by a difference in accuracy with its interval."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
DRAWS = 2000


def bic(mean_squared_error: float, residuals: int, parameters: int) -> float:
    """N ln(MSE) + k ln(N) for N residuals and k parameters; lower is better.

    Schwarz, "Estimating the dimension of a model", Annals of Statistics 6 (1978), for independent Gaussian residuals of one
    unknown variance, without the constant N (1 + ln 2 pi). The error is that on the data that the parameters were fitted to.
    """
    return float(residuals * np.log(mean_squared_error) + parameters * np.log(residuals))


def information_gain(pixels: Floats, rebuilt: Floats) -> float:
    """Sum over the pixels of 1/2 log2(variance / mean squared residual), in bits a face, of faces (n, d).

    What a rebuilt pixel tells of a Gaussian one with this residual (Cover and Thomas, "Elements of Information Theory",
    chapter 10), each pixel taken for itself. A pixel rebuilt worse than by its mean counts as a loss.
    """
    variance = np.var(pixels, axis=0, dtype=np.float64)
    residual = np.mean(np.square(pixels - rebuilt, dtype=np.float64), axis=0)
    counted = variance > 0
    return float(0.5 * np.sum(np.log2(variance[counted] / np.maximum(residual[counted], 1e-12))))


def accuracy_difference(
    right: NDArray[np.bool_],
    other: NDArray[np.bool_],
    same: NDArray[np.bool_],
    people: NDArray[np.int64],
) -> tuple[float, float, float]:
    """By how much ``right`` is right more often than ``other`` on the same pairs, and the ends of its 95 % interval.

    A paired bootstrap over people (percentiles of ``DRAWS``): a pair counts as often as its people, (pairs, 2), were drawn,
    for pairs that share somebody are not independent. Matched and unmatched pairs weigh one half each, in every draw.
    """
    count = int(people.max()) + 1
    drawn = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), DRAWS)
    change = right.astype(np.float64) - other
    differences, whole = np.zeros(DRAWS), 0.0
    complete = np.ones(DRAWS, bool)
    for kind in (same, ~same):
        first, second = people[kind].T
        times = drawn[:, first] * np.where(first == second, 1, drawn[:, second])
        complete &= times.sum(axis=1) > 0
        differences += times @ change[kind] / np.maximum(times.sum(axis=1), 1) / 2
        whole += float(change[kind].mean()) / 2
    low, high = np.quantile(differences[complete], (0.025, 0.975))
    return whole, float(low), float(high)
