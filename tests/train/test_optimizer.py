"""Muon on a convolution's kernel, AdamW on the rest."""

from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="needs edgeface[train]")

import keras

from edgeface.types import Vector
from train.optimizer import ConvolutionMuon

RATE = 0.01


def stepped(optimizer: ConvolutionMuon, shape: tuple[int, ...], gradients: list[Any] | Vector) -> Vector:
    """What the steps along ``gradients`` add up to, from a variable of zeros."""
    variable = keras.Variable(np.zeros(shape, np.float32))
    optimizer.build([variable])
    for gradient in gradients:
        optimizer.apply_gradients([(tf.constant(gradient), variable)])
    return np.asarray(variable.numpy())


def test_a_kernel_moves_in_all_its_directions_alike() -> None:
    random = np.random.default_rng(0)
    common, detail = random.normal(size=(2, 3, 3, 8, 16)).astype(np.float32)
    gradient = common.mean(axis=(0, 1, 2)) + 0.05 * detail  # one direction outweighs all others
    step = stepped(ConvolutionMuon(RATE, weight_decay=0), gradient.shape, [gradient]).reshape(-1, 16)
    of_gradient, of_step = (np.linalg.svd(matrix, compute_uv=False) for matrix in (gradient.reshape(-1, 16), step))
    assert of_gradient[0] > 8 * of_gradient[-1]
    assert of_step[0] < 2 * of_step[-1]
    assert np.sum(step * gradient.reshape(-1, 16)) < 0
    # Of the size of a step of Adam's (Liu et al., 2025): 0.2 of the rate, root mean square.
    assert 0.7 * 0.2 * RATE < np.sqrt(np.mean(step**2)) < 1.3 * 0.2 * RATE


@pytest.mark.parametrize("shape", [(16,), (8, 16), (4, 8, 16)])
def test_everything_else_moves_as_by_adamw(shape: tuple[int, ...]) -> None:
    gradients = np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)
    ours = stepped(ConvolutionMuon(RATE, weight_decay=0.1, adam_weight_decay=0.1), shape, gradients)
    adams = stepped(keras.optimizers.AdamW(RATE, weight_decay=0.1), shape, gradients)
    np.testing.assert_allclose(ours, adams, atol=1e-5)


def test_what_a_kernel_moved_by_is_remembered() -> None:
    first, second = np.random.default_rng(0).normal(size=(2, 1, 1, 4, 4)).astype(np.float32)
    alone = stepped(ConvolutionMuon(RATE, weight_decay=0), first.shape, [second])
    after = stepped(ConvolutionMuon(RATE, weight_decay=0), first.shape, [first, second])
    only_first = stepped(ConvolutionMuon(RATE, weight_decay=0), first.shape, [first])
    assert not np.allclose(after - only_first, alone, atol=1e-4)
