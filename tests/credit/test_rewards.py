"""Reward terms give the papers' values, and a rubric adds them up or says what is wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from kairos.core.grammar import Grammar
from kairos.core.patterns import Pair
from kairos.core.spans import Span
from kairos.core.types import Rollout, RolloutGroup, Target
from kairos.credit.rewards.choice import Choice, SoftChoice
from kairos.credit.rewards.evidence import EvidenceHit
from kairos.credit.rewards.format import Format
from kairos.credit.rewards.grounding import IoU, TimestampAwareIoU
from kairos.credit.rewards.released import as_released
from kairos.credit.rewards.rubric import RewardError, Rubric, Weighted
from kairos.credit.rewards.spans_set import SetIoU
from kairos.credit.shapes import Power, Threshold
from kairos.data.templates.grammars import TIMEZERO


def answered(*spans: str) -> list[str]:
    return [f"<think>x</think><answer>{span}</answer>" for span in spans]


def test_iou_of_the_answer_with_the_annotation(group_of):
    texts = answered("5.0 to 11.6", "5.0 and 11.6", "11.6 to 5.0", "0 to 100", "5.1 to 10.2", "5.0 - 11.6", "nothing")
    values = IoU()(group_of(texts, grammar=TIMEZERO))
    assert values.dtype == torch.float32
    assert values.tolist() == pytest.approx([0.772727, 0.772727, 0.0, 0.051, 1.0, 0.0, 0.0], abs=1e-6)


def test_timestamp_aware_iou_is_that_of_time_r1(group_of):
    texts = answered("5.0 to 11.6", "5.1 to 10.2", "0 to 30", "0 to 100", "20 to 25", "nothing")
    group = group_of(texts, grammar=TIMEZERO)
    released = [0.7342111, 1.0, 0.047974, -0.0843778, 0.0, 0.0]
    assert TimestampAwareIoU(clamp=False)(group).tolist() == pytest.approx(released, abs=1e-6)
    assert TimestampAwareIoU()(group).tolist() == pytest.approx([max(0.0, value) for value in released], abs=1e-6)


def test_a_rubric_as_released_replaces_the_terms_that_depart_and_no_others():
    iou, aware = Weighted(IoU(), 2.0), Weighted(TimestampAwareIoU(), 0.5, Power(2.0), ["grounding"])
    released = as_released(Rubric({"iou": iou, "tiou": aware, "gone": None}))
    assert released == Rubric({"iou": iou, "tiou": replace(aware, term=TimestampAwareIoU(clamp=False)), "gone": None})
    mine = TimestampAwareIoU()
    assert as_released(mine) is mine, "only a rubric has terms"


@pytest.mark.parametrize("term", [IoU(), TimestampAwareIoU(), TimestampAwareIoU(clamp=False)])
@pytest.mark.parametrize("span", [Span(5, 5), Span(6, 3), Span(float("nan"), 4), Span(1, float("nan"))])
def test_an_annotation_without_seconds_scores_zero_and_does_not_crash(group_of, term, span):
    texts = answered("5 to 5", "3 to 6", "0 to 30")
    assert term(group_of(texts, Target(spans=(span,)), grammar=TIMEZERO)).tolist() == [0.0, 0.0, 0.0]


TWO = Target(spans=(Span(0, 10), Span(20, 30)))
LISTING = Grammar((Pair(),), many=True)


def test_of_several_annotated_spans_one_stated_span_scores_the_best_where_one_is_read(group_of):
    texts = answered("0 to 10", "20 to 30", "0 to 30", "0 to 5")
    single = Grammar((Pair(),))
    assert IoU()(group_of(texts, TWO, grammar=single)).tolist() == pytest.approx([1.0, 1.0, 1 / 3, 0.5])
    aware = TimestampAwareIoU()(group_of(texts, TWO, grammar=single)).tolist()
    assert aware == pytest.approx([1.0, 1.0, 1 / 9, 0.5 * (1 - 5 / 30)])


@pytest.mark.parametrize("term", [IoU(), SetIoU()])
def test_where_answers_list_spans_stating_one_of_two_scores_half_of_stating_both(group_of, term):
    texts = answered("0 to 10", "20 to 30", "0 to 10, 20 to 30", "0 to 30", "0 to 10, 20 to 30, 30 to 40")
    values = term(group_of(texts, TWO, grammar=LISTING))
    assert values.tolist() == pytest.approx([0.5, 0.5, 1.0, 2 / 3, 2 / 3])


def test_timestamp_aware_iou_of_a_list_takes_the_errors_of_the_hull(group_of):
    texts = answered("0 to 10", "0 to 10, 20 to 30", "0 to 30", "nothing")
    aware = TimestampAwareIoU()(group_of(texts, TWO, grammar=LISTING))
    assert aware.tolist() == pytest.approx([0.5 * (1 - 20 / 30), 1.0, 2 / 3, 0.0])


def test_a_set_reward_refuses_a_template_that_reads_one_span(group_of):
    with pytest.raises(ValueError, match=r"'uid-7': its template reads one span.*template=spans"):
        SetIoU()(group_of(answered("0 to 10"), TWO, grammar=TIMEZERO))


def test_format_asks_the_template(group_of):
    assert Format()(group_of([*answered("x"), "<answer>1 to 2</answer>"])).tolist() == [1.0, 0.0]


def test_choice_compares_letters(group_of):
    target = Target(choice="B", spans=(Span(1, 2),))
    texts = ["<answer>B</answer>", "<answer>B 1.0 to 2.0</answer>", "<answer>A</answer>", "B", ""]
    assert Choice()(group_of(texts, target)).tolist() == [1.0, 1.0, 0.0, 0.0, 0.0]


def test_evidence_is_hit_by_one_frame_in_time(group_of):
    group = group_of([""], Target(evidence=(Span(3.0, 4.5), Span(20.0, 20.0))), task="needle")
    rows = [[0, 3], [4], [5, 6], [20], []]
    rollouts = tuple(Rollout("", torch.tensor(row, dtype=torch.long)) for row in rows)
    values = EvidenceHit()(RolloutGroup(group.prompt, rollouts))
    assert values.tolist() == [1.0, 1.0, 0.0, 1.0, 0.0]
    with pytest.raises(ValueError, match="outside a clip of 30 frames"):
        EvidenceHit()(RolloutGroup(group.prompt, (Rollout("", torch.tensor([30])),)))
    with pytest.raises(ValueError, match="chose no frames"):
        EvidenceHit()(group)


@pytest.mark.parametrize(
    ("term", "problem"),
    [(IoU(), "no annotated span"), (TimestampAwareIoU(), "no annotated span"), (SetIoU(), "no annotated span"),
     (Choice(), "no choice"),
     (EvidenceHit(), "no evidence")],
)  # fmt: skip
def test_a_term_that_the_target_does_not_answer_says_so(group_of, term, problem):
    group = group_of(["x"])
    bare = RolloutGroup(replace(group.prompt, target=Target()), group.rollouts)
    with pytest.raises(ValueError, match=f"'uid-7'.*{problem}; restrict the term"):
        term(bare)


@pytest.mark.parametrize("term", [IoU(), Format(), Choice()])
def test_a_prompt_without_template_is_refused(group_of, term):
    group = group_of(["x"], Target(choice="A", spans=(Span(1, 2),)))
    with pytest.raises(ValueError, match="'uid-7' has no template"):
        term(RolloutGroup(replace(group.prompt, template=None), group.rollouts))


def test_a_clip_without_duration_is_refused_where_the_duration_counts(group_of):
    with pytest.raises(ValueError, match="duration must be positive"):
        TimestampAwareIoU()(group_of(answered("1 to 2"), duration=0.0))


def test_a_rubric_shapes_then_weights_then_adds_and_keeps_what_is_raw(group_of):
    rubric = Rubric({"iou": Weighted(IoU(), 2.0, Power(2.0)), "format": Weighted(Format(), 0.1)})
    scores = rubric(group_of(answered("5.1 to 10.2", "0.0 to 100"), grammar=TIMEZERO))
    assert scores.terms["iou"].tolist() == pytest.approx([1.0, 0.051])
    assert scores.terms["format"].tolist() == [1.0, 1.0]
    assert scores.total_G.tolist() == pytest.approx([2.1, 2 * 0.051**2 + 0.1])
    assert scores.reasons == (None, None)


def test_a_rubric_leaves_out_terms_of_other_tasks(group_of):
    rubric = Rubric(
        {"iou": Weighted(IoU(), tasks=["grounding"]), "choice": Weighted(Choice(), tasks=["choice"]), "gone": None}
    )
    scores = rubric(group_of(["<answer>A</answer>"], Target(choice="A"), task="choice"))
    assert list(scores.terms) == ["choice"] and scores.total_G.tolist() == [1.0]
    with pytest.raises(ValueError, match=r"no term of the rubric \(iou, choice\) scores task 'needle'"):
        rubric(group_of(["x"], task="needle"))


def test_a_rubric_without_terms_rewards_nothing(group_of):
    scores = Rubric({})(group_of(["x", "y"]))
    assert scores.total_G.tolist() == [0.0, 0.0] and not scores.terms


def test_a_rubric_hands_on_why_an_answer_could_not_be_read(group_of):
    texts = ["<answer>1.0 to 2.0</answer>", "<think>", "<answer>2.0 to 1.0</answer>"]
    scores = Rubric({"iou": Weighted(IoU())})(group_of(texts))
    assert scores.reasons == (None, "unclosed_think", "reversed_span")
    group = group_of(texts)
    bare = RolloutGroup(replace(group.prompt, template=None), group.rollouts)
    assert Rubric({"one": Weighted(lambda g: torch.ones(len(g)))})(bare).reasons == (None, None, None)


def test_a_crash_in_a_term_names_prompt_term_and_completion(group_of):
    def divide(group: RolloutGroup) -> torch.Tensor:
        return torch.tensor([1 / int(rollout.text) for rollout in group.rollouts])

    with pytest.raises(
        RewardError, match=r"term 'mine' failed on prompt 'uid-7': ZeroDivisionError(.|\n)*: 0$"
    ) as error:
        Rubric({"mine": Weighted(divide)})(group_of(["1", "2", "0", "3"]))
    assert (error.value.uid, error.value.term, error.value.text) == ("uid-7", "mine", "0")
    assert isinstance(error.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize(
    ("values", "problem"),
    [([1.0], "shape"), ([[1.0, 2.0]], "shape"), ([1.0, float("nan")], "it returned nan"), ([float("inf"), 0.0], "inf")],
)
def test_a_term_that_returns_no_rewards_is_refused(group_of, values, problem):
    with pytest.raises(RewardError, match=problem):
        Rubric({"mine": Weighted(lambda group: torch.tensor(values))})(group_of(["first", "second"]))


def test_a_single_task_name_instead_of_a_list_is_refused():
    with pytest.raises(ValueError, match="list of task names"):
        Weighted(IoU(), tasks="grounding")


def test_shapes_bend_a_term_before_it_is_weighted(group_of):
    rubric = Rubric({"iou": Weighted(IoU(), 0.5, Threshold(0.7))})
    assert rubric(group_of(answered("5.0 to 11.6", "5.0 to 20.0"))).total_G.tolist() == [0.5, 0.0]


def test_soft_choice_is_the_probability_of_the_right_letter_and_needs_some(group_of):
    group = group_of(["<answer>B</answer>"] * 2, Target(choice="B"), "choice")
    prompt = replace(group.prompt, options=("red", "blue", "green"))
    probs = torch.tensor([0.2, 0.7, 0.1]), torch.tensor([0.9, 0.05, 0.05])
    rows = tuple(replace(row, option_probs_O=own) for row, own in zip(group.rollouts, probs, strict=True))
    assert SoftChoice()(RolloutGroup(prompt, rows)).tolist() == pytest.approx([0.7, 0.05])
    with pytest.raises(
        ValueError, match=r"no probabilities of options; take rollout=frame_sets .*, or the term Choice"
    ):
        SoftChoice()(RolloutGroup(prompt, group.rollouts))
    with pytest.raises(ValueError, match="choice 'D' is none of its 3 options"):
        SoftChoice()(RolloutGroup(replace(prompt, target=Target(choice="D")), rows))
    with pytest.raises(ValueError, match="has no choice; restrict the term"):
        SoftChoice()(RolloutGroup(replace(prompt, target=Target()), rows))
