"""Draws completions from a language policy: every prompt prefilled once, its keys and values shared by its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import PreTrainedModel

from kairos.core.seeds import uniforms
from kairos.core.types import Prompt, Sampling
from kairos.policy.attention import attention, pick
from kairos.policy.delta_net.net import DeltaState, DeltaStep
from kairos.policy.families.base import Family, Seen, layout_of
from kairos.policy.logprobs import restrict
from kairos.policy.tower import run_text


@dataclass(frozen=True)
class Drawn:
    """Tokens [B, A] (int64), their log-probabilities [B, A] (fp32), the number drawn per row, and who never ended."""

    actions_BA: Tensor
    logprobs_BA: Tensor
    length_B: Tensor
    truncated_B: Tensor


@torch.no_grad()
def draw(
    model: PreTrainedModel,
    family: Family,
    prompts: Sequence[Prompt],
    seen: Seen,
    group_size: int,
    sampling: Sampling,
    seed: int,
    end: int,
) -> Drawn:
    """`group_size` rows for each prompt, in the prompts' order; every prompt has a layout.

    One uniform number per (seed, uid, row, position) picks each token by inverse transform, so a row does not depend
    on what it is batched with. Log-probabilities are those of the distribution drawn from: at the temperature, without
    the banned tokens, renormalised over what top_k and top_p keep (so they equal scored ones when top_p is 1 and top_k
    0), and 0 at temperature 0.
    """
    device = next(model.parameters()).device
    layouts = [layout_of(prompt) for prompt in prompts]
    memory = _Memory([len(layout) for layout in layouts], group_size, device)
    hidden_ND = run_text(
        model,
        family,
        torch.cat([layout.ids_L for layout in layouts]).to(device),
        torch.cat([layout.positions_3L for layout in layouts], dim=1).to(device),
        seen,
        _Prefill(memory),
    )
    hidden_BD = hidden_ND.index_select(0, memory.last_P).repeat_interleave(group_size, dim=0)
    position_B = torch.stack([layout.positions_3L.max() + 1 for layout in layouts]).repeat_interleave(group_size)
    position_B = position_B.to(device)
    noise = [uniforms(seed, prompt.uid, group_size, sampling.max_actions) for prompt in prompts]
    noise_BA = torch.cat(noise).to(device)

    banned = family.banned(model)
    running_B = torch.ones(len(hidden_BD), dtype=torch.bool, device=device)
    length_B = torch.zeros(len(hidden_BD), dtype=torch.long, device=device)
    actions, logprobs = [], []
    for step in range(sampling.max_actions):
        token_B, logprob_B = _choose(family.head(model)(hidden_BD), noise_BA[:, step], sampling, banned)
        actions.append(torch.where(running_B, token_B, end))
        logprobs.append(torch.where(running_B, logprob_B, 0.0))
        length_B += running_B
        running_B = running_B & (token_B != end)
        if step + 1 == sampling.max_actions or not bool(running_B.any()):
            break
        positions_3B = (position_B + step).expand(3, -1)
        hidden_BD = run_text(model, family, actions[-1], positions_3B, None, _Decode(memory))
    return Drawn(torch.stack(actions, 1).cpu(), torch.stack(logprobs, 1).cpu(), length_B.cpu(), running_B.cpu())


def _choose(logits_BV: Tensor, noise_B: Tensor, sampling: Sampling, banned: Sequence[int]) -> tuple[Tensor, Tensor]:
    if sampling.temperature == 0:
        token_B = restrict(logits_BV, 1.0, banned).argmax(-1)
        return token_B, torch.zeros_like(token_B, dtype=torch.float32)
    logprobs_BV = restrict(logits_BV, sampling.temperature, banned).log_softmax(-1)
    if sampling.top_k or sampling.top_p < 1:
        logprobs_BV = _truncated(logprobs_BV, sampling.top_k, sampling.top_p)
    cumulative_BV = logprobs_BV.double().exp().cumsum(-1)
    level_B1 = noise_B[:, None] * cumulative_BV[:, -1:]
    token_B = torch.searchsorted(cumulative_BV, level_B1, right=True).squeeze(-1).clamp(max=logits_BV.shape[-1] - 1)
    return token_B, logprobs_BV.gather(-1, token_B[:, None]).squeeze(-1)


def _truncated(logprobs_BV: Tensor, top_k: int, top_p: float) -> Tensor:
    """Keep the `top_k` likeliest tokens (0: all), of those the fewest that reach `top_p`, and renormalise."""
    ordered_BV, order_BV = logprobs_BV.sort(-1, descending=True)
    if top_k:
        ordered_BV[:, top_k:] = -torch.inf
    probabilities_BV = ordered_BV.softmax(-1)
    before_BV = probabilities_BV.cumsum(-1) - probabilities_BV
    ordered_BV = ordered_BV.masked_fill((before_BV >= top_p) & (before_BV > 0), -torch.inf)
    return torch.full_like(logprobs_BV, -torch.inf).scatter(-1, order_BV, ordered_BV).log_softmax(-1)


@dataclass
class _Memory:
    """Keys and values: of each prompt once [P, Hkv, L, D], and of the tokens drawn so far [P * G, Hkv, A, D].

    Layers that recur keep a state for each of the P * G rows instead.
    """

    lengths: list[int]
    group_size: int
    device: torch.device
    prompts: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    drawn: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    used: dict[int, int] = field(default_factory=dict)
    states: dict[int, DeltaState] = field(default_factory=dict)

    def __post_init__(self) -> None:
        length_P = torch.tensor(self.lengths)
        start_P = length_P.cumsum(0) - length_P
        steps = torch.arange(max(self.lengths))
        self.valid_PL = (steps < length_P[:, None]).to(self.device)
        self.index_PL = (start_P[:, None] + torch.minimum(steps, length_P[:, None] - 1)).to(self.device)
        self.flat_N = self.valid_PL.reshape(-1).nonzero().squeeze(1)
        self.last_P = (start_P + length_P - 1).to(self.device)

    def first(self, layer: int, q_NHD: Tensor, k_NHD: Tensor, v_NHD: Tensor, scale: float) -> Tensor:
        q, k, v = (pick(x, self.index_PL) for x in (q_NHD, k_NHD, v_NHD))
        self.prompts[layer] = (k, v)
        return attention(q, k, v, scale).transpose(1, 2).flatten(0, 1).index_select(0, self.flat_N)

    def next(self, layer: int, q_BHD: Tensor, k_BHD: Tensor, v_BHD: Tensor, scale: float) -> Tensor:
        """One new token per row: softmax over its prompt and its own tokens, without copying the prompt per row."""
        k_PHLD, v_PHLD = self.prompts[layer]
        k_BHAD, v_BHAD = self._remember(layer, k_BHD, v_BHD)
        prompts, heads, length, _ = k_PHLD.shape
        q_PGHRD = q_BHD.to(k_PHLD.dtype).unflatten(1, (heads, -1)).unflatten(0, (prompts, -1)) * scale
        q_PHXD = q_PGHRD.transpose(1, 2).flatten(2, 3)
        shared = (q_PHXD @ k_PHLD.transpose(2, 3)).float()
        shared = shared.masked_fill(~self.valid_PL[:, None, None], -torch.inf)
        shared = shared.unflatten(2, (self.group_size, -1)).transpose(1, 2).flatten(0, 1)
        own = (q_PGHRD.flatten(0, 1) @ k_BHAD.transpose(2, 3)).float()
        weights = torch.cat([shared, own], dim=-1).softmax(-1).to(v_PHLD.dtype)
        on_prompt = weights[..., :length].unflatten(0, (prompts, -1)).transpose(1, 2).flatten(2, 3) @ v_PHLD
        on_prompt = on_prompt.unflatten(2, (self.group_size, -1)).transpose(1, 2).flatten(0, 1)
        return (on_prompt + weights[..., length:] @ v_BHAD).flatten(1, 2)

    def _remember(self, layer: int, k_BHD: Tensor, v_BHD: Tensor) -> tuple[Tensor, Tensor]:
        used = self.used.get(layer, 0)
        if used == 0:
            rows, heads, width = k_BHD.shape
            self.drawn[layer] = (k_BHD.new_empty(rows, heads, 16, width), v_BHD.new_empty(rows, heads, 16, width))
        keys, values = self.drawn[layer]
        if used == keys.shape[2]:
            keys, values = pad(keys, (0, 0, 0, used)), pad(values, (0, 0, 0, used))
            self.drawn[layer] = (keys, values)
        keys[:, :, used], values[:, :, used] = k_BHD, v_BHD
        self.used[layer] = used + 1
        return keys[:, :, : used + 1], values[:, :, : used + 1]


@dataclass(frozen=True)
class _Prefill:
    memory: _Memory

    def attend(self, layer: int, q_NHD: Tensor, k_NHD: Tensor, v_NHD: Tensor, scale: float) -> Tensor:
        return self.memory.first(layer, q_NHD, k_NHD, v_NHD, scale)

    def recur(self, layer: int, step: DeltaStep) -> Tensor:
        output_NHV, ends = step.prompts(tuple(self.memory.lengths))
        self.memory.states[layer] = ends.fork(self.memory.group_size)
        return output_NHV


@dataclass(frozen=True)
class _Decode:
    memory: _Memory

    def attend(self, layer: int, q_BHD: Tensor, k_BHD: Tensor, v_BHD: Tensor, scale: float) -> Tensor:
        return self.memory.next(layer, q_BHD, k_BHD, v_BHD, scale)

    def recur(self, layer: int, step: DeltaStep) -> Tensor:
        return step.decode(self.memory.states[layer])
