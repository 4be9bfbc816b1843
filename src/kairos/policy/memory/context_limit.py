"""Refuses a prompt that does not fit the model's context, before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedModel

from kairos.core.types import Prompt
from kairos.policy.family import Family, layout_of


def check_context_length(model: PreTrainedModel, family: Family, prompts: Sequence[Prompt], answer: int) -> None:
    """ValueError for a prompt that with `answer` tokens behind it is longer than `max_position_embeddings`."""
    limit = model.config.get_text_config().max_position_embeddings
    for prompt in prompts:
        layout = layout_of(prompt)
        if len(layout) + answer > limit:
            seen = int((layout.ids_L == family.video_token(model)).sum())
            raise ValueError(
                f"prompt {prompt.uid} about clip {prompt.clip.uid} has {len(layout):,} tokens, {seen:,} of which show "
                f"the clip, and up to {answer:,} of an answer: more than the model's context of {limit:,} "
                "(max_position_embeddings); lower frames.total_pixels (or frames.max_frames), or sampling.max_actions"
            )
