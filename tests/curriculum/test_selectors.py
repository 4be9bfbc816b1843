"""Selectors keep what they say they keep, draw as often as they say, and depend on nothing but seed and uid."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from kairos.curriculum.criteria import Chain, Difficulty, Mixed, Range, Variance, VarianceAware
from kairos.curriculum.measures import measures_of
from kairos.curriculum.rewards import PromptRewards, line, read_rewards
from kairos.curriculum.strata import TARGETS, LengthByCoverage
from kairos.curriculum.subsampling import Buckets, Gaussian, Linspace, Random, drawn, largest_remainder


def row(uid: str, *iou: float, choice: tuple[float, ...] = (), **fields: float) -> PromptRewards:
    terms = {name: values for name, values in (("iou", iou), ("choice", choice)) if values}
    return PromptRewards(uid, "grounding", "here", iou or choice, terms, **fields)


def uids(rows: list[PromptRewards]) -> list[str]:
    return [row.uid for row in rows]


ALWAYS_WRONG, ALWAYS_RIGHT = row("wrong", 0.0, 0.0), row("right", 0.9, 0.9)
WIDE, NARROW = row("wide", 0.0, 0.8), row("narrow", 0.5, 0.6)
ROWS = [ALWAYS_WRONG, WIDE, NARROW, ALWAYS_RIGHT]


def test_a_selector_shows_the_numbers_and_bounds_that_it_went_by():
    """Who lies within all bounds is kept, and nobody else; a prompt that is not asked for a number has none."""
    rows = [*ROWS, row("chosen", choice=(0.0, 1.0)), row("sure", choice=(1.0, 1.0))]
    share, spread, best = measures_of(VarianceAware(), rows)
    assert share.label == "share of rollouts with choice >= 0.5" and share.values == (None,) * 4 + (0.5, 1.0)
    assert spread.label == "standard deviation of iou" and spread.bounds == (0.1,) and best.bounds == (0.5,)
    within = [
        (a is None or 0 < a < 1) and (b is None or b >= 0.1) and (c is None or c >= 0.5)
        for a, b, c in zip(share.values, spread.values, best.values, strict=True)
    ]
    assert [one.uid for one, inside in zip(rows, within, strict=True) if inside] == uids(VarianceAware()(rows))
    (mean,) = measures_of(Range(0.0, 0.7), rows)
    assert mean.label == "mean of iou or choice" and mean.bounds == (0.0, 0.7)
    kept = [one.uid for one, value in zip(rows, mean.values, strict=True) if value is not None and 0 < value <= 0.7]
    assert kept == uids(Range(0.0, 0.7)(rows))
    (difficulty,) = measures_of(Difficulty(0.4, 0.9), ROWS)
    assert difficulty.label == "difficulty, 1 - mean of iou" and difficulty.values == pytest.approx((1, 0.6, 0.45, 0.1))
    chain = Chain({"range": Range(), "again": Range(), "mixed": Mixed(), "linspace": Linspace(1), "none": None})
    assert [each.label for each in measures_of(chain, ROWS)] == ["mean of iou", "share of rollouts with iou >= 0.5"]
    assert [each.label for each in measures_of(Random(2), ROWS)] == ["mean of total", "standard deviation of total"]


def test_a_range_is_open_below_and_closed_above():
    rows = [row(str(p), p) for p in (0.0, 0.01, 0.7, 0.71)]
    assert uids(Range(0.0, 0.7)(rows)) == ["0.01", "0.7"]
    with pytest.raises(ValueError, match="low < high"):
        Range(0.7, 0.7)


def test_mixed_wants_right_and_wrong_answers():
    assert uids(Mixed()(ROWS)) == ["wide"]
    assert uids(Mixed(right=0.6)(ROWS)) == ["wide", "narrow"]
    assert uids(Mixed()([row("c", choice=(0.0, 1.0)), row("d", choice=(1.0, 1.0))])) == ["c"]


def test_variance_keeps_the_widest():
    assert uids(Variance(least=0.04)(ROWS)) == ["wide", "narrow"]
    assert uids(Variance(least=0.0, count=3)(ROWS)) == ["wide", "narrow", "wrong"]


def test_difficulty_is_one_minus_the_mean():
    assert uids(Difficulty(0.4, 0.9)(ROWS)) == ["wide", "narrow"]
    assert uids(Difficulty(0.0, 0.9, count=2)(ROWS)) == ["wide", "narrow"]


def test_variance_aware_drops_what_is_always_good_always_poor_or_never_good():
    poor = row("poor", 0.0, 0.3)
    assert uids(VarianceAware()([*ROWS, poor])) == ["wide"]


def test_a_grounded_question_must_pass_both_rules():
    both = [
        row("both", 0.0, 0.8, choice=(0.0, 1.0)),
        row("span only", 0.0, 0.8, choice=(1.0, 1.0)),
        row("choice only", 0.8, 0.8, choice=(0.0, 1.0)),
    ]
    assert uids(VarianceAware()(both)) == ["both"]
    assert uids(VarianceAware()([row("letter", choice=(0.0, 1.0)), row("sure", choice=(1.0, 1.0))])) == ["letter"]
    with pytest.raises(ValueError, match="prompt x: none of choice, tiou, iou, highlights was measured"):
        VarianceAware()([PromptRewards("x", "t", "s", (1.0,), {"f": (1.0,)})])


def test_a_chain_goes_step_by_step_and_a_step_can_be_struck():
    steps = {"range": Range(0.1, 0.8), "widest": Variance(0.0, count=1)}
    assert uids(Chain(steps)(ROWS)) == ["wide"]
    assert uids(Chain({**steps, "widest": None})(ROWS)) == ["wide", "narrow"]


def test_linspace_picks_at_even_distances_from_the_highest_to_the_lowest():
    rows = [row(str(i), i / 10) for i in range(11)]
    assert uids(Linspace(3)(rows)) == ["10", "5", "0"]
    assert uids(Linspace(1)(rows)) == ["10"] and len(Linspace(11)(rows)) == 11
    with pytest.raises(ValueError, match=r"12 prompts are to be drawn, and only 11 can be: lower selector\.count"):
        Linspace(12)(rows)


def test_the_gaussian_draws_in_proportion_to_its_bell():
    """Of two prompts one is drawn, over many seeds, as often as their weights say."""
    near, far = row("near", 0.3), row("far", 0.6)
    counts = Counter(uids(Gaussian(1, seed=seed)([near, far]))[0] for seed in range(4000))
    weight = math.exp(-(0.3**2) / (2 * 0.2**2))
    assert counts["far"] / 4000 == pytest.approx(weight / (1 + weight), abs=0.02)


def test_the_gaussian_drops_zeros_and_corrects_for_density():
    rows = [row(f"zero{i}", 0.0) for i in range(5)] + [row("some", 0.9)]
    assert uids(Gaussian(1)(rows)) == ["some"]
    assert len(Gaussian(6, zeros=True)(rows)) == 6
    crowd = [row(f"a{i}", 0.2) for i in range(90)] + [row(f"b{i}", 0.4) for i in range(10)]
    plain, even = (
        sum(uid.startswith("b") for seed in range(200) for uid in uids(Gaussian(1, bins=bins, seed=seed)(crowd)))
        for bins in (None, 2)
    )
    assert plain < 45 < 70 < even < 130, "mu lies between the two: equal chances once their numbers do not count"


def test_a_draw_is_a_function_of_seed_and_uid():
    rows = [row(str(i), 0.1 + i / 100) for i in range(40)]
    for select in (Random(10, seed=3), Gaussian(10, seed=3)):
        assert set(uids(select(rows))) == set(uids(select(rows[::-1])))
        assert uids(select(rows)) == [uid for uid in map(str, range(40)) if uid in set(uids(select(rows)))]
    assert uids(Random(10, seed=3)(rows)) != uids(Random(10, seed=4)(rows))
    assert not drawn(rows, [1.0] * 40, 0, 0)


def test_buckets_are_mixed_as_asked_and_filled_up_when_short():
    hard = [row(f"h{i}", *[1.0] + [0.0] * 7) for i in range(20)]
    middle = [row(f"m{i}", *[1.0] * 4 + [0.0] * 4) for i in range(20)]
    easy = [row(f"e{i}", *[1.0] * 7 + [0.0]) for i in range(20)]
    never = [row("n", 0.0, 0.0)]
    kept = uids(Buckets(10)(hard + middle + easy + never))
    assert Counter(uid[0] for uid in kept) == {"h": 1, "m": 6, "e": 3}
    short = Counter(uid[0] for uid in uids(Buckets(10)(hard + middle[:2] + easy)))
    assert short["m"] == 2 and sum(short.values()) == 10


def test_largest_remainders_add_up():
    assert largest_remainder([1, 1, 1], 10) == [4, 3, 3]
    cells = [share for line in TARGETS for share in line]
    assert sum(largest_remainder(cells, 2000)) == 2000


def test_spans_follow_the_joint_histogram_and_short_bins_repeat():
    """Rows of (length, coverage) over every bin that the targets use, edges to the upper bin."""
    lengths, coverages = (1.0, 2.0, 5.0, 10.0, 20.0), (0.01, 0.05, 0.1, 0.2, 0.4)
    rows = [
        row(f"{i}/{j}/{k}", 0.5, length=length, duration=length / coverage)
        for i, length in enumerate(lengths)
        for j, coverage in enumerate(coverages)
        for k in range(30)
    ]
    select = LengthByCoverage(1000)
    kept = select(rows)
    counts = Counter(uid.rsplit("/", 1)[0] for uid in uids(kept))
    wanted = largest_remainder([share for line in TARGETS for share in line], 1000)
    assert [counts.get(f"{i}/{j}", 0) for i in range(5) for j in range(5)] == wanted
    assert max(Counter(uids(kept)).values()) > 1
    assert kept == select(rows)
    once = LengthByCoverage(1000, repeat=False)(rows)
    assert max(Counter(uids(once)).values()) == 1 and len(once) == sum(min(30, want) for want in wanted)
    with pytest.raises(ValueError, match="prompt x has no annotated span"):
        select([row("x", 0.5, duration=3.0)])


def test_rewards_come_back_as_they_were_written(tmp_path):
    rows = [row("a\u2028b", 0.1, 0.2, choice=(0.0, 1.0), duration=3.0, length=1.0), row("c", 1.0)]
    (tmp_path / "r.jsonl").write_text("".join(map(line, rows)) + '{"uid": "d", "failed": "no video"}\n')
    assert read_rewards(tmp_path / "r.jsonl") == rows
    (tmp_path / "r.jsonl").write_text('{"uid": "d"}\n')
    with pytest.raises(ValueError, match="line 1 holds no rewards of a prompt"):
        read_rewards(tmp_path / "r.jsonl")


def test_the_total_can_be_selected_by_and_a_missing_term_is_named():
    assert row("a", 0.5, 0.7).mean(["total"]) == pytest.approx(0.6)
    with pytest.raises(ValueError, match=r"prompt a: none of hits was measured, only iou, total"):
        Range(of=["hits"])([row("a", 0.5)])
