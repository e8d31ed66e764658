"""Criteria against values that can be worked out by hand."""

import numpy as np
import pytest

from train.experiments.model_selection import accuracy_difference, bic, information_gain


def test_bic_weighs_error_against_parameters() -> None:
    assert bic(0.25, 100, 3) == pytest.approx(100 * np.log(0.25) + 3 * np.log(100))
    # Half the error is worth 100 ln 2 = 69.3, 15 parameters at ln 100 = 4.6 each, and no 16th.
    assert bic(0.125, 100, 18) < bic(0.25, 100, 3) < bic(0.125, 100, 19)


def test_information_gain_is_half_a_bit_for_each_halving_of_the_variance() -> None:
    pixels = np.array([[0.0, 0.0, 7.0], [2.0, 4.0, 7.0]])
    rebuilt = pixels + np.array([[0.5, -1.0, 0.0], [-0.5, 1.0, 0.0]])
    # Variances 1 and 4, residuals 1/4 and 1: two halvings each. The third pixel never varies and tells nothing.
    assert information_gain(pixels, rebuilt) == pytest.approx(2.0)
    assert information_gain(pixels, np.broadcast_to(pixels.mean(axis=0), pixels.shape)) == pytest.approx(0.0)
    assert information_gain(pixels, pixels + 2.0) == pytest.approx(-0.5 * np.log2(4 / 1) - 0.5 * np.log2(4 / 4))


def test_a_difference_has_the_interval_of_a_share() -> None:
    people = 400
    same = np.repeat([True, False], people)
    pairs = np.concatenate(
        [np.arange(people).repeat(2).reshape(-1, 2), np.stack([np.arange(people), np.arange(people) - 1], 1)]
    )
    pairs %= people
    other = np.ones(2 * people, bool)
    right = other.copy()
    right[:200] = False  # half of the matched pairs
    difference, low, high = accuracy_difference(right, other, same, pairs)
    assert difference == -0.25
    # Half the standard error of a share of one half among 400 people.
    reach = 1.96 * 0.5 / np.sqrt(people) / 2
    assert (low, high) == pytest.approx((-0.25 - reach, -0.25 + reach), abs=0.003)
    assert accuracy_difference(right, right, same, pairs) == (0.0, 0.0, 0.0)


def test_more_pairs_of_the_same_people_are_no_more_evidence() -> None:
    random = np.random.default_rng(3)
    people = np.stack([np.arange(50), np.arange(50)], axis=1)
    strangers = np.stack([np.arange(50), np.roll(np.arange(50), 1)], axis=1)
    right, other = random.random((2, 100)) < 0.7
    once = accuracy_difference(right, other, np.arange(100) < 50, np.concatenate([people, strangers]))
    pairs, same = np.concatenate([people, people, strangers, strangers]), np.arange(200) < 100
    rows = np.concatenate([np.arange(50), np.arange(50), np.arange(50, 100), np.arange(50, 100)])
    assert accuracy_difference(right[rows], other[rows], same, pairs) == pytest.approx(once)
