"""Finds faces that may be a forgotten person's."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


def nearest_to_forgotten(
    faces: NDArray[np.float32], templates: Iterable[tuple[NDArray[np.float32], NDArray[np.bool_]]]
) -> NDArray[np.bool_]:
    """Return which of ``faces``, shape (n, dimensions), have a forgotten person's template as the nearest of all.

    ``templates`` come in parts, each of shape (m, dimensions), with which of its rows are a forgotten person's.
    """
    best, forgotten = np.full(len(faces), -np.inf, np.float32), np.zeros(len(faces), bool)
    for vectors, theirs in templates:
        cosines = faces @ vectors.T
        nearest = cosines.argmax(axis=1)
        highest = cosines.max(axis=1)
        nearer = highest > best
        best[nearer], forgotten[nearer] = highest[nearer], theirs[nearest[nearer]]
    return forgotten
