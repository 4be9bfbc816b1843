"""A language policy, frozen, that answers prompts from sets of chosen frames: all sets of all prompts in one batch.

Each chosen frame is a temporal patch of its own (repeated where the tower's patch spans two frames), with its own time,
so its visual tokens are the same in every set that shows it: they are computed once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from kairos.core.out_of_memory import explaining_out_of_memory
from kairos.core.types import Prompt, Reply, Sampling
from kairos.policy.answering.asked import Asked, batches, lay_out
from kairos.policy.answering.frame_features import FrameFeatures, SeenFrames
from kairos.policy.answering.letters import Letters, asks_letters, letters_of
from kairos.policy.answering.one_pass import likeliest_letters
from kairos.policy.language import LanguagePolicy
from kairos.policy.memory.answering import Answering
from kairos.policy.memory.context_limit import check_context_length
from kairos.policy.memory.estimate import GIB
from kairos.policy.memory.prompt_size import text_tokens, vision_tokens
from kairos.policy.memory.sizes import Sizes
from kairos.policy.models.precision import compute_precision
from kairos.policy.network.towers import VideoFeatures
from kairos.policy.processor import LanguageProcessor
from kairos.policy.sampling.draw import decoding_on, draw
from kairos.video.budget import PixelBudget

WAYS_OUT = (
    "Lower answerer.tokens_at_once (sets of frames answered together), answerer.frames_at_once (frames in the vision "
    "tower together) or answerer.cache_gib (features of frames that are kept)."
)


class LanguageAnswerer:
    """Answers greedily with a frozen `LanguagePolicy`. Constructing one is cheap; `build()` loads the weights.

    `mode`: "letters" scores the letters of the options in one pass and answers with the likeliest; "generate" writes
    up to `max_tokens` tokens; None takes letters where an answer is one letter (options, and no spans to name).
    """

    def __init__(
        self,
        policy: LanguagePolicy,
        mode: Literal["letters", "generate"] | None = None,
        max_tokens: int = 64,
        tokens_at_once: int = 65_536,
        frames_at_once: int = 32,
        cache_gib: float = 4.0,
    ) -> None:
        if mode not in ("letters", "generate", None):
            raise ValueError(f"answerer.mode must be letters, generate or null, got {mode!r}")
        if min(max_tokens, tokens_at_once) < 1:
            raise ValueError(f"answerer.max_tokens and tokens_at_once must be >= 1: {max_tokens=} {tokens_at_once=}")
        if not getattr(policy.processor.family, "single_frames", False):
            raise ValueError(
                "an answerer needs answerer.policy.processor.family.single_frames=true: each chosen frame is a patch "
                "of its own, with its own time"
            )
        self.policy, self.mode, self.max_tokens, self.tokens_at_once = policy, mode, max_tokens, tokens_at_once
        self.features = FrameFeatures(cache_gib, frames_at_once)
        self._warm_steps: set[object] = set()
        self._counted = {"answered_sets": 0, "tower_frames": 0, "known_frames": 0}
        self._answered = 0

    def build(self) -> None:
        """Load the weights, once, and freeze them. ValueError for a tokenizer without a chat template."""
        processor = self.policy.processor
        if processor.own_chat_template is None:
            raise ValueError(
                f"the answerer's tokenizer {processor.tokenizer} has no chat template, so nothing says how a prompt is "
                "worded for it: set answerer.policy.processor.chat_template=<jinja>"
            )
        self.policy.build()
        self.policy.train_nothing()

    def to(self, device: torch.device) -> LanguageAnswerer:
        """Move the weights; on a GPU they turn bf16."""
        self.policy.to(device)
        return self

    def sizes(self) -> Sizes | None:
        """Sizes of the model, for the memory plan; None where no `Architecture` states them."""
        return self.policy.sizes()

    def planned(self, budget: PixelBudget, frames: int) -> Answering | None:
        """What it computes at once for sets of `frames` frames, for the memory plan; None as for `sizes`."""
        if (sizes := self.sizes()) is None:
            return None
        budget = replace(budget, shown=frames)
        return Answering(
            sizes=sizes,
            text_tokens=text_tokens(budget, sizes.stamped),
            vision_tokens=vision_tokens(budget),
            frames=frames,
            frames_at_once=self.features.at_once,
            tokens_at_once=self.tokens_at_once,
            completion=0 if self.mode == "letters" else self.max_tokens,
            cache_gib=self.features.most / GIB,
        )

    @torch.no_grad()
    def answer(self, prompts: Sequence[Prompt], chosen: Sequence[Sequence[Tensor]]) -> list[list[Reply]]:
        """One reply for each set `chosen[p][s]` of frames [K] of prompt p's clip, rising.

        ValueError for a set without frames, out of order or beyond the clip, and for a prompt that cannot be asked.
        """
        asked = [
            one
            for place, (prompt, sets) in enumerate(zip(prompts, chosen, strict=True))
            for one in lay_out(self.processor, place, prompt, sets, self._letters(prompt))
        ]
        letters = [one.prompt for one in asked if one.letters]
        check_context_length(self.policy.towers, letters, 0)
        check_context_length(self.policy.towers, [one.prompt for one in asked if not one.letters], self.max_tokens)
        replies: dict[tuple[int, int], Reply] = {}
        seen: dict[int, SeenFrames] = {}
        left = [len(sets) for sets in chosen]
        for batch in batches(asked, self.tokens_at_once):
            doing = f"answering {len(batch)} sets of frames of {sum(one.tokens for one in batch)} tokens together"
            with explaining_out_of_memory(doing, WAYS_OUT), compute_precision(self.policy.device):
                places = sorted({one.place[0] for one in batch} - set(seen))
                new = [prompts[place] for place in places]
                wanted = [torch.cat(list(chosen[place])).unique().tolist() for place in places]
                seen |= zip(places, self.features(self.policy.towers, self.processor, new, wanted), strict=True)
                features = self._seen(batch, seen)
                answered = self._scored(batch, features) if batch[0].letters else self._written(batch, features)
            for one, reply in zip(batch, answered, strict=True):
                replies[one.place] = reply
                self._answered += 1
                left[one.place[0]] -= 1
                if not left[one.place[0]]:
                    del seen[one.place[0]]
        return [[replies[p, s] for s in range(len(sets))] for p, sets in enumerate(chosen)]

    def counted(self) -> dict[str, int]:
        """Counts since the last call: sets answered, frames that passed the vision tower, and that were kept."""
        now = {
            "answered_sets": self._answered,
            "tower_frames": self.features.passed,
            "known_frames": self.features.known,
        }
        new = {name: count - self._counted[name] for name, count in now.items()}
        self._counted = now
        return new

    @property
    def processor(self) -> LanguageProcessor:
        return self.policy.processor

    def _letters(self, prompt: Prompt) -> Letters | None:
        """The letters to score; None where the answer is to be written."""
        scored = self.mode == "letters" or (self.mode is None and asks_letters(prompt))
        return letters_of(prompt, self.processor) if scored else None

    def _seen(self, batch: Sequence[Asked], seen: Mapping[int, SeenFrames]) -> VideoFeatures:
        """The features of the frames of all sets, one after the other."""
        frames = [frame for one in batch for frame in seen[one.place[0]].of(one.index_K)]
        whole = torch.cat(frames, dim=1)
        video = sum(int((one.layout.ids_L == self.policy.towers.video_token).sum()) for one in batch)
        if whole.shape[1] != video:
            raise ValueError(
                f"the vision tower gave {whole.shape[1]} features for sets of frames with {video} video tokens: the "
                "answerer's family does not lay frames out one by one"
            )
        return VideoFeatures(whole[0], tuple(whole[1:]))

    def _scored(self, batch: Sequence[Asked], seen: VideoFeatures) -> list[Reply]:
        letters = [one.letters for one in batch if one.letters is not None]
        return likeliest_letters(self.policy.towers, [one.layout for one in batch], letters, seen)

    def _written(self, batch: Sequence[Asked], seen: VideoFeatures) -> list[Reply]:
        greedy = Sampling(temperature=0.0, max_actions=self.max_tokens, group_size=1)
        prompts, end = [one.prompt for one in batch], self.processor.end
        decoding = decoding_on(self.policy.device, self._warm_steps)
        drawn = draw(self.policy.towers, prompts, seen, 1, greedy, 0, end, decoding)
        texts = [
            self.processor.decode([token for token in row[:length].tolist() if token != end])
            for row, length in zip(drawn.actions_BA, drawn.length_B.tolist(), strict=True)
        ]
        return [Reply(text, truncated=bool(cut)) for text, cut in zip(texts, drawn.truncated_B.tolist(), strict=True)]
