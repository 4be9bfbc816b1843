"""Asks vLLM for the answers to prompts that are laid out already, and reads its replies as rollouts."""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from kairos.core.seeds import mix
from kairos.core.types import Layout, Prompt, Rollout, RolloutGroup, Sampling
from kairos.policy.network.layouts import layout_of
from kairos.policy.processor import LanguageProcessor
from kairos.rollout.vllm.hooks import PLACE
from kairos.rollout.vllm.theirs import Engine, Reply


def engine_input(layout: Layout, name: str, number: int, video: int) -> Mapping[str, object]:
    """A prompt as vLLM's engine takes it behind its processors: our tokens, and where the video tokens are."""
    from vllm.inputs import mm_input, tokens_input
    from vllm.multimodal.inputs import (
        MultiModalBatchedField,
        MultiModalFieldElem,
        MultiModalKwargsItem,
        MultiModalKwargsItems,
        PlaceholderRange,
    )

    ids, places = layout.ids_L.tolist(), (layout.ids_L == video).nonzero().flatten()
    if not len(places):
        return tokens_input(ids)
    first, last = int(places[0]), int(places[-1])
    elem = MultiModalFieldElem(data=torch.tensor([number]), field=MultiModalBatchedField(keep_on_cpu=True))
    return mm_input(
        ids,
        MultiModalKwargsItems({"video": [MultiModalKwargsItem({PLACE: elem})]}),
        {"video": [name]},
        {"video": [PlaceholderRange(first, last - first + 1, layout.ids_L[first : last + 1] == video)]},
    )


def parameters(sampling: Sampling, rows: int, seed: int, end: int) -> object:
    """`rows` rows of one prompt; at temperature 0 they would be equal, so one is asked for."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    return SamplingParams(
        n=rows if sampling.temperature else 1, temperature=sampling.temperature, top_p=sampling.top_p,
        top_k=sampling.top_k, max_tokens=sampling.max_actions, seed=seed, stop_token_ids=[end], ignore_eos=True,
        logprobs=0, flat_logprobs=True, detokenize=False, output_kind=RequestOutputKind.FINAL_ONLY,
    )  # fmt: skip


def answers(engine: Engine, inputs: Sequence[Mapping[str, object]], asked: Sequence[object]) -> list[Reply]:
    """vLLM's replies, in the order of the inputs."""
    core = engine.llm_engine
    replies: dict[str, Reply] = {}
    for number, (prompt, wanted) in enumerate(zip(inputs, asked, strict=True)):
        core.add_request(str(number), prompt, wanted)
    while core.has_unfinished_requests():
        replies |= {reply.request_id: reply for reply in core.step() if reply.finished}
    return [replies[str(number)] for number in range(len(inputs))]


def group(prompt: Prompt, reply: Reply, rows: int, sampling: Sampling, processor: LanguageProcessor) -> RolloutGroup:
    """The reply as a group of `rows` rollouts. ValueError where vLLM read other tokens than the prompt's layout has."""
    if (read := reply.prompt_token_ids) != (ids := layout_of(prompt).ids_L.tolist()):
        raise ValueError(
            f"layout: vLLM read {len(read or [])} tokens of prompt {prompt.uid}, its layout has {len(ids)}"
        )
    written = []
    for row in sorted(reply.outputs, key=lambda output: output.index):
        tokens, logprobs = list(row.token_ids), row.logprobs
        values = torch.tensor(logprobs.logprobs if sampling.temperature else [0.0] * len(tokens))
        text = processor.decode([token for token in tokens if token != processor.end])
        written.append(Rollout(text, torch.tensor(tokens), values, truncated=row.finish_reason == "length"))
    if not sampling.temperature:
        written *= rows
    if len(written) != rows:
        raise ValueError(f"vLLM gave {len(written)} answers to prompt {prompt.uid}, asked for were {rows}")
    return RolloutGroup(prompt, tuple(written))


def seed_of(seed: int, prompt: Prompt) -> int:
    """A prompt's own seed: its rows do not depend on what else is asked. Row g of vLLM has this seed + g."""
    return mix(seed, prompt.uid) >> 1
