"""The parts of rollout=vllm that need no vLLM: weights on their way, their bits, positions, options."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
import torch
from helpers.tiny_language import FAMILIES, policy, prompts

from kairos.policy.models.lora import LoRA
from kairos.policy.network.layouts import layout_of
from kairos.policy.network.towers import VideoFeatures
from kairos.rollout.vllm.engine import VLLM
from kairos.rollout.vllm.hooks import PLACE, Hooks
from kairos.rollout.vllm.weights import BitSum, live_weights


def test_weights_go_out_under_the_names_of_a_checkpoint_without_the_vision_tower(folder: str) -> None:
    built = policy(folder)
    sent = dict(live_weights(built))
    state = built.towers.model.state_dict()
    named = {name for name in state if ".visual." not in name and name != "lm_head.weight"}  # which is tied
    assert set(sent) == named
    assert all(torch.equal(sent[name], state[name]) for name in named)


def test_an_adapter_goes_out_as_an_export_merges_it(folder: str) -> None:
    built = FAMILIES["qwen2_5_vl"].policy(folder, adapter=LoRA(rank=4, alpha=8))
    assert built.adapter is not None
    merged, sent = built.adapter.merged(built.towers.model), dict(live_weights(built))
    assert set(sent) == {name for name in merged if ".visual." not in name}
    assert all(torch.allclose(sent[name], merged[name], atol=1e-6) for name in sent)


def test_the_sum_of_bits_does_not_depend_on_order_or_cuts_and_sees_the_smallest_change() -> None:
    weights = [torch.randn(7, 5), torch.randn(3, 5), torch.randn(4)]
    for dtype in (torch.float32, torch.bfloat16):
        one, other, changed = BitSum(dtype), BitSum(dtype), BitSum(dtype)
        passed = [tensor for _, tensor in one.passing((str(n), tensor) for n, tensor in enumerate(weights))]
        assert all(a is b for a, b in zip(passed, weights, strict=True))
        other.add(weights[2])
        other.add(torch.cat(weights[:2]))  # as vLLM joins queries, keys and values
        assert one.value() == other.value() != 0
        bits = weights[0].to(dtype).view(one.bits).clone()
        bits[0, 0] += 1
        changed.add(bits.view(dtype))
        for tensor in weights[1:]:
            changed.add(tensor)
        assert changed.value() == one.value() + 1


def test_vllm_gets_our_positions_and_features_and_those_of_an_answer_that_it_resumes(folder: str) -> None:
    built = policy(folder)
    layout = layout_of(built.look(prompts()[:1], 4)[0][0])
    hooks, features = Hooks((3, 4), torch.bfloat16), torch.randn(6, 8)
    hooks.offer("a", 5, layout, VideoFeatures(features, (features + 1,)))

    class Video:
        identifier = "a"

    ids = layout.ids_L.tolist()
    positions_3L, delta = hooks.positions(ids, [Video()])
    assert torch.equal(positions_3L, layout.positions_3L)
    assert len(ids) + delta == int(layout.positions_3L.max()) + 1
    resumed, same = hooks.positions([*ids, 7, 8], [Video()])
    assert same == delta and resumed[:, len(ids) :].tolist() == [[len(ids) + delta, len(ids) + delta + 1]] * 3
    plain, none = hooks.positions([1, 2, 3], [])
    assert plain.tolist() == [[0, 1, 2]] * 3 and none == 0
    (embedded,) = hooks.embed(**{PLACE: torch.tensor([[5]])})
    assert torch.equal(embedded, torch.cat([features, features + 1], dim=1).bfloat16())
    assert hooks.asked == {"a"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"context": 0}, "must be >= 1"), ({"kv_cache_gib": 0.0}, r"rollout\.kv_cache_gib must be > 0, got 0"),
        ({"dtype": "half"}, "must be bfloat16, float32 or null, got 'half'"),
        ({"tolerance": 0.0}, "or null for no check"),
    ],
)  # fmt: skip
def test_wrong_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VLLM(**options)


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed here")
def test_without_vllm_one_line_says_how_to_install_it() -> None:
    with pytest.raises(ValueError, match=r"rollout=vllm needs vLLM, which is not installed: pip install .*\[vllm\]"):
        VLLM().setup(torch.device("cpu"))
