"""Published weights of a temporal agent: both prefixes, the unused projection, and what is said of other files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from kairos.policy.frame_agent.agent import TemporalAgent
from kairos.policy.frame_agent.published import PREFIXES, published_names


def agent(**options: bool) -> TemporalAgent:
    return TemporalAgent(width=16, heads=2, seed=5, **options)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_an_agent_reads_what_was_published_under_either_prefix(prefix: str, tmp_path: Path) -> None:
    there = {"clip.logit_scale": torch.zeros(1), **published_names(agent().state_dict(), prefix)}
    save_file(there, tmp_path / "model.safetensors")
    for path in (tmp_path, tmp_path / "model.safetensors"):
        loaded = TemporalAgent(width=16, heads=2, seed=9, weights=str(path))
        loaded.build()
        for name, tensor in agent().state_dict().items():
            assert torch.equal(loaded.state_dict()[name], tensor), name


def test_the_unused_projection_may_be_left_out(tmp_path: Path) -> None:
    save_file(published_names(agent().state_dict()), tmp_path / "model.safetensors")
    loaded = TemporalAgent(width=16, heads=2, seed=9, unused_projection=False, weights=str(tmp_path))
    loaded.build()
    frames, question = torch.randn(9, 16), torch.randn(16)
    torch.testing.assert_close(loaded.scores(frames, question), agent().scores(frames, question))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("no such file", "neither a safetensors file nor a folder"),
        ("another model", "holds no temporal agent"),
        ("a layer is missing", "linear layers q, k, v and o"),
    ],
)
def test_other_weights_are_refused_by_name(change: str, message: str, tmp_path: Path) -> None:
    named = published_names(agent().state_dict())
    if change == "another model":
        save_file({"text_model.weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    elif change == "a layer is missing":
        save_file({k: v for k, v in named.items() if "ffn_q" not in k}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=message):
        TemporalAgent(width=16, heads=2, weights=str(tmp_path)).build()
