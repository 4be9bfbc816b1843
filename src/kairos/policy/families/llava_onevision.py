"""LLaVA-OneVision and LLaVA-Video: every frame is seen by itself, and text and frames share one rotary axis.

Source: transformers' LlavaOnevision classes; for LLaVA-Video, "Video instruction tuning with synthetic data" and the
LLaVA-NeXT repository. Frames of any size are squashed to squares on the device, as LLaVA does it (`squares` says where
ours differs); a clip that its pixel budget has already shrunk is resized twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor, nn
from transformers import (
    LlavaOnevisionForConditionalGeneration,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.qwen2.modeling_qwen2 import Qwen2RMSNorm

from kairos.core.types import Layout, Prompt, VideoClip
from kairos.policy.models.llava_next import MODEL_TYPES, config_of, load_published
from kairos.policy.models.pretrained import TransformersFamily
from kairos.policy.network.layouts import Markers
from kairos.policy.network.text.norms import mixin_class
from kairos.policy.network.towers import TextTower, Towers, VideoFeatures
from kairos.policy.network.vision.frame_times import evenly_spread
from kairos.policy.network.vision.patches import Cut, frames_of
from kairos.policy.network.vision.siglip_tower import CHUNK, LlavaParts, LlavaVision, pooled, run_tower, squares

QWEN_1_5 = (
    "{%- if messages[0].role != 'system' %}{{- '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}"
    "{%- endif %}"
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' }}"
    "{%- if message.content is string %}{{- message.content }}{%- else %}"
    "{%- for part in message.content if part.type == 'video' %}{{- '<video>\\n' }}{%- endfor %}"
    "{%- for part in message.content if part.type == 'text' %}{{- part.text }}{%- endfor %}"
    "{%- endif %}{{- '<|im_end|>\\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
"""The conversation `qwen_1_5` of the LLaVA-NeXT repository: the video comes first in its message."""
SO400M: Mapping[str, object] = {
    "hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 26, "num_attention_heads": 16,
    "image_size": 384, "patch_size": 14, "vision_use_head": False,
}  # fmt: skip
"""SigLIP-so400m-patch14-384 without its last layer and its head."""


@dataclass(frozen=True)
class LlavaOnevision(TransformersFamily):
    """The family of LLaVA-Video, and with `newline="video"` of LLaVA-OneVision."""

    kind: ClassVar[type[PreTrainedModel]] = LlavaOnevisionForConditionalGeneration
    norm: ClassVar[type[nn.Module]] = Qwen2RMSNorm

    newline: Literal["row", "video"] = "row"
    """Where the learnt newline stands: behind every row of tokens (LLaVA-Video's "grid": 14 * 15 = 210 tokens a frame),
    or once behind the video (transformers' LLaVA-OneVision: 196 tokens a frame, and 1)."""
    tell_times: bool = False
    """Tell the duration and the times of the frames in words, as LLaVA-Video was trained. "uniformly" is left out for
    frames that are not evenly spread."""
    side: int = 384
    """Side of the square that a frame is resized to, in pixels."""
    video_token: int = 151_647
    """The id that stands for a piece of a video; tokenizers of the published LLaVA-Video models have no such token."""
    chat_template: str = field(default=QWEN_1_5, repr=False)
    """Jinja; must write "<video>" for the video."""
    single_frames: bool = field(default=True, repr=False)
    """Every frame is seen by itself: nothing else is possible."""
    siglip: Mapping[str, object] = field(default_factory=lambda: dict(SO400M), repr=False, hash=False)
    """Sizes of the vision tower of checkpoints in the LLaVA-NeXT layout, which do not state them."""
    cut: Cut = field(default_factory=lambda: Cut(14, merge=2, temporal=1))
    """The model's patches and colours. Pooling by two merges 2 x 2 patches, fewer at the lower and right edge."""

    def __post_init__(self) -> None:
        if not self.single_frames:
            raise ValueError("processor.family.single_frames=false: LLaVA sees every frame by itself; leave it true")
        if self.newline not in ("row", "video"):
            raise ValueError(f'processor.family.newline must be "row" or "video", got {self.newline!r}')
        if self.side < self.cut.patch:
            raise ValueError(f"processor.family.side must be at least one patch of {self.cut.patch}, got {self.side}")

    def markers(self, tokenizer: PreTrainedTokenizerBase) -> Markers:
        """No tokens stand around a video; the tokenizer needs none."""
        return Markers("<video>", (), self.video_token, ())

    def layout(
        self, clip: VideoClip, before: str, after: str, encode: Callable[[str], Sequence[int]], markers: Markers
    ) -> Layout:
        """Positions count tokens, equal on all three axes."""
        if clip.frames_TCHW is None or not len(clip):
            raise ValueError(f"clip {clip.uid} has no frames; a language policy needs a decoded clip")
        patches = self.side // self.cut.patch
        words = f"\n{time_instruction(clip)}{after}" if self.tell_times else after
        video = [markers.pad] * self._tokens(len(clip))
        ids_L = torch.tensor([*encode(before), *video, *encode(words)])
        if int((ids_L == markers.pad).sum()) != len(video):
            raise ValueError(f"the text of a prompt about clip {clip.uid} contains a video token")
        return Layout(
            ids_L=ids_L,
            positions_3L=torch.arange(len(ids_L)).repeat(3, 1),
            grid_thw_N3=torch.tensor([[len(clip), patches, patches]]),
            seconds_per_grid=None,
        )

    def load(self, weights: str) -> PreTrainedModel:
        """Also reads the layout of the LLaVA-NeXT repository, in which LLaVA-Video is published."""
        facts, _ = PreTrainedConfig.get_config_dict(weights)
        if facts.get("model_type") not in MODEL_TYPES:
            return super().load(weights)
        stated = facts.get("mm_newline_position", "one_token")
        if {"grid": "row", "one_token": "video"}.get(stated) != self.newline:
            raise ValueError(
                f"{weights} was trained with mm_newline_position {stated!r}, but processor.family.newline is "
                f"{self.newline!r}; grid is row, one_token is video"
            )
        return self.prepared(load_published(self.kind, weights, config_of(facts, self.siglip)))

    def prepared(self, model: PreTrainedModel) -> PreTrainedModel:
        """Give `model` our norms and layers, in place. ValueError when the family says other sizes or tokens."""
        config, vision = model.config, model.config.vision_config
        theirs = (vision.patch_size, vision.image_size, config.video_token_id)
        ours = (self.cut.patch, self.side, self.video_token)
        if theirs != ours:
            raise ValueError(
                f"the model's patch, side of a frame and video token are {theirs}, but processor.family says {ours}"
            )
        if config.vision_feature_layer != -1 or config.vision_feature_select_strategy != "full":
            raise ValueError(
                "the model reads features of another layer than SigLIP's last one, or drops its first patch "
                f"({config.vision_feature_layer}, {config.vision_feature_select_strategy})"
            )
        parts = _parts(model)
        if "sliding_attention" in (getattr(config.text_config, "layer_types", None) or ()):
            raise ValueError("the model's text layers attend within a sliding window, which our layers do not")
        self.fuse(model, parts.language_model, parts.vision_tower)
        rotary = cast("nn.Module", parts.language_model.rotary_emb)
        rotary.__class__ = mixin_class(FirstAxis, type(rotary))
        cast("nn.Module", parts.vision_tower.post_layernorm).requires_grad_(False)  # it is never applied
        return model

    def towers(self, model: PreTrainedModel) -> Towers:
        parts, config = _parts(model), model.config
        return Towers(
            model=model,
            text=cast("TextTower", parts.language_model),
            vision=LlavaVision(parts),
            see=partial(self.see, cast("nn.Module", parts)),
            head=cast("nn.Module", model.lm_head),
            video_token=config.video_token_id,
            banned=(config.video_token_id, config.image_token_id),
        )

    def see(self, vision: nn.Module, prompts: Sequence[Prompt]) -> VideoFeatures:
        """`vision` is transformers' LLaVA model, which holds the newline: sharding replaces that parameter there."""
        parts = cast("LlavaParts", vision)
        frames = [squares(frames_of(prompt, parts.image_newline.device), self.side) for prompt in prompts]
        seen = torch.cat([run_tower(parts, self._pixels(some)) for some in torch.cat(frames).split(CHUNK)])
        newline_D = parts.image_newline.to(seen.dtype)
        if self.newline == "row":
            seen = torch.cat([seen, newline_D.expand(*seen.shape[:2], 1, -1)], dim=2)
            return VideoFeatures(seen.flatten(0, 2))
        clips = seen.split([len(some) for some in frames])
        return VideoFeatures(torch.cat([row for clip in clips for row in (clip.flatten(0, 2), newline_D[None])]))

    def _pixels(self, frames_TCHW: Tensor) -> Tensor:
        mean, std = (torch.tensor(x, device=frames_TCHW.device)[:, None, None] for x in (self.cut.mean, self.cut.std))
        return (frames_TCHW.float() / 255.0 - mean) / std

    def _tokens(self, frames: int) -> int:
        rows = pooled(self.side // self.cut.patch)
        return frames * rows * (rows + 1) if self.newline == "row" else frames * rows * rows + 1


class FirstAxis(nn.Module):
    """The forward pass of a rotary embedding of one axis, which takes the first of three equal ones."""

    def forward(self, x: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        return super().forward(x, position_ids[0] if position_ids.ndim == 3 else position_ids)


def time_instruction(clip: VideoClip) -> str:
    """What LLaVA-Video was told of a clip's times, without "uniformly" for frames that are not evenly spread.

    >>> time_instruction(VideoClip("a", None, torch.tensor([1.0, 2.5]), 9.0))[:76]
    'The video lasts for 9.00 seconds, and 2 frames are sampled from it. These fr'
    """
    how = "uniformly sampled" if evenly_spread(clip) else "sampled"
    times = ",".join(f"{second:.2f}s" for second in clip.seconds_T.tolist())
    return (
        f"The video lasts for {clip.duration:.2f} seconds, and {len(clip)} frames are {how} from it. These frames are "
        f"located at {times}.Please answer the following questions related to this video."
    )


def _parts(model: PreTrainedModel) -> LlavaParts:
    return cast("LlavaParts", model.model)
