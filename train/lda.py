"""Learn a linear map of the identity code under which cosines tell people apart better; it costs the device nothing.

The teacher's cosines treat all directions alike, but the student is sure of some and only guesses at others. Labelled photos
say which: a direction counts by how much people differ in it beside how much the photos of one person do (linear discriminant
analysis; Ioffe, "Probabilistic Linear Discriminant Analysis", ECCV 2006). The head is linear, so the map is folded into it.

The mean of the photos is not taken away, as it usually is: it is what they have in common, and other cameras' photos have
something else in common, by which strangers would come to pass for each other.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.model import Weights

SHRINKAGE = 0.6
"""Share of a sphere in the scatter within people: five photos of each say little about its small directions."""

PRIOR = 0.1
"""Scatter between people, in units of that within, at which a direction counts half."""

NAME = "discriminant/kernel"
"""Of the map among the weights of a network."""


def learn(codes: NDArray[np.floating[Any]], labels: NDArray[np.int32]) -> NDArray[np.float64]:
    """The map, (d, d), for codes @ map, from raw codes, (n, d), of labelled people with two photos or more each.

    It keeps the mean norm of the codes.
    """
    _, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    people = np.zeros((len(counts), codes.shape[1]))
    np.add.at(people, inverse, codes)
    people /= counts[:, None]
    inside = codes - people[inverse]
    within = inside.T @ inside / (len(codes) - len(counts))
    between = np.cov(people.T) - within / counts.mean()
    sphere = np.trace(within) / len(within) * np.eye(len(within))
    values, vectors = np.linalg.eigh((1 - SHRINKAGE) * within + SHRINKAGE * sphere)
    whiten = vectors @ np.diag(values**-0.5) @ vectors.T
    spread, axes = np.linalg.eigh(whiten @ between @ whiten)
    spread = np.maximum(spread, 1e-2)
    kernel = whiten @ axes @ np.diag(np.sqrt(spread / (spread + PRIOR)))
    return np.asarray(kernel * np.linalg.norm(codes, axis=1).mean() / np.linalg.norm(codes @ kernel, axis=1).mean())


def fold_into_encoder(folded: Weights, weights: Weights) -> None:
    """Let a folded encoder's head give the code that the map among ``weights`` makes of its own, if there is one."""
    if NAME in weights:
        for part in ("kernel", "bias"):
            folded[f"identity/{part}"] = folded[f"identity/{part}"] @ weights[NAME]


def fold_into_decoder(folded: Weights, weights: Weights) -> None:
    """Let a folded decoder's first layer take the mapped code."""
    if NAME in weights:
        grid = folded["grid/kernel"].astype(np.float64)
        identity = len(weights[NAME])
        grid[:identity] = np.linalg.inv(weights[NAME].astype(np.float64)) @ grid[:identity]
        folded["grid/kernel"] = grid
