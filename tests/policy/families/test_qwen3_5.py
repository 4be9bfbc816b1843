"""The Qwen3.5 family against transformers' own positions, vision tower and checkpoints."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.tiny_hybrid import HYBRID, hybrid
from helpers.tiny_language import batch, clip, policy, prompt, prompts
from safetensors.torch import load_file, save_file
from transformers import Qwen3_5ForConditionalGeneration
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES

from kairos.policy.families.qwen3_5 import Qwen35
from kairos.policy.language import LanguagePolicy
from kairos.policy.network.delta_net.backends import Torch
from kairos.policy.network.text.delta_layer import GatedDeltaNet
from kairos.policy.processor import LanguageProcessor


@pytest.fixture(scope="module")
def tiny(folder: str) -> LanguagePolicy:
    return hybrid(folder)


@pytest.mark.parametrize("frames,height,width,fps", [(8, 64, 64, 2.0), (5, 64, 96, 4.0), (1, 96, 32, 1.5)])
def test_positions_are_those_of_transformers(
    tiny: LanguagePolicy, frames: int, height: int, width: int, fps: float
) -> None:
    layout = tiny.processor(prompt("p", "When is it?", clip("p", frames, height, width, fps=fps)))
    positions, _ = tiny.model.model.get_rope_index(
        layout.ids_L[None],
        mm_token_type_ids=2 * (layout.ids_L == tiny.processor.markers.pad).int()[None],
        video_grid_thw=layout.grid_thw_N3,
    )
    assert torch.equal(layout.positions_3L, positions[:, 0])


def test_the_processor_that_the_layout_is_compared_with_is_the_models_own() -> None:
    assert PROCESSOR_MAPPING_NAMES["qwen3_5"] == "Qwen3VLProcessor"


def test_the_vision_tower_is_that_of_transformers(tiny: LanguagePolicy) -> None:
    laid_out = [replace(p, layout=tiny.processor(p)) for p in prompts()]
    seen = tiny.towers.see(laid_out)
    tower = tiny.model.model.visual
    patches, grids = tiny.family.cut.of(laid_out, torch.device("cpu"))
    ours = tower.config._attn_implementation
    tower.config._attn_implementation = "sdpa"
    expected = tower(patches, grid_thw=torch.tensor(grids))
    tower.config._attn_implementation = ours
    torch.testing.assert_close(seen.tokens_ND, expected.pooler_output, atol=2e-5, rtol=1e-4)
    assert not seen.deepstack


def test_a_saved_model_scores_the_same_and_is_one_that_transformers_loads(tiny: LanguagePolicy, tmp_path: Path) -> None:
    """A checkpoint may also hold heads for multi-token prediction; the tied head is stored once."""
    tiny.save_pretrained(tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    assert "lm_head.weight" not in state
    save_file({**state, "mtp.fc.weight": torch.zeros(2, 2)}, tmp_path / "model.safetensors", {"format": "pt"})
    again = LanguagePolicy(LanguageProcessor(str(tmp_path), Qwen35()), str(tmp_path), freeze=("vision",))
    again.build()
    rollouts = batch(prompts(), [0, 1, 2, 2], [3, 1, 5, 2], len(tiny.processor.loaded))
    torch.testing.assert_close(again(rollouts).logprobs_BA, tiny(rollouts).logprobs_BA)
    assert again.model.lm_head.weight is again.model.model.language_model.embed_tokens.weight
    plain = Qwen3_5ForConditionalGeneration.from_pretrained(tmp_path, dtype=torch.float32)
    assert plain.state_dict().keys() == again.model.state_dict().keys()
    assert not any(isinstance(module, GatedDeltaNet) for module in plain.modules())


def test_a_frozen_part_is_frozen_and_the_rest_trains(folder: str) -> None:
    for part in ("vision", "text"):
        language = hybrid(folder, freeze=(part,))
        parts = {"vision": language.model.model.visual, "text": language.model.model.language_model}
        for name, module in parts.items():
            assert all(parameter.requires_grad != (name == part) for parameter in module.parameters())


def test_the_reference_is_a_copy_that_scores_the_same(tiny: LanguagePolicy) -> None:
    rollouts = batch(prompts(), [0, 1, 2, 2], [3, 1, 5, 2], len(tiny.processor.loaded))
    torch.testing.assert_close(tiny.reference()(rollouts).logprobs_BA, tiny(rollouts).logprobs_BA.detach())


def test_a_checkpoint_of_another_family_is_refused(folder: str, tmp_path: Path) -> None:
    policy(folder).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="model_type 'qwen3_vl'"):
        Qwen35().load(str(tmp_path))


def test_kernels_reach_every_layer_and_the_family_pickles(folder: str) -> None:
    family = Qwen35(kernels=Torch())
    assert pickle.loads(pickle.dumps(family)) == family
    model = family.create(HYBRID(LanguageProcessor(folder).loaded))
    nets = [module for module in model.modules() if isinstance(module, GatedDeltaNet)]
    assert len(nets) == 2 and all(net.kernels == Torch() for net in nets)
