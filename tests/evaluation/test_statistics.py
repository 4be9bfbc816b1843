"""Errors and tests of scores: the published examples, and what clusters, constants and too few rows do to them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kairos.evaluation.sample_size import detectable, power_of, rows_needed
from kairos.evaluation.statistics import clustered_se, mean_se, paired_test, pooled_se, repeats

FIRST = [1, 0, 1, 1, 0, 0, 1, 1]
SECOND = [1, 1, 0, 0, 1, 1, 0, 0]
BASELINE = [0, 0, 1, 1, 0, 1, 0, 1]


def test_standard_errors_are_those_of_the_published_examples():
    assert mean_se(FIRST) == pytest.approx((0.625, 0.18298), abs=5e-6)
    assert clustered_se(FIRST, "aabbccdd") == pytest.approx((0.625, 0.21715), abs=5e-6)
    assert mean_se(SECOND)[1] == pytest.approx(0.18899, abs=1.1e-5)
    assert clustered_se(SECOND, "aabbccdd")[1] == pytest.approx(0.25877, abs=1.1e-5)


def test_the_paired_test_is_that_of_the_published_example():
    found = paired_test(BASELINE, FIRST)
    assert found.difference == 0.125 and found.error == pytest.approx(0.22658, abs=5e-6)
    assert (found.low, found.high) == pytest.approx((-0.4108, 0.6608), abs=5e-5)
    assert found.t == pytest.approx(0.5517, abs=5e-5) and found.p == pytest.approx(0.5983, abs=5e-5)


def test_sample_sizes_are_those_of_the_published_examples():
    assert [rows_needed(0.03), rows_needed(0.03, correlation=0.8), rows_needed(0.02)] == [2181, 873, 4906]
    assert power_of(2700, 0.02) == pytest.approx(0.5472, abs=5e-5)
    assert detectable(2700) == pytest.approx(0.027, abs=5e-4)


def test_repeats_are_those_of_the_published_example():
    found = repeats([[1, 1, 0], [0, 0, 0], [1, 1, 1], [1, 0, 0]])
    assert found == pytest.approx((0.5, 0.5, 0.1667, 0.5), abs=5e-5)


def test_a_cluster_a_row_changes_nothing_and_copies_of_a_row_add_nothing():
    values = np.random.default_rng(0).uniform(size=400).tolist()
    assert clustered_se(values, range(400)) == pytest.approx(mean_se(values))
    copied = clustered_se(values * 5, [*range(400)] * 5)
    assert copied[1] == pytest.approx(mean_se(values)[1], rel=0.01)
    assert mean_se(values * 5)[1] < 0.5 * copied[1]  # as if the copies were new rows


def test_a_clustered_pair_of_runs_is_less_certain_than_its_rows():
    draw = np.random.default_rng(1)
    video = np.repeat(np.arange(50), 6)
    after = draw.normal(size=50)[video] + 0.1 * draw.normal(size=300)
    rows = paired_test([0.0] * 300, after.tolist())
    assert paired_test([0.0] * 300, after.tolist(), video.tolist()).error > 2 * rows.error


def test_equal_runs_differ_by_nothing_and_a_constant_gain_is_certain():
    assert paired_test(FIRST, FIRST)[:2] == (0, 0) and paired_test(FIRST, FIRST).p == 1
    assert paired_test(FIRST, [score + 1 for score in FIRST]).p == 0


def test_groups_of_one_spread_pool_to_the_error_of_all_rows():
    spread = math.sqrt(0.25 / 100)
    assert pooled_se([100, 100], [spread, spread]) == pytest.approx(spread / math.sqrt(2))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: mean_se([]), "no scores"),
        (lambda: clustered_se([1.0, 0.0], "a"), "2 scores and 1 clusters"),
        (lambda: paired_test([1.0], [1.0, 0.0]), "same rows on both sides, got 1 and 2"),
        (lambda: paired_test([1.0, 0.0], [1.0, 0.0], "aa"), "different clusters"),
        (lambda: rows_needed(0.0), "difference of 0"),
        (lambda: rows_needed(0.1, power=1.0), "alpha and power"),
        (lambda: repeats([[]]), "at least one score"),
    ],
)
def test_what_has_no_answer_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()
