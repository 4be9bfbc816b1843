"""A prompt and its answers as vLLM's `/inference/v1/generate` takes and gives them: tokens in, tokens out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from kairos.core.types import Layout, Prompt, Rollout, RolloutGroup, Sampling
from kairos.policy.network.towers import VideoFeatures
from kairos.policy.processor import LanguageProcessor
from kairos.rollout.vllm.servers.packing import packed_item

FEATURES = "kairos_features"
"""A video block's features [N, D * levels]: a token's feature, then its deepstack features."""
POSITIONS = "kairos_positions"
"""Positions [3, L] from the end of the block before it to its end; the last block's go on to the prompt's end."""
_FINAL_ONLY = 2  # vllm.sampling_params.RequestOutputKind


@dataclass(frozen=True)
class Asked:
    """What the requests of one roll-out have in common."""

    rows: int
    """Answers to each prompt; at temperature 0 they would be equal, so one is asked for."""
    sampling: Sampling
    end: int
    """The token that ends an answer."""
    video: int
    """The token that stands for video."""
    version: str
    """Of the weights, and the salt of the prefix cache: keys and values of other weights are never found."""

    def body(self, name: str, layout: Layout, features_ND: Tensor | None, seed: int) -> dict[str, object]:
        """One prompt's request. `features_ND`: of its video tokens, deepstack features behind the others."""
        sampling = self.sampling
        body: dict[str, object] = {
            "request_id": name,
            "token_ids": layout.ids_L.tolist(),
            "cache_salt": self.version,
            "sampling_params": {
                "n": self.rows if sampling.temperature else 1, "temperature": sampling.temperature,
                "top_p": sampling.top_p, "top_k": sampling.top_k, "max_tokens": sampling.max_actions, "seed": seed,
                "stop_token_ids": [self.end], "ignore_eos": True, "logprobs": 0, "detokenize": False,
                "output_kind": _FINAL_ONLY,
            },
        }  # fmt: skip
        blocks = list(runs(layout.ids_L == self.video))
        if features_ND is not None and blocks:
            body["features"] = {
                "mm_hashes": {"video": [f"{name}-{number}" for number in range(len(blocks))]},
                "mm_placeholders": {"video": [{"offset": first, "length": size} for first, size in blocks]},
                "kwargs_data": {"video": list(_items(layout, features_ND, blocks))},
            }
        return body


def runs(marked_L: Tensor) -> Iterator[tuple[int, int]]:
    """(first, length) of each run of True: vLLM's endpoint takes no mask of a video whose tokens have gaps.

    >>> list(runs(torch.tensor([0, 1, 1, 0, 1], dtype=torch.bool)))
    [(1, 2), (4, 1)]
    """
    edges = torch.diff(torch.nn.functional.pad(marked_L.long(), (1, 1)))
    firsts, ends = (edges == 1).nonzero().flatten().tolist(), (edges == -1).nonzero().flatten().tolist()
    yield from ((first, end - first) for first, end in zip(firsts, ends, strict=True))


def features_of(seen: VideoFeatures) -> Tensor:
    return torch.cat([seen.tokens_ND, *seen.deepstack], dim=-1)


def group(
    prompt: Prompt, reply: Mapping[str, object], rows: int, sampling: Sampling, processor: LanguageProcessor
) -> RolloutGroup:
    """A reply as a group of `rows` rollouts. ValueError where there are fewer answers, or log-probs are missing."""
    choices = cast("Sequence[Mapping[str, object]]", reply["choices"])
    written = []
    for choice in sorted(choices, key=lambda choice: int(str(choice["index"]))):
        tokens = cast("list[int]", choice["token_ids"])
        told = cast("Mapping[str, Sequence[Mapping[str, float]]]", choice["logprobs"])["content"]
        values = [entry["logprob"] if sampling.temperature else 0.0 for entry in told]
        text = processor.decode([token for token in tokens if token != processor.end])
        cut = choice["finish_reason"] == "length"
        written.append(Rollout(text, torch.tensor(tokens), torch.tensor(values), truncated=cut))
    if not sampling.temperature:
        written *= rows
    if len(written) != rows:
        raise ValueError(f"a server gave {len(written)} answers to prompt {prompt.uid}, asked for were {rows}")
    return RolloutGroup(prompt, tuple(written))


def _items(layout: Layout, features_ND: Tensor, blocks: Sequence[tuple[int, int]]) -> Iterator[str]:
    """Each block's features and positions, packed."""
    before = 0
    parts = features_ND.split([size for _, size in blocks])
    for number, ((first, size), part) in enumerate(zip(blocks, parts, strict=True)):
        end = len(layout) if number == len(blocks) - 1 else first + size
        yield packed_item({FEATURES: part, POSITIONS: layout.positions_3L[:, before:end].int()}, on_host=[POSITIONS])
        before = end
