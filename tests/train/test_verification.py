"""Verification figures against cases that can be counted by hand."""

import numpy as np

from train.evaluation.verification import (
    best_threshold,
    compare,
    equal_error_rate,
    fit_calibration,
    fold_accuracies,
    tar_at_far,
    threshold_at_far,
)


def test_each_template_meets_each_other_probe_once() -> None:
    templates, probes = np.eye(4, dtype=np.float32), np.roll(np.eye(4, dtype=np.float32), 1, axis=0)
    matched, unmatched = compare(templates, probes, np.array(["a", "a", "b", "c"]))
    assert sorted(matched) == [0, 1]
    assert (len(unmatched), unmatched.sum()) == (10, 3)


def test_a_probe_that_does_not_count_is_compared_with_nothing() -> None:
    codes = np.eye(4)
    people = np.array(["a", "a", "b", "c"])
    matched, unmatched = compare(codes, codes, people, np.array([True, False, True, True]))
    assert (len(matched), len(unmatched)) == (1, 8)


def test_sameness_is_the_share_of_matched_pairs_at_even_odds() -> None:
    rng = np.random.default_rng(0)
    matched, unmatched = rng.normal(0.6, 0.1, 40_000), rng.normal(0.1, 0.1, 80_000)
    slope, offset = fit_calibration(matched, unmatched)
    # Two Gaussians of one variance: the log-odds are exactly linear.
    assert abs(slope - 50) < 4
    assert abs(offset + 17.5) < 1.5


def test_threshold_lets_no_more_through_than_its_rate() -> None:
    scores = np.linspace(0, 1, 1000)
    for far in (0.1, 0.01, 0.001):
        threshold = threshold_at_far(scores, far)
        assert np.mean(scores >= threshold) <= far
        assert np.mean(scores >= threshold - 0.0011) > far - 0.0011
    assert np.mean(scores >= threshold_at_far(scores, 0.0)) == 0


def test_tar_at_far() -> None:
    unmatched = np.arange(100) / 100
    assert tar_at_far(np.array([0.5, 0.985, 0.995]), unmatched, 0.01) == 2 / 3


def test_equal_error_rate_of_overlapping_scores() -> None:
    assert equal_error_rate(np.array([0.4, 0.6, 0.8, 1.0]), np.array([0.0, 0.2, 0.5, 0.3])) == 0.25
    assert equal_error_rate(np.array([0.8, 0.9]), np.array([0.1, 0.2])) == 0


def test_best_threshold_splits_where_errors_are_fewest() -> None:
    scores, same = np.array([0.1, 0.9, 0.5, 0.7]), np.array([False, True, False, True])
    assert best_threshold(scores, same) == 0.7
    assert best_threshold(scores, ~same) == 0.1  # a tie with a threshold over all; the lowest wins


def test_a_fold_is_judged_by_the_threshold_of_the_others() -> None:
    scores = np.array([0.2, 0.8, 0.2, 0.8, 0.85, 0.9])
    same = np.array([False, True, False, True, False, True])
    assert fold_accuracies(scores, same, np.array([0, 0, 1, 1, 2, 2])) == [1.0, 1.0, 0.5]


def test_sameness_is_finite_where_nothing_overlaps() -> None:
    slope, offset = fit_calibration(np.array([0.8, 0.9]), np.array([0.1, 0.2, 0.3]))
    assert 0 < slope < 1e3
    assert slope * 0.3 + offset < 0 < slope * 0.8 + offset
