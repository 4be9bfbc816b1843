"""Compares vLLM's log-probs of its own samples with the policy's, and says what is likely wrong where they differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from kairos.core.types import Layout, Prompt, RolloutBatch, RolloutGroup, Target, VideoClip
from kairos.policy.language import LanguagePolicy
from kairos.policy.network.towers import VideoFeatures

PROBE = "kairos-probe"


class Disagreement(ValueError):
    """vLLM and the policy give the same tokens other probabilities."""


def gap(policy: LanguagePolicy, groups: Sequence[RolloutGroup], temperature: float, video: bool = True) -> float:
    """Mean |log p of vLLM - log p of the policy| over all tokens of `groups`, in nats.

    `video`: the prompts show a clip; without it the vision tower is left out.
    """
    batch = batch_of(groups, temperature)
    with torch.no_grad():
        scored_BA = policy.score(batch).logprobs_BA if video else policy.score_text(batch).logprobs_BA
    assert batch.behavior_logprobs_BA is not None
    inside = batch.mask_BA > 0
    return float((scored_BA.cpu() - batch.behavior_logprobs_BA)[inside].abs().mean())


def text_prompt(policy: LanguagePolicy) -> Prompt:
    """A prompt of plain text, without a clip: what answers it are the text tower's weights alone."""
    ids_L = torch.tensor(policy.processor.encode("When does the event happen? Answer in seconds."))
    positions = torch.arange(len(ids_L)).expand(3, -1)
    layout = Layout(ids_L, positions, torch.zeros(0, 3, dtype=torch.long), None)
    clip = VideoClip(PROBE, None, torch.zeros(0), 0.0)
    return Prompt(PROBE, "probe", "probe", clip, "", Target(), layout=layout)


def check_answer(found: float, tolerance: float) -> None:
    """Disagreement where the probe, a text without a video, is answered with other weights than the policy's."""
    if not found <= tolerance:
        raise Disagreement(
            f"after a sync vLLM's log-probs of a plain text differ from the policy's by {found:.4f} nats a token "
            f"({tolerance:g} at most): it answers with other weights than it was sent, or in lower precision"
        )


def disagreement(found: float, tolerance: float, of_text: float, unasked: Sequence[str]) -> Disagreement:
    """What is likely wrong where the first rollouts are scored too differently.

    `of_text`: the gap of the probe; `unasked`: videos whose positions vLLM did not ask for.
    """
    if unasked:
        cause = f"positions: vLLM did not take ours for {len(unasked)} prompts"
    elif not of_text <= tolerance:
        cause = f"weights: a plain text without a video differs as well, by {of_text:.4f}"
    else:
        cause = (
            f"layout or video features: a plain text agrees ({of_text:.4f}), so the weights are right; compare the "
            "model's configuration (mrope_section, deepstack_visual_indexes) with processor.family"
        )
    return Disagreement(
        f"vLLM and the policy give the first rollouts other probabilities: {found:.4f} nats a token on average, "
        f"rollout.tolerance is {tolerance}. Likely cause: {cause}. rollout=live samples with the policy itself"
    )


def first_rows(groups: Sequence[RolloutGroup], rows: int) -> list[RolloutGroup]:
    """The first `rows` rows, or fewer where there are fewer, spread over as many prompts as possible."""
    each = max(1, rows // max(1, len(groups)))
    return [replace(group, rollouts=group.rollouts[:each]) for group in groups[: -(-rows // each)]]


def batch_of(groups: Sequence[RolloutGroup], temperature: float) -> RolloutBatch:
    """The rows of all groups, to be scored; every row has its tokens and log-probs."""
    rows = [rollout for group in groups for rollout in group.rollouts]
    actions = [row.actions_A for row in rows if row.actions_A is not None]
    logprobs = [row.behavior_logprobs_A for row in rows if row.behavior_logprobs_A is not None]
    pad = torch.nn.utils.rnn.pad_sequence
    return RolloutBatch(
        prompts=tuple(group.prompt for group in groups),
        group_of_B=torch.repeat_interleave(torch.arange(len(groups)), torch.tensor([len(group) for group in groups])),
        actions_BA=pad(actions, batch_first=True),
        mask_BA=pad([torch.ones(len(action)) for action in actions], batch_first=True),
        origin_B=torch.zeros(len(rows), dtype=torch.long),
        advantages_B=torch.zeros(len(rows)),
        weights_B=torch.ones(len(rows)),
        temperature=temperature,
        behavior_logprobs_BA=pad(logprobs, batch_first=True),
    )


def split(seen: VideoFeatures, counts: Sequence[int]) -> list[VideoFeatures]:
    """The features of each prompt; `counts` are their numbers of video tokens."""

    def cut(features_ND: Tensor) -> tuple[Tensor, ...]:
        return features_ND.split(list(counts))

    levels = zip(*(cut(level) for level in (seen.tokens_ND, *seen.deepstack)), strict=True)
    return [VideoFeatures(first, tuple(rest)) for first, *rest in levels]
