"""The published layout: an agent beside its CLIP, with the published number of parameters, read by both again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.tiny_clip import clip_folder, siglip_folder
from helpers.tiny_language import clip
from transformers import CLIPConfig, CLIPModel

from kairos.core.types import Prompt, Target
from kairos.policy.embedding.features import ClipFeatures
from kairos.policy.frame_agent.agent import TemporalAgent
from kairos.policy.frame_agent.merged import MergedWithClip, merged_state
from kairos.policy.toy import ToyPolicy


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return clip_folder(tmp_path_factory.mktemp("encoders") / "clip")


def agent(unused_projection: bool = True, width: int = 32) -> TemporalAgent:
    return TemporalAgent(width=width, heads=4, seed=5, unused_projection=unused_projection)


@pytest.mark.parametrize("unused_projection", [True, False])
def test_with_clip_l_14_it_has_the_published_number_of_parameters(unused_projection: bool):
    vision = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}
    text = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
    config = CLIPConfig(text_config=text, vision_config=vision | {"patch_size": 14}, projection_dim=768)
    with torch.device("meta"):
        large, chooser = CLIPModel(config), TemporalAgent(unused_projection=unused_projection)
        state = merged_state(chooser, large)
    assert sum(tensor.numel() for name, tensor in state.items() if name.startswith("selector.")) == 3_543_552
    assert sum(tensor.numel() for tensor in state.values()) == 431_160_065


@pytest.mark.parametrize("unused_projection", [True, False])
def test_one_folder_is_read_as_agent_as_clip_and_as_encoder(unused_projection: bool, folder: str, tmp_path: Path):
    merged = tmp_path / "merged"
    said = MergedWithClip(folder)(agent(unused_projection), merged)
    assert said.endswith("parameters, read again and equal")
    for kept in (True, False):
        loaded = TemporalAgent(width=32, heads=4, seed=9, unused_projection=kept, weights=str(merged))
        loaded.build()
        for name, tensor in loaded.state_dict().items():
            zeros = name.startswith("projection") and not unused_projection
            assert torch.equal(tensor, torch.zeros_like(tensor) if zeros else agent().state_dict()[name]), name
    before, after = (CLIPModel.from_pretrained(path).state_dict() for path in (folder, merged))
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    prompt = Prompt("p", "needle", "tiny", clip("c"), "Which shape is red?", Target())
    ours, theirs = ClipFeatures(str(merged))(prompt), ClipFeatures(folder)(prompt)
    torch.testing.assert_close(ours.clip.features["clip"], theirs.clip.features["clip"])
    torch.testing.assert_close(ours.features["question"], theirs.features["question"])


def test_what_does_not_fit_is_refused_by_name(folder: str, tmp_path: Path):
    with pytest.raises(ValueError, match=r"width 16, but this CLIP's have width 32: .*as.clip="):
        MergedWithClip(folder)(agent(width=16), tmp_path / "a")
    with pytest.raises(ValueError, match="SiglipModel; the published layout holds a CLIP"):
        MergedWithClip(siglip_folder(tmp_path / "siglip"))(agent(), tmp_path / "b")
    with pytest.raises(ValueError, match="ToyPolicy, which chooses no frames: export it with as=hf"):
        MergedWithClip(folder)(ToyPolicy(), tmp_path / "c")
    assert not any((tmp_path / name).exists() for name in "abc"), "nothing was written"
