"""Two teachers in one target."""

import numpy as np
import pytest

from edgeface.types import Vector
from train.teachers import fusion


def embeddings(faces: int, dimensions: int, rank: int, seed: int) -> Vector:
    random = np.random.default_rng(seed)
    codes = random.normal(size=(faces, rank)) @ random.normal(size=(rank, dimensions))
    return np.asarray(codes / np.linalg.norm(codes, axis=1, keepdims=True), np.float32)


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_the_cosine_of_targets_is_the_mean_of_the_teachers_cosines(share: float) -> None:
    first, second = embeddings(300, 128, 60, 1), embeddings(300, 192, 60, 2)
    target = fusion.learn(first, second, 160, share)
    code = first @ target.first + second @ target.second
    assert np.allclose(code @ code.T, (1 - share) * first @ first.T + share * second @ second.T, atol=1e-4)


def test_with_next_to_nothing_of_the_second_the_target_is_the_first() -> None:
    first, second = embeddings(300, 128, 128, 1), embeddings(300, 192, 192, 2)
    target = fusion.learn(first, second, 160, 1e-6)
    assert np.allclose((first @ target.first + second @ target.second)[:, :128], first, atol=1e-2)


def test_contributions_sum_to_a_code_as_long_as_the_first_teachers() -> None:
    first, second = embeddings(300, 128, 128, 1), embeddings(300, 192, 192, 2)
    target = fusion.learn(first, second, 160)
    positions = np.random.default_rng(3).normal(0, 0.05, (5, 49, 128)).astype(np.float16)
    sums = positions.astype(np.float32).sum(axis=1)
    length = np.linalg.norm(sums, axis=1, keepdims=True)
    wanted = length * (sums / length @ target.first + second[:5] @ target.second)
    found = target.contributions(positions, second[:5].astype(np.float16)).astype(np.float32).sum(axis=1)
    assert np.allclose(found, wanted, atol=0.02)
