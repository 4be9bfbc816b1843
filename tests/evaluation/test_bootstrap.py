"""Intervals: repeatable, of the right width, and narrower when paired."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kairos.evaluation.bootstrap import interval, paired


def test_the_interval_covers_the_true_mean_about_95_times_in_100():
    draw = np.random.default_rng(0)
    covered = 0
    for trial in range(300):
        found = interval(draw.uniform(size=80).tolist(), resamples=400, seed=trial)
        covered += found.low <= 0.5 <= found.high
    assert 0.90 <= covered / 300 <= 0.98


def test_the_interval_of_a_share_has_the_textbook_width():
    found = interval([1.0] * 300 + [0.0] * 700)
    assert found.mean == pytest.approx(0.3)
    assert found.high - found.low == pytest.approx(2 * 1.96 * math.sqrt(0.3 * 0.7 / 1000), rel=0.1)


def test_equal_seeds_give_equal_intervals_in_any_chunking(monkeypatch):
    values = np.random.default_rng(1).uniform(size=50).tolist()
    once = interval(values, seed=3)
    monkeypatch.setattr("kairos.evaluation.bootstrap._CHUNK", 333)
    assert interval(values, seed=3) == once != interval(values, seed=4)


def test_a_paired_difference_is_narrower_than_the_two_means_say():
    before = np.random.default_rng(2).uniform(size=200)
    after = before + 0.05
    change = paired(before.tolist(), after.tolist())
    assert change.mean == pytest.approx(0.05) and change.high - change.low < 1e-9
    assert interval(before.tolist()).high > interval(after.tolist()).low


def test_nothing_has_no_interval_and_unequal_sides_are_no_pairs():
    with pytest.raises(ValueError, match="at least one value"):
        interval([])
    with pytest.raises(ValueError, match="got 2 and 1"):
        paired([0.0, 1.0], [1.0])
