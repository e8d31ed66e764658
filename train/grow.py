"""Grow a trained autoencoder wider and deeper, and its pictures larger, without changing what it computes.

After Net2Net (Chen, Goodfellow and Shlens, ICLR 2016), with new channels that start at random and are not yet listened to in
place of copies of old ones: copies have the same gradients, and part only slowly.
"""

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.model import GRID, PICTURE, Shape, Weights

STAGES = 4
Weight = NDArray[np.floating[Any]]


def shape_of(weights: Weights) -> Shape:
    """Tell the shape of the network that weights, by ``encoder/`` and ``decoder/`` names, belong to.

    Raises:
        KeyError: they are not those of an autoencoder of ours.
    """
    blocks = [0] * STAGES
    for name in weights:
        if found := re.match(r"encoder/stage(\d)_block(\d+)a/kernel", name):
            stage, block = map(int, found.groups())
            blocks[stage] = max(blocks[stage], block + 1)
    stages = max(PICTURE + 1, sum(bool(re.fullmatch(r"decoder/up\d+/kernel", name)) for name in weights))
    decoder = [weights[f"decoder/up{stage}/kernel"].shape[-1] for stage in range(stages)]
    return Shape(
        widths=tuple(weights[f"encoder/stage{stage}/kernel"].shape[-1] for stage in range(STAGES)),
        blocks=tuple(blocks),
        neck=weights["encoder/neck/kernel"].shape[-1],
        identity=weights["encoder/identity/kernel"].shape[-1],
        appearance_neck=weights["encoder/appearance_neck/kernel"].shape[-1],
        appearance=weights["encoder/appearance/kernel"].shape[-1],
        decoder=(weights["decoder/up0/kernel"].shape[2], *decoder),
    )


def grow(trained: Weights, fresh: Weights) -> Weights:
    """Put a trained autoencoder's weights into those of a new one that is as wide and deep or more.

    Residual blocks that were not there start as identities, and stages of the decoder that were not there add nothing to its
    picture. Kernels from new channels to old ones are zero.

    Raises:
        KeyError: a weight is missing, and not of a new block or stage.
        ValueError: the new network is narrower.
    """
    return {
        name: start if name not in trained and _may_be_new(name) else _fill(name, trained[name], start, trained)
        for name, start in fresh.items()
    }


def _may_be_new(name: str) -> bool:
    later = re.match(r"decoder/(?:up|pixels)(\d+)", name)
    return "_block" in name or (later is not None and int(later[1]) > PICTURE)


def _fill(name: str, old: Weight, start: Weight, trained: Weights) -> Weight:
    """Put one weight into the new one, which may be larger along every axis."""
    new = start.copy()
    if name == "decoder/grid/kernel":
        # The appearance code follows the identity code, which may have become longer.
        appearance = trained["encoder/appearance/kernel"].shape[-1]
        old = np.insert(old, len(old) - appearance, np.zeros((len(new) - len(old), 1)), axis=0)
    if name.startswith("decoder/grid/"):  # flat, with the channels of each position side by side
        old, new = (weight.reshape(*weight.shape[:-1], GRID**2, -1) for weight in (old, new))
    if old.ndim != new.ndim or any(before > now for before, now in zip(old.shape, new.shape, strict=True)):
        raise ValueError(f"{name} has shape {old.shape}, which does not go into {new.shape}")
    if name.endswith("/kernel"):
        new[..., : old.shape[-1]] = 0
    new[tuple(slice(length) for length in old.shape)] = old
    return new.reshape(start.shape)
