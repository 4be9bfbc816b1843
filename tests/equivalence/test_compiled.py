"""Compiled layers score as those that run as they are written, for any number of tokens; sampling leaves them alone."""

from __future__ import annotations

import pytest
import torch
from helpers.tiny_language import batch, policy, prompts

from kairos.core.types import Sampling
from kairos.policy.memory import recompute
from kairos.policy.network.attention.varlen import Varlen
from kairos.policy.network.text.compiled import compile_layers
from kairos.policy.scoring.shared_prefix import SharedPrefix


@pytest.mark.parametrize("level", ["none", "selective"])
def test_compiled_layers_change_nothing_and_are_compiled_once(folder: str, level: str) -> None:
    """Traced whole, the attention operator included, and differentiated by torch's compiler; not generated anew."""
    language = policy(folder, SharedPrefix(Varlen()))
    vocabulary = len(language.processor.loaded)
    lengths = ([5, 2, 9, 3], [2, 8, 4, 6])
    batches = [batch(prompts(), [2, 0, 1, 0], some, vocabulary) for some in lengths]

    def scored(number: int) -> tuple[torch.Tensor, list[torch.Tensor]]:
        language.zero_grad()
        values = language(batches[number]).logprobs_BA
        values.square().sum().backward()
        return values.detach(), [p.grad.clone() for p in language.parameters() if p.grad is not None]

    plain = [scored(number) for number in range(2)]
    recompute.use(language.model, level)
    drawn = language.sample(prompts()[:1], 2, Sampling(max_actions=3), seed=0)[0]
    compile_layers(language.towers.text.layers, "aot_eager")
    language.compile_with = "aot_eager"
    torch._dynamo.reset()
    for number, (values, gradients) in enumerate(plain):
        if number == 1:
            torch._dynamo.config.error_on_recompile = True
        try:
            ours, theirs = scored(number)
        finally:
            torch._dynamo.config.error_on_recompile = False
        torch.testing.assert_close(ours, values, atol=1e-5, rtol=0)
        torch.testing.assert_close(theirs, gradients, atol=1e-4, rtol=1e-4)
    again = language.sample(prompts()[:1], 2, Sampling(max_actions=3), seed=0)[0]
    assert [r.actions_A.tolist() for r in again.rollouts] == [r.actions_A.tolist() for r in drawn.rollouts]


def test_an_unknown_backend_is_named() -> None:
    with pytest.raises(ValueError, match=r"policy\.compile must be null or one of .*got fast"):
        compile_layers([], "fast")
