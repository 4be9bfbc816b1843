"""Draws completions from a language policy: every prompt prefilled once, its keys and values shared by its rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from kairos.core.carry import carried
from kairos.core.seeds import uniforms
from kairos.core.types import Prompt, Sampling
from kairos.policy.layouts import layout_of
from kairos.policy.sampling.cache import Memory, PackedPrompts, PackedRows, PaddedPrompts, PaddedRows
from kairos.policy.sampling.cuda_graph import Replayed
from kairos.policy.text.forward import run_text, video_places
from kairos.policy.text.logprobs import restrict
from kairos.policy.towers import Seen, Towers

_FIRST_CAPACITY = 256
_RUN = 512  # tokens
_LOOK_UP_EVERY = 8  # steps, on a GPU, between two looks at whether all rows have ended
_ran: WeakKeyDictionary[nn.Module, set[object]] = WeakKeyDictionary()  # steps whose kernels are loaded


@dataclass(frozen=True)
class Drawn:
    """Tokens [B, A] (int64), their log-probabilities [B, A] (fp32), the number drawn per row, and who never ended."""

    actions_BA: Tensor
    logprobs_BA: Tensor
    length_B: Tensor
    truncated_B: Tensor


@torch.no_grad()
def draw(
    towers: Towers,
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
    0), and 0 at temperature 0. On a GPU steps replay a CUDA graph, captured anew where the memory for drawn tokens
    grows; the first step of its kind with a model runs as it is.
    """
    device = towers.device
    layouts = [layout_of(prompt) for prompt in prompts]
    lengths = tuple(len(layout) for layout in layouts)
    on_gpu = device.type == "cuda"
    kept = (PackedPrompts if on_gpu else PaddedPrompts)(lengths, group_size, device)
    room = min(_FIRST_CAPACITY, sampling.max_actions)
    own = (PackedRows if on_gpu else PaddedRows)(len(lengths) * group_size, room, device)
    memory = Memory(kept, own, lengths, group_size)
    hidden_ND = run_text(
        towers.text,
        carried(torch.cat([layout.ids_L for layout in layouts]), device),
        carried(torch.cat([layout.positions_3L for layout in layouts], dim=1), device),
        seen,
        memory.prefill,
        video_places([layout.ids_L for layout in layouts], towers.video_token),
    )
    last_P = carried(torch.tensor(lengths).cumsum(0) - 1, device)
    hidden_BD = hidden_ND.index_select(0, last_P).repeat_interleave(group_size, dim=0)
    position_B = torch.stack([layout.positions_3L.max() + 1 for layout in layouts]).repeat_interleave(group_size)
    noise = [uniforms(seed, prompt.uid, group_size, sampling.max_actions) for prompt in prompts]
    head, banned = towers.head, carried(torch.tensor(towers.banned, dtype=torch.long), device)
    rows = _Rows(carried(torch.cat(noise), device), sampling, banned, end)
    rows.choose(head(hidden_BD), own.step)
    position_3B = carried(position_B.expand(3, -1).contiguous(), device)

    def advance() -> None:
        """Feed the tokens drawn last, draw the next: nothing but work on the device."""
        hidden = run_text(towers.text, rows.token_B, position_3B + own.step, None, memory.decode)
        own.advance()
        rows.choose(head(hidden), own.step)

    kind, ran = (device, len(rows.token_B), group_size, sampling), _ran.setdefault(towers.model, set())
    taken: Callable[[], None] = Replayed(advance, warm=kind in ran) if on_gpu else advance
    ended = _Ended(rows.running_B)
    drawn = 1
    while drawn < sampling.max_actions:
        if (drawn % _LOOK_UP_EVERY == 0 or not on_gpu) and ended():
            break
        if drawn > own.capacity:
            if not bool(rows.running_B.any()):
                break
            own.grow(min(2 * own.capacity, sampling.max_actions))
            taken = Replayed(advance, warm=True) if on_gpu else advance
        taken()
        drawn += 1
    if on_gpu and drawn > 1:
        ran.add(kind)
    length_B = rows.length_B.cpu()
    longest = int(length_B.max())
    return Drawn(
        rows.actions_BA[:, :longest].cpu(), rows.logprobs_BA[:, :longest].cpu(), length_B, rows.running_B.cpu()
    )


class _Ended:
    """Whether no row is running; on a GPU whether none was at the call before: the host need not wait for the device,
    and a few steps more change nothing."""

    def __init__(self, running_B: Tensor) -> None:
        self.running_B = running_B
        self.seen: torch.cuda.Event | None = None
        self.running = torch.ones(1, dtype=torch.bool, pin_memory=running_B.is_cuda)

    def __call__(self) -> bool:
        if self.seen is not None:
            self.seen.synchronize()
            if not self.running.item():
                return True
        self.running.copy_(self.running_B.any()[None], non_blocking=True)
        if not self.running_B.is_cuda:
            return not self.running.item()
        self.seen = torch.cuda.Event()
        self.seen.record()
        return False


