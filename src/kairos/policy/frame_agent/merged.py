"""Writes an agent and the CLIP whose features it reads as one model, in the published layout."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import AutoModel, CLIPModel

from kairos.core.protocols import Policy
from kairos.policy.embedding.encoder import ImageTextEncoder, files_of
from kairos.policy.frame_agent.agent import TemporalAgent
from kairos.policy.frame_agent.published import published_names, read_published
from kairos.video.budget import PixelBudget

WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class MergedWithClip:
    """`(policy, folder) -> what was written`: `selector.` keys beside the weights of a CLIP, and all its other files.

    The folder is read by `policy.weights` (the agent), `enrich.clip.weights` and transformers' CLIPModel (the CLIP), in
    fp32. An agent without the unused projection gets one of zeros: 3,543,552 parameters at width 768, and 431,160,065
    with CLIP-L/14, as TSPO (arXiv 2508.04369) publishes them. `clip` is a folder, a Hugging Face id or "mini_clip".
    A pixel budget is not part of that layout: `frames` is not written.
    """

    clip: str

    def __call__(self, policy: Policy, folder: Path, frames: PixelBudget | None = None) -> str:
        """ValueError for another policy, a CLIP of another width, and where what is read again differs."""
        if not isinstance(policy, TemporalAgent):
            raise ValueError(
                f"the run trained a {type(policy).__name__}, which chooses no frames: export it with as=hf"
            )
        source = ImageTextEncoder(self.clip, torch.float32, torch.device("cpu")).folder
        state = merged_state(policy, clip_of(source, self.clip))
        folder.mkdir(parents=True, exist_ok=True)
        for file in files_of(source):
            if file.name != "config.json" and not file.name.endswith((".safetensors", ".safetensors.index.json")):
                (folder / file.name).write_bytes(file.read_bytes())
        facts = json.loads((source / "config.json").read_text(encoding="utf-8"))
        facts["selector"] = {"width": policy.query.in_features, "heads": policy.heads, "window": policy.window}
        (folder / "config.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
        save_file(state, folder / WEIGHTS, {"format": "pt"})
        _compare(policy, folder)
        return f"{folder}: {sum(tensor.numel() for tensor in state.values()):,} parameters, read again and equal"


def clip_of(source: Path, name: str) -> CLIPModel:
    """The CLIP in a folder, fp32; ValueError for any other model."""
    model = AutoModel.from_pretrained(source, dtype=torch.float32, use_safetensors=True, trust_remote_code=False)
    if not isinstance(model, CLIPModel):
        raise ValueError(f"as.clip={name} is a {type(model).__name__}; the published layout holds a CLIP")
    return model


def merged_state(agent: TemporalAgent, clip: CLIPModel) -> dict[str, Tensor]:
    """The tensors of both under their published names. ValueError where the agent reads features of another width."""
    width, projected = agent.query.in_features, clip.config.projection_dim
    if width != projected:
        raise ValueError(
            f"the agent reads features of width {width}, but this CLIP's have width {projected}: name the CLIP that it "
            "was trained with as.clip=<folder or id>"
        )
    own = {name: tensor.detach() for name, tensor in agent.state_dict().items()}
    if agent.projection is None:
        unused = nn.Linear(width, width, device=agent.query.weight.device)
        own |= {f"projection.{name}": torch.zeros_like(tensor) for name, tensor in unused.state_dict().items()}
    whole = {name: tensor.detach().contiguous() for name, tensor in clip.state_dict().items()}
    return whole | published_names(own)


def _compare(agent: TemporalAgent, folder: Path) -> None:
    again = read_published(str(folder), agent.projection is not None)
    state = cast("dict[str, Tensor]", agent.state_dict())
    wrong = [name for name, tensor in state.items() if not torch.equal(tensor.cpu(), again[name])]
    if wrong or again.keys() != state.keys():
        raise ValueError(f"{folder}: what was written differs from the agent in {wrong or sorted(again.keys())}")
