"""The metrics of one iteration for the log, and one record for each rollout."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean, pstdev

import torch
from torch import Tensor

from kairos.core.answers import REASONS, read
from kairos.core.spans import answer_iou
from kairos.core.types import ActionStats, Origin, RolloutBatch, RolloutGroup, Scores, VideoClip
from kairos.credit.earned import Earned
from kairos.objective.objective import Objective
from kairos.train.meter import Meter

_ROUNDING = 1e-6
_LEAST_SPREAD = 1e-3
GAP_BOUND = 0.1
"""`policy/sampling_gap_beyond` is the share of actions whose scored and sampled log-probs differ by more nats."""


@dataclass(frozen=True)
class Credited:
    """One group after credit assignment."""

    group: RolloutGroup
    scores: Scores
    """Rewards of its rollouts."""
    earned: Earned
    """Their advantages and weights."""


def measure(meter: Meter, credited: Credited) -> None:
    """Log rewards, parse failures, lengths and advantages of one group; injected rows never enter `reward/*`."""
    group, scores = credited.group, credited.scores
    meter.add("advantage/gated", float(credited.earned.gate == 0))
    own = [index for index, row in enumerate(group.rollouts) if row.origin is Origin.POLICY]
    if not own:
        return
    totals, advantages = scores.total_G.tolist(), credited.earned.advantages_G.tolist()
    for name, values_G in scores.terms.items():
        values = values_G.tolist()
        for place in ("reward", f"reward_{group.prompt.source}"):
            meter.add(f"{place}/{name}", fmean(values[i] for i in own), len(own))
    rewards = [totals[i] for i in own]
    for place in ("reward", f"reward_{group.prompt.source}"):
        meter.add(f"{place}/total", fmean(rewards), len(own))
    if group.prompt.target.spans and group.prompt.template is not None:  # whatever the reward makes of it
        grammar, spans = group.prompt.template.grammar, group.prompt.target.spans
        ious = [answer_iou(read(group.rollouts[i].text, grammar).spans, spans, grammar.many) for i in own]
        for place in ("rollout", f"rollout_{group.prompt.source}"):
            meter.add(f"{place}/iou", fmean(ious), len(own))
    meter.add("reward/spread", pstdev(rewards))
    meter.add("reward/no_spread", float(max(rewards) == min(rewards)))
    meter.add("advantage/magnitude", fmean(abs(a) for a in advantages), len(advantages))
    failed = [reason for i in own if (reason := scores.reasons[i])]
    meter.add("parse/failures", len(failed) / len(own), len(own))
    known = REASONS if group.prompt.template is not None else ()
    for reason in sorted({*known, *failed}):  # a share of the rollouts, 0 where it never came: they add up to failures
        meter.add(f"parse/{reason.replace(' ', '_').replace('/', '_')}", failed.count(reason) / len(own), len(own))
    lengths = [len(actions) for i in own if (actions := group.rollouts[i].actions_A) is not None]
    if lengths:
        meter.add("rollout/length", fmean(lengths), len(lengths))
        meter.add("rollout/truncated", fmean(group.rollouts[i].truncated for i in own), len(own))
    ages = [age for i in own if (age := group.rollouts[i].staleness) is not None]
    if ages:
        meter.add("rollout/staleness", fmean(ages), len(ages))
    injected = [index for index in range(len(group)) if index not in own]
    if injected:
        meter.add("injected/reward", fmean(totals[i] for i in injected), len(injected))
        meter.add("injected/advantage", fmean(advantages[i] for i in injected), len(injected))
        _measure_injection(meter, rewards, [advantages[i] for i in own], totals)


def _measure_injection(meter: Meter, rewards: list[float], advantages: list[float], totals: list[float]) -> None:
    """Log the effect of injected rows on the policy's rows (TempSamp-R1).

    `rewards` and `advantages` are those of the policy's rows, `totals` the rewards of all rows. A row's sign flips if
    its advantage is positive and its reward below the mean of the policy's rows, or the reverse. A group is without
    positives if rewards lie above that mean but no advantage is positive. Contamination is the shift of the mean in
    population standard deviations of the policy's rewards; it is skipped for groups of nearly equal rewards.
    """
    baseline, spread = fmean(rewards), pstdev(rewards)
    above = [reward - baseline for reward in rewards]
    flipped = [abs(x) > _ROUNDING and x * advantage < 0 for x, advantage in zip(above, advantages, strict=True)]
    meter.add("advantage/sign_flips", fmean(flipped), len(rewards))
    meter.add("advantage/groups_with_flips", float(any(flipped)))
    lost = max(above) > _ROUNDING and max(advantages) <= 0
    meter.add("advantage/groups_without_positives", float(lost))
    for name, side in (("positive", [a for a in advantages if a > 0]), ("negative", [a for a in advantages if a < 0])):
        if side:
            meter.add(f"advantage/{name}", fmean(side), len(side))
    meter.add("injected/groups_without_spread", float(spread < _LEAST_SPREAD))
    if spread >= _LEAST_SPREAD:
        meter.add("injected/contamination", abs(fmean(totals) - baseline) / spread)
        meter.add("injected/spread_ratio", pstdev(totals) / spread)


def measure_learning(meter: Meter, weight_BA: Tensor, terms: dict[str, Tensor], stats: ActionStats) -> None:
    """Log the objective's terms and the entropy as weighted means."""
    with torch.no_grad():
        total = weight_BA.sum()
        for name, value_BA in terms.items():
            meter.add(f"objective/{name}", (weight_BA * value_BA).sum() / total.clamp(min=1e-12), total)
        if stats.entropy_BA is not None:
            meter.add("policy/entropy", (weight_BA * stats.entropy_BA).sum() / total.clamp(min=1e-12), total)