class _Rows:
    """What has been drawn, in tensors that stay where they are. `noise_BA` is uniform in [0, 1)."""

    def __init__(self, noise_BA: Tensor, sampling: Sampling, banned: Tensor, end: int) -> None:
        self.noise_BA, self.sampling, self.banned, self.end = noise_BA, sampling, banned, end
        self.actions_BA = torch.full(noise_BA.shape, end, dtype=torch.long, device=noise_BA.device)
        self.logprobs_BA = torch.zeros(noise_BA.shape, device=noise_BA.device)
        self.token_B = self.actions_BA[:, 0].clone()
        self.running_B = torch.ones_like(self.token_B, dtype=torch.bool)
        self.length_B = torch.zeros_like(self.token_B)

    def choose(self, logits_BV: Tensor, step: Tensor) -> None:
        """Draw the tokens of column `step` [1]; rows that have ended stay as they are."""
        noise_B = self.noise_BA.index_select(1, step).squeeze(1)
        token_B, logprob_B = _choose(logits_BV, noise_B, self.sampling, self.banned)
        self.token_B.copy_(torch.where(self.running_B, token_B, self.end))
        self.actions_BA.index_copy_(1, step, self.token_B[:, None])
        self.logprobs_BA.index_copy_(1, step, torch.where(self.running_B, logprob_B, 0.0)[:, None])
        self.length_B.add_(self.running_B)
        self.running_B.logical_and_(self.token_B != self.end)


def _choose(logits_BV: Tensor, noise_B: Tensor, sampling: Sampling, banned: Tensor) -> tuple[Tensor, Tensor]:
    if sampling.temperature == 0:
        token_B = restrict(logits_BV, 1.0, banned).argmax(-1)
        return token_B, torch.zeros_like(token_B, dtype=torch.float32)
    logprobs_BV = restrict(logits_BV, sampling.temperature, banned).log_softmax(-1)
    if sampling.top_k or sampling.top_p < 1:
        logprobs_BV = _truncated(logprobs_BV, sampling.top_k, sampling.top_p)
    token_B = _inverse(logprobs_BV.exp(), noise_B)
    return token_B, logprobs_BV.gather(-1, token_B[:, None]).squeeze(-1)


def _inverse(probs_BV: Tensor, noise_B: Tensor) -> Tensor:
    """The first token whose cumulative probability exceeds the noise: its run of tokens first, then it within the run.

    Sums are fp64. A token without probability is never drawn.
    """
    runs_BKR = pad(probs_BV, (0, -probs_BV.shape[-1] % _RUN)).unflatten(-1, (-1, _RUN))
    ends_BK = runs_BKR.sum(-1, dtype=torch.float64).cumsum(-1)
    level_B1 = (noise_B[:, None].double() * ends_BK[:, -1:]).minimum(ends_BK[:, -1:] * (1 - 2**-52))
    run_B1 = torch.searchsorted(ends_BK, level_B1, right=True).clamp(max=ends_BK.shape[-1] - 1)
    before_B1 = torch.where(run_B1 > 0, ends_BK.gather(-1, (run_B1 - 1).clamp(min=0)), 0.0)
    within_BR = runs_BKR.gather(1, run_B1[..., None].expand(-1, -1, _RUN)).squeeze(1).cumsum(-1, dtype=torch.float64)
    rest_B1 = torch.minimum(level_B1 - before_B1, within_BR[:, -1:] * (1 - 2**-52))  # both sums are rounded
    place_B1 = torch.searchsorted(within_BR, rest_B1, right=True)
    return (run_B1 * _RUN + place_B1).squeeze(-1).clamp(max=probs_BV.shape[-1] - 1)


def _truncated(logprobs_BV: Tensor, top_k: int, top_p: float) -> Tensor:
    """Keep the `top_k` likeliest tokens (0: all), of those the fewest that reach `top_p`, and renormalise."""
    ordered_BV, order_BV = logprobs_BV.sort(-1, descending=True)
    if top_k:
        ordered_BV[:, top_k:] = -torch.inf
    probabilities_BV = ordered_BV.softmax(-1)
    before_BV = probabilities_BV.cumsum(-1) - probabilities_BV
    ordered_BV = ordered_BV.masked_fill((before_BV >= top_p) & (before_BV > 0), -torch.inf)
    return torch.full_like(logprobs_BV, -torch.inf).scatter(-1, order_BV, ordered_BV).log_softmax(-1)
