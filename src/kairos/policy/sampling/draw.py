"""Draws completions from a language policy: every prompt prefilled once, its keys and values shared by its rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from kairos.core.carry import carried
from kairos.core.seeds import uniforms
from kairos.core.types import Prompt, Sampling
from kairos.policy.network.layouts import layout_of
from kairos.policy.network.text.forward import run_text, video_places
from kairos.policy.network.towers import Seen, Towers
from kairos.policy.sampling.contexts import SamplingCache
from kairos.policy.sampling.cuda_graph import Replayed
from kairos.policy.sampling.drawn import AllEnded, DrawnRows
from kairos.policy.sampling.prompt_cache import PackedPrompts, PaddedPrompts, PromptCache
from kairos.policy.sampling.row_cache import PackedRows, PaddedRows, RowCache

_LOOK_EVERY = 8  # steps, on a GPU, between two looks at whether all rows have ended


@dataclass(frozen=True)
class Decoding:
    """How tokens are decoded: which caches, and whether steps replay a CUDA graph."""

    prompts: Callable[[Sequence[int], int, torch.device], PromptCache]
    """(lengths, group size, device) -> the prompts' keys and values."""
    rows: Callable[[int, int, torch.device], RowCache]
    """(rows, capacity in tokens, device) -> the rows' own keys and values."""
    replayed: bool = False
    """Steps replay a CUDA graph, captured anew where the rows' cache grows."""
    capacity: int = 256
    """Tokens a row for which there is room before the rows' cache grows for the first time."""
    warm: set[object] = field(default_factory=set)
    """The kinds of steps that ran before: their kernels are loaded, and a graph can be captured at once."""


def decoding_on(device: torch.device, warm: set[object]) -> Decoding:
    """Packed caches and replayed steps on a GPU; padded caches on a CPU."""
    if device.type == "cuda":
        return Decoding(PackedPrompts, PackedRows, replayed=True, warm=warm)
    return Decoding(PaddedPrompts, PaddedRows, warm=warm)


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
    decoding: Decoding,
) -> Drawn:
    """`group_size` rows for each prompt, in the prompts' order; every prompt has a layout.

    One uniform number per (seed, uid, row, position) picks each token by inverse transform, so a row does not depend
    on what it is batched with. Log-probabilities are those of the distribution drawn from: at the temperature, without
    the banned tokens, renormalised over what top_k and top_p keep (so they equal scored ones when top_p is 1 and top_k
    0), and 0 at temperature 0. Where steps are replayed, the first of its kind runs as it is.
    """
    device = towers.device
    layouts = [layout_of(prompt) for prompt in prompts]
    lengths = tuple(len(layout) for layout in layouts)
    capacity = min(decoding.capacity, sampling.max_actions)
    kept = decoding.prompts(lengths, group_size, device)
    own = decoding.rows(len(lengths) * group_size, capacity, device)
    cache = SamplingCache(kept, own, lengths, group_size)
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
    rows.choose(towers.head(hidden_BD), own.step)
    position_3B = carried(position_B.expand(3, -1).contiguous(), device)

    def advance() -> None:
        """Feed the tokens drawn last, draw the next: nothing but work on the device."""
        hidden = run_text(towers.text, rows.token_B, position_3B + own.step, None, cache.decode)
        own.advance()
        rows.choose(towers.head(hidden), own.step)

    kind = (device, len(rows.token_B), group_size, sampling)
    drawn = _decode(advance, rows, own, decoding, kind in decoding.warm)
    if decoding.replayed and drawn > 1:
        decoding.warm.add(kind)
    length_B = rows.length_B.cpu()
    longest = int(length_B.max())
    return Drawn(
        rows.actions_BA[:, :longest].cpu(), rows.logprobs_BA[:, :longest].cpu(), length_B, rows.running_B.cpu()
    )


def _decode(advance: Callable[[], None], rows: DrawnRows, own: RowCache, decoding: Decoding, warm: bool) -> int:
    """Steps until all rows have ended or are full; the tokens drawn for a row, that of the prefill included."""
    most, look_every = rows.noise_BA.shape[1], _LOOK_EVERY if rows.token_B.is_cuda else 1
    step: Callable[[], None] = Replayed(advance, warm) if decoding.replayed else advance
    all_ended, drawn = AllEnded(rows.running_B), 1
    while drawn < most:
        if drawn % look_every == 0 and all_ended():
            break
        if drawn > own.capacity:
            if not bool(rows.running_B.any()):
                break
            own.grow(min(2 * own.capacity, most))
            step = Replayed(advance, warm=True) if decoding.replayed else advance
        step()
        drawn += 1
    return drawn