def measure_actions(meter: Meter, objective: Objective, stats: ActionStats, batch: RolloutBatch) -> None:
    """Log means over the policy's own actions: surprise, ratios, the gap of scored and sampled log-probs, and more.

    The surprise is -log pi of what was sampled: an estimate of the entropy that needs no distribution. What more, the
    objective's terms say: the clip fraction, the KL to a reference.
    """
    with torch.no_grad():
        own = (batch.mask_BA > 0) & ((batch.origin_B == int(Origin.POLICY)) & (batch.weights_B > 0))[:, None]
        count = own.sum()
        meter.add("policy/surprise", _mean(-stats.logprobs_BA, own), count)
        for name, value_BA in objective.measured(stats, batch).items():
            meter.add(name, _mean(value_BA, own), count)
        if batch.behavior_logprobs_BA is not None:
            gap_BA = (stats.logprobs_BA - batch.behavior_logprobs_BA).abs()
            meter.add("policy/sampling_gap", _mean(gap_BA, own), count)
            meter.add("policy/sampling_gap_beyond", _mean((gap_BA > GAP_BOUND).float(), own), count)
            meter.top("policy/sampling_gap_largest", torch.where(own, gap_BA, 0.0).max())
        if batch.old_logprobs_BA is not None:
            ratio_BA = (stats.logprobs_BA - batch.old_logprobs_BA).exp()
            meter.add("policy/ratio_off_by_a_tenth", _mean(((ratio_BA - 1).abs() > 0.1).float(), own), count)


def _mean(value_BA: Tensor, own_BA: Tensor) -> Tensor:
    return torch.where(own_BA, value_BA, 0.0).sum() / own_BA.sum().clamp(min=1)


def _chosen(chosen_K: Tensor | None, clip: VideoClip) -> dict[str, object]:
    """Indices and seconds of the frames that the policy chose; empty if its actions are text."""
    if chosen_K is None:
        return {}
    return {"frames": chosen_K.tolist(), "frame_seconds": clip.seconds_T[chosen_K].tolist()}


def records(iteration: int, credited: Credited) -> list[dict[str, object]]:
    """One row for each rollout, for rollouts.jsonl. Spans in seconds, lengths in actions.

    Rows have `highlights`, and the `letter` that was read, only if their prompt has marks, or a right choice.
    """
    group, scores, prompt = credited.group, credited.scores, credited.group.prompt
    rows: list[dict[str, object]] = []
    marks = {"highlights": [list(mark) for mark in prompt.target.highlights]} if prompt.target.highlights else {}
    for index, rollout in enumerate(group.rollouts):
        answer = read(rollout.text, prompt.template.grammar) if prompt.template and rollout.text else None
        rows.append(
            {
                "iteration": iteration,
                "uid": prompt.uid,
                "task": prompt.task,
                "source": prompt.source,
                "question": prompt.question,
                "row": index,
                "origin": rollout.origin.name.lower(),
                "text": rollout.text,
                "actions": None if rollout.text or rollout.actions_A is None else rollout.actions_A.tolist(),
                "length": None if rollout.actions_A is None else len(rollout.actions_A),
                "truncated": rollout.truncated,
                "reward": float(scores.total_G[index]),
                "terms": {name: float(values[index]) for name, values in scores.terms.items()},
                "advantage": float(credited.earned.advantages_G[index]),
                "weight": float(credited.earned.weights_G[index]),
                "reason": scores.reasons[index],
                "spans": [list(span) for span in answer.spans] if answer else [],
                "target": [list(span) for span in prompt.target.spans],
                "choice": prompt.target.choice,
                **({"letter": answer.choice if answer else None} if prompt.target.choice else {}),
                **marks,
                **_chosen(rollout.chosen_K, prompt.clip),
                **({} if rollout.option_probs_O is None else {"option_probs": rollout.option_probs_O.tolist()}),
                "duration": prompt.clip.duration,
            }
        )
    return rows
