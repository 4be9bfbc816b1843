"""Sets of chosen frames as prompts: each laid out with its own frames' times, and batched with the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kairos.core.types import Layout, Prompt, VideoClip
from kairos.policy.answering.letters import Letters
from kairos.policy.answering.sets import check_sets, pixels_of
from kairos.policy.network.layouts import layout_of
from kairos.policy.processor import LanguageProcessor


@dataclass(frozen=True)
class Asked:
    """One set of frames of one prompt, laid out."""

    place: tuple[int, int]
    """The prompt's place in the call, and the set's among the prompt's."""
    prompt: Prompt
    """Laid out; its clip holds the times of the chosen frames, and no pixels."""
    index_K: Tensor
    """The chosen frames."""
    letters: Letters | None
    """None: the answer is written freely."""

    @property
    def layout(self) -> Layout:
        return layout_of(self.prompt)

    @property
    def tokens(self) -> int:
        return len(self.layout)


def lay_out(
    processor: LanguageProcessor, place: int, prompt: Prompt, sets: Sequence[Tensor], letters: Letters | None
) -> list[Asked]:
    """The sets of the prompt at `place` of a call. With `letters` the prompt ends with the first tokens of an answer.

    ValueError for a set without frames, out of order or beyond the clip, and for a prompt that cannot be laid out.
    """
    check_sets(prompt, sets)
    if not len(sets):
        return []
    asked, size = [], pixels_of(prompt.clip, sets[0][:1]).shape[1:]
    for number, index_K in enumerate(sets):
        pixels = torch.empty(len(index_K), *size, dtype=torch.uint8, device="meta")  # a layout needs their size alone
        clip = VideoClip(prompt.clip.uid, pixels, prompt.clip.seconds_T[index_K], prompt.clip.duration)
        shown = replace(prompt, clip=clip, features={}, layout=None)
        layout = processor(shown)
        shown = replace(shown, layout=layout if letters is None else begun(layout, letters.prefix))
        asked.append(Asked((place, number), shown, index_K, letters))
    return asked


def begun(layout: Layout, tokens: Sequence[int]) -> Layout:
    """A layout with the first tokens of the answer behind the prompt."""
    after = layout.positions_3L.max() + 1 + torch.arange(len(tokens))
    return replace(
        layout,
        ids_L=torch.cat([layout.ids_L, torch.tensor(tokens, dtype=torch.long)]),
        positions_3L=torch.cat([layout.positions_3L, after.expand(3, -1)], dim=1),
    )


def batches(asked: Sequence[Asked], most: int) -> Iterator[list[Asked]]:
    """Sets that are answered in one way, in order, up to `most` tokens together, one set at least."""
    batch: list[Asked] = []
    tokens = 0
    for one in sorted(asked, key=lambda one: one.letters is None):
        other_way = bool(batch) and (batch[0].letters is None) != (one.letters is None)
        if batch and (other_way or tokens + one.tokens > most):
            yield batch
            batch, tokens = [], 0
        batch.append(one)
        tokens += one.tokens
    if batch:
        yield batch
