"""Refuses a prompt that does not fit the model's context before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence

from kairos.core.types import Prompt
from kairos.policy.network.layouts import layout_of
from kairos.policy.network.towers import Towers


def check_context_length(towers: Towers, prompts: Sequence[Prompt], answer: int) -> None:
    """ValueError for a prompt that together with an answer of `answer` tokens exceeds `max_position_embeddings`."""
    limit = towers.model.config.get_text_config().max_position_embeddings
    for prompt in prompts:
        layout = layout_of(prompt)
        if len(layout) + answer > limit:
            seen = int((layout.ids_L == towers.video_token).sum())
            raise ValueError(
                f"prompt {prompt.uid} about clip {prompt.clip.uid} has {len(layout):,} tokens, {seen:,} of which show "
                f"the clip, and up to {answer:,} of an answer: more than the model's context of {limit:,} "
                "(max_position_embeddings); lower frames.total_pixels (or frames.max_frames), or sampling.max_actions"
            )
