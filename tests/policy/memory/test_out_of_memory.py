"""When a device's memory is not enough, the error names what can be changed and what that costs."""

from __future__ import annotations

import pytest
import torch
from helpers.tiny_language import batch, policy, prompts

from kairos.core.out_of_memory import OutOfMemory
from kairos.core.types import Sampling
from kairos.policy.memory.savings import SAVINGS


def test_scoring_and_sampling_out_of_memory_name_every_saving_and_its_cost(folder: str) -> None:
    language = policy(folder)
    rollouts = batch(prompts(), [0, 1, 2, 2], [3, 5, 2, 4], len(language.processor.loaded))

    def full(module: object, inputs: object) -> None:
        raise torch.OutOfMemoryError(
            "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.11 GiB. If reserved but "
            "unallocated memory is large try setting something."
        )

    language.model.model.language_model.layers[1].register_forward_pre_hook(full)
    with pytest.raises(OutOfMemory, match="while scoring 4 rows of 3 prompts of 225 tokens together") as scored:
        language(rollouts)
    with pytest.raises(OutOfMemory, match="sampling 8 rows for each of 3 prompts"):
        language.sample(rollouts.prompts, 8, Sampling(max_actions=2), seed=0)
    said = str(scored.value)
    assert "Tried to allocate 2.00 GiB" in said and "If reserved" not in said
    for saving in SAVINGS:
        assert saving.option in said and saving.costs in said
    assert "scripts/plan.py" in said
    assert isinstance(scored.value, ValueError), "scripts print it without a stack trace"
    assert language.model.training, "sampling left the mode as it was"


def test_other_errors_pass_unchanged(folder: str) -> None:
    language = policy(folder)
    rollouts = batch(prompts(), [0, 1, 2], [3, 5, 2], len(language.processor.loaded))

    def broken(module: object, inputs: object) -> None:
        raise ZeroDivisionError

    language.model.lm_head.register_forward_pre_hook(broken)
    with pytest.raises(ZeroDivisionError):
        language(rollouts)
