"""The base class of the families: loads a transformers model, gives it our layers and finds its towers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar, Protocol, TypeVar, cast

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin

from kairos.core.seals import check_folder
from kairos.core.types import Prompt
from kairos.policy.models.fusing import fuse_layers
from kairos.policy.models.mini_tokenizer import token_id
from kairos.policy.network.layouts import Markers
from kairos.policy.network.text.norms import FusedNorm, fuse_norms
from kairos.policy.network.towers import TextTower, Towers, VideoFeatures
from kairos.policy.network.vision.patches import Cut
from kairos.video.budget import PixelBudget

Model = TypeVar("Model", bound=PreTrainedModel)
MARKERS = ("<|vision_start|>", "<|video_pad|>", "<|vision_end|>")
"""What stands before, for and behind a video in the texts of Qwen's models."""


class TransformersFamily(ABC):
    """A family whose model is one of transformers' classes."""

    kind: ClassVar[type[PreTrainedModel]]
    """transformers' class of the model."""
    norm: ClassVar[type[nn.Module]]
    """transformers' class of the text tower's norms."""
    fused: ClassVar[type[FusedNorm]] = FusedNorm
    """The forward pass that these norms get."""
    cut: Cut
    """The family's patches; a model with other patches is refused."""

    @property
    def chat_template(self) -> str | None:
        """The tokenizer's own."""
        return None

    def markers(self, tokenizer: PreTrainedTokenizerBase) -> Markers:
        """Those of Qwen's models."""
        start, pad, end = (token_id(tokenizer, token) for token in MARKERS)
        return Markers("".join(MARKERS), (start,), pad, (end,))

    def hub_processor(
        self, tokenizer: PreTrainedTokenizerBase, chat_template: str, budget: PixelBudget
    ) -> ProcessorMixin | None:
        """None: unless a family says otherwise, transformers has none with its layout."""
        return None

    def load(self, weights: str) -> PreTrainedModel:
        return self.prepared(pretrained(self.kind, weights))

    def create(self, config: PreTrainedConfig) -> PreTrainedModel:
        return self.prepared(self.kind(config))

    def prepared(self, model: PreTrainedModel) -> PreTrainedModel:
        """Give `model` our norms and layers, in place. ValueError when its patches are not those of `cut`."""
        vision = model.config.vision_config
        theirs = (vision.patch_size, vision.spatial_merge_size, vision.temporal_patch_size)
        ours = (self.cut.patch, self.cut.merge, self.cut.temporal)
        if theirs != ours:
            raise ValueError(
                f"the model's patches (side, merge, frames) are {theirs}, but processor.family cuts {ours}"
            )
        inner = cast("_Parts", model).model
        self.fuse(model, inner.language_model, inner.visual)
        return model

    def fuse(self, model: PreTrainedModel, *towers: PreTrainedModel) -> None:
        """Give `model`, whose text and vision towers are `towers`, our norms and layers."""
        for tower in towers:
            tower.config._attn_implementation = "sdpa"  # for the padded forward pass, without a context
        fuse_norms(model, self.norm, self.fused)
        fuse_layers(model)

    def towers(self, model: PreTrainedModel) -> Towers:
        """The parts of a model that `load` or `create` returned."""
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
    def see(self, vision: nn.Module, prompts: Sequence[Prompt]) -> VideoFeatures:
        """Run the vision tower once over all prompts, each of which has a layout. Gradients flow."""


def pretrained(kind: type[Model], weights: str) -> Model:
    """Load the fp32 weights of a folder or id. ValueError when its `model_type` is not that of `kind`.

    BrokenFile where a sealed file of the folder is damaged.

    transformers would only warn about another type, and draw the weights that it does not find.
    """
    check_folder(Path(weights))
    config, _ = PreTrainedConfig.get_config_dict(weights)
    found, expected = config.get("model_type"), cast("type[PreTrainedConfig]", kind.config_class).model_type
    if found != expected:
        raise ValueError(
            f"{weights} is a checkpoint of model_type {found!r}, but processor.family reads {expected!r}; there are "
            f"families for {', '.join(families())}: choose the policy= option whose processor.family fits it"
        )
    return kind.from_pretrained(weights, dtype=torch.float32, use_safetensors=True)


def families() -> list[str]:
    """The model types that have a family; each is the name of the family's file."""
    return sorted(path.stem for path in (Path(__file__).parents[1] / "families").glob("[!_]*.py"))


class _Towers(Protocol):
    language_model: PreTrainedModel
    visual: PreTrainedModel


class _Parts(Protocol):
    model: _Towers
    lm_head: nn.Module
