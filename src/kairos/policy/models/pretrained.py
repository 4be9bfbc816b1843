"""The half of a family that transformers' models have in common: how they are loaded, and where their parts are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar, Protocol, TypeVar, cast

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from kairos.core.types import Prompt
from kairos.policy.models.fusing import fuse_layers
from kairos.policy.network.text.norms import Fused, fuse_norms
from kairos.policy.network.towers import Seen, TextTower, Towers
from kairos.policy.network.vision.patches import Cut

Model = TypeVar("Model", bound=PreTrainedModel)


class Released(ABC):
    """`kind` and `norm` are transformers' classes, `cut` the family's patches; a model with others is refused."""

    kind: ClassVar[type[PreTrainedModel]]
    norm: ClassVar[type[nn.Module]]
    fused: ClassVar[type[Fused]] = Fused
    cut: Cut

    def load(self, weights: str) -> PreTrainedModel:
        return self.ready(pretrained(self.kind, weights))

    def create(self, config: PreTrainedConfig) -> PreTrainedModel:
        return self.ready(self.kind(config))

    def ready(self, model: PreTrainedModel) -> PreTrainedModel:
        """With our norms and layers. ValueError when its patches are not those of `cut`."""
        vision = model.config.vision_config
        theirs = (vision.patch_size, vision.spatial_merge_size, vision.temporal_patch_size)
        ours = (self.cut.patch, self.cut.merge, self.cut.temporal)
        if theirs != ours:
            raise ValueError(
                f"the model's patches (side, merge, frames) are {theirs}, but processor.family cuts {ours}"
            )
        inner = cast("_Parts", model).model
        for tower in (inner.language_model, inner.visual):
            tower.config._attn_implementation = "sdpa"  # where layers are not told who sees whom
        fuse_norms(model, self.norm, self.fused)
        fuse_layers(model)
        return model

    def towers(self, model: PreTrainedModel) -> Towers:
        """The parts of a model that `load` or `create` gave."""
        parts, config = cast("_Parts", model), model.config
        return Towers(
            model=model,
            text=cast("TextTower", parts.model.language_model),
            vision=parts.model.visual,
            see=partial(self.see, parts.model.visual),
            head=parts.lm_head,
            video_token=config.video_token_id,
            banned=(
                config.video_token_id, config.image_token_id, config.vision_start_token_id, config.vision_end_token_id,
            ),
        )  # fmt: skip

    @abstractmethod
    def see(self, vision: nn.Module, prompts: Sequence[Prompt]) -> Seen:
        """One pass of the vision tower over all prompts; every prompt has a layout. Gradients flow."""


def pretrained(kind: type[Model], weights: str) -> Model:
    """fp32 weights of a folder or id. ValueError when its `model_type` is not the one of `kind`.

    transformers itself loads it all the same: it warns, and draws what it does not find at random.
    """
    config, _ = PreTrainedConfig.get_config_dict(weights)
    found, expected = config.get("model_type"), cast("type[PreTrainedConfig]", kind.config_class).model_type
    if found != expected:
        raise ValueError(
            f"{weights} is a checkpoint of model_type {found!r}, but processor.family reads {expected!r}; there are "
            f"families for {', '.join(families())}: choose the policy= option whose processor.family fits it"
        )
    return kind.from_pretrained(weights, dtype=torch.float32, use_safetensors=True)


def families() -> list[str]:
    """The model types that have a family: its file bears their name."""
    return sorted(path.stem for path in (Path(__file__).parents[1] / "families").glob("[!_]*.py"))


class _Towers(Protocol):
    language_model: PreTrainedModel
    visual: PreTrainedModel


class _Parts(Protocol):
    model: _Towers
    lm_head: nn.Module
