"""A linear map of the identity code under which cosines tell people apart better; it costs the device nothing.

The teacher's cosines treat all directions alike, but the student is sure of some and only guesses at others. Labelled photos
say which: a direction counts by how much people differ in it beside how much the photos of one person do (linear discriminant
analysis; Ioffe, "Probabilistic Linear Discriminant Analysis", ECCV 2006). The head is linear, so the map is folded into it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.model import IDENTITY, Weights

SHRINKAGE = 0.6
"""Share of a sphere in the scatter within people: five photos of each say little about its small directions."""

PRIOR = 0.3
"""Scatter between people, in units of that within, at which a direction counts half."""


@dataclass(frozen=True, eq=False)
class Discriminant:
    """(code - ``mean``) @ ``kernel``, of shapes (128,) and (128, 128); typical norms stay as they are."""

    mean: NDArray[np.float64]
    kernel: NDArray[np.float64]

    def arrays(self) -> Weights:
        """As weights to be kept beside those of the network."""
        return {"discriminant/mean": self.mean, "discriminant/kernel": self.kernel}

    def fold_into_encoder(self, folded: Weights) -> None:
        """Let the folded encoder's head give the mapped code."""
        folded["identity/bias"] = (folded["identity/bias"] - self.mean) @ self.kernel
        folded["identity/kernel"] = folded["identity/kernel"] @ self.kernel

    def fold_into_decoder(self, folded: Weights, norm: float) -> None:
        """Let the folded decoder's first layer take the mapped code, made a unit vector, of codes whose norm is about this."""
        grid = folded["grid/kernel"].astype(np.float64)
        folded["grid/bias"] = folded["grid/bias"] + self.mean / norm @ grid[:IDENTITY]
        grid[:IDENTITY] = np.linalg.inv(self.kernel) @ grid[:IDENTITY]
        folded["grid/kernel"] = grid


def stored(weights: Weights) -> Discriminant:
    """What ``arrays`` gave; the identity where there is none."""
    mean, kernel = (weights.get(f"discriminant/{part}") for part in ("mean", "kernel"))
    if mean is None or kernel is None:
        return Discriminant(np.zeros(IDENTITY), np.eye(IDENTITY))
    return Discriminant(mean.astype(np.float64), kernel.astype(np.float64))


def learn(codes: NDArray[np.floating[Any]], labels: NDArray[np.int32]) -> Discriminant:
    """Learn the map from raw codes, (n, 128), of labelled people with two photos or more each."""
    mean = codes.mean(axis=0, dtype=np.float64)
    centred = codes - mean
    _, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    people = np.zeros((len(counts), codes.shape[1]))
    np.add.at(people, inverse, centred)
    people /= counts[:, None]
    inside = centred - people[inverse]
    within = inside.T @ inside / (len(codes) - len(counts))
    between = np.cov(people.T) - within / counts.mean()
    sphere = np.trace(within) / len(within) * np.eye(len(within))
    values, vectors = np.linalg.eigh((1 - SHRINKAGE) * within + SHRINKAGE * sphere)
    whiten = vectors @ np.diag(values**-0.5) @ vectors.T
    spread, axes = np.linalg.eigh(whiten @ between @ whiten)
    spread = np.maximum(spread, 1e-2)
    kernel = whiten @ axes @ np.diag(np.sqrt(spread / (spread + PRIOR)))
    norms = np.linalg.norm(codes, axis=1).mean(), np.linalg.norm(centred @ kernel, axis=1).mean()
    return Discriminant(mean, kernel * norms[0] / norms[1])
