"""Samples completions from a language policy: a prompt is prefilled once, and its rows share its keys and values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from kairos.core.carry import carried
from kairos.core.seeds import uniforms
from kairos.core.types import Prompt, Sampling
from kairos.policy.network.kernels.dispatch import packs, runs_ahead
from kairos.policy.network.layouts import layout_of
from kairos.policy.network.text.forward import run_text, video_places
from kairos.policy.network.towers import Towers, VideoFeatures
from kairos.policy.sampling.contexts import SamplingCache
from kairos.policy.sampling.cuda_graph import Replayed
from kairos.policy.sampling.drawn import AllEnded, DrawnRows
from kairos.policy.sampling.prompt_cache import PackedPrompts, PaddedPrompts, PromptCache
from kairos.policy.sampling.row_cache import PackedRows, PaddedRows, RowCache

_CHECK_EVERY = 8  # steps on a GPU between two checks whether all rows have ended


@dataclass(frozen=True)
class Decoding:
    """How tokens are decoded: which caches, and whether steps replay a CUDA graph."""

    prompts: Callable[[Sequence[int], int, torch.device], PromptCache]
    """(lengths, group size, device) -> the prompts' keys and values."""
    rows: Callable[[int, int, torch.device], RowCache]
    """(rows, capacity in tokens, device) -> the rows' own keys and values."""
    replayed: bool = False
    """Decode steps replay a CUDA graph, which is captured anew when the rows' cache grows."""
    capacity: int = 256
    """Tokens a row that the rows' cache holds before it first grows."""
    warm: set[object] = field(default_factory=set)
    """Kinds of steps that have run: their kernels are loaded, so a graph can be captured at once."""


def decoding_on(device: torch.device, warm: set[object]) -> Decoding:
    """Packed caches and steps replayed from a CUDA graph on a GPU; padded caches on a CPU."""
    if packs(device):
        return Decoding(PackedPrompts, PackedRows, replayed=True, warm=warm)
    return Decoding(PaddedPrompts, PaddedRows, warm=warm)


@dataclass(frozen=True)
class Drawn:
    """The sampled rows, on the CPU."""

    actions_BA: Tensor
    """Tokens, int64; the end token fills up a row."""
    logprobs_BA: Tensor
    """Their log-probabilities, fp32; 0 behind a row's end."""
    length_B: Tensor
    """Tokens of each row, its end token included."""
    truncated_B: Tensor
    """Whether a row reached `max_actions` without an end token."""


@torch.no_grad()
def draw(
    towers: Towers,
    prompts: Sequence[Prompt],
    seen: VideoFeatures,
    group_size: int,
    sampling: Sampling,
    seed: int,
    end: int,
    decoding: Decoding,
) -> Drawn:
    """Sample `group_size` rows for each prompt, in the prompts' order; every prompt has a layout.

    One uniform number per (seed, uid, row, position) picks each token by inverse transform, so a row does not depend
    on what it is batched with. Log-probabilities are those of the distribution that is sampled: at the temperature,
    without banned tokens, renormalised over the tokens that top_k and top_p keep (with top_p 1 and top_k 0 they equal
    scored ones); at temperature 0 they are 0.
    """
    device = towers.device
    layouts = [layout_of(prompt) for prompt in prompts]
    lengths = tuple(len(layout) for layout in layouts)
    capacity = min(decoding.capacity, sampling.max_actions)
    prompt_cache = decoding.prompts(lengths, group_size, device)
    row_cache = decoding.rows(len(lengths) * group_size, capacity, device)
    cache = SamplingCache(prompt_cache, row_cache, lengths, group_size)
    hidden_ND = run_text(
        towers.text,
        carried(torch.cat([layout.ids_L for layout in layouts]), device),
        carried(torch.cat([layout.positions_3L for layout in layouts], dim=1), device),
        seen,
        cache.prefill,
        video_places([layout.ids_L for layout in layouts], towers.video_token),
    )
    last_P = carried(torch.tensor(lengths).cumsum(0) - 1, device)
    hidden_BD = hidden_ND.index_select(0, last_P).repeat_interleave(group_size, dim=0)
    position_B = torch.stack([layout.positions_3L.max() + 1 for layout in layouts]).repeat_interleave(group_size)
    noise = [uniforms(seed, prompt.uid, group_size, sampling.max_actions) for prompt in prompts]
    banned = carried(torch.tensor(towers.banned, dtype=torch.long), device)
    rows = DrawnRows(carried(torch.cat(noise), device), sampling, banned, end)
    rows.choose(towers.head(hidden_BD), row_cache.step)
    position_3B = carried(position_B.expand(3, -1).contiguous(), device)

    def advance() -> None:
        """Feed the last drawn tokens and draw the next. All work is on the device: the step may be in a CUDA graph."""
        hidden = run_text(towers.text, rows.token_B, position_3B + row_cache.step, None, cache.decode)
        row_cache.advance()
        rows.choose(towers.head(hidden), row_cache.step)

    kind = (device, len(rows.token_B), group_size, sampling)
    drawn = _decode(advance, rows, row_cache, decoding, kind in decoding.warm)
    if decoding.replayed and drawn > 1:
        decoding.warm.add(kind)
    length_B = rows.length_B.cpu()
    longest = int(length_B.max())
    return Drawn(
        rows.actions_BA[:, :longest].cpu(), rows.logprobs_BA[:, :longest].cpu(), length_B, rows.running_B.cpu()
    )


def _decode(advance: Callable[[], None], rows: DrawnRows, cache: RowCache, decoding: Decoding, warm: bool) -> int:
    """Run steps until all rows have ended or hold `max_actions` tokens.

    Returns the number of columns drawn, the first of which is drawn from the prefill.
    """
    most, check_every = rows.noise_BA.shape[1], _CHECK_EVERY if runs_ahead(rows.token_B.device) else 1
    step: Callable[[], None] = Replayed(advance, warm) if decoding.replayed else advance
    all_ended, drawn = AllEnded(rows.running_B), 1
    while drawn < most:
        if drawn % check_every == 0 and all_ended():
            break
        if drawn > cache.capacity:
            if not bool(rows.running_B.any()):
                break
            cache.grow(min(2 * cache.capacity, most))
            step = Replayed(advance, warm=True) if decoding.replayed else advance
        step()
        drawn += 1
    return drawn
