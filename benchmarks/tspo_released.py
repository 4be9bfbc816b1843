"""TSPO's released way to answer sets of frames, written anew: one by one, every set encodes its own frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor
from transformers import PreTrainedModel

from kairos.core.types import Prompt
from kairos.policy.answering.asked import begun
from kairos.policy.answering.language import LanguageAnswerer
from kairos.policy.answering.letters import letters_of
from kairos.policy.language import LanguagePolicy
from kairos.policy.network.layouts import layout_of
from kairos.policy.network.vision.patches import frames_of
from kairos.policy.network.vision.siglip_tower import squares

SMALL_TEXT = [
    f"answerer.policy.config.text.{name}={value}"
    for name, value in {
        "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2,
    }.items()
]  # fmt: skip


@dataclass(frozen=True)
class Model:
    """An option of conf/answerer, and how transformers' model of it is given a prompt."""

    side: int
    """Side of a frame in pixels."""
    given: Callable[[PreTrainedModel, LanguagePolicy, Prompt], dict[str, Tensor]]
    """(transformers' model, our policy, a laid out prompt) -> what `generate` takes."""
    small_side: int
    small: Sequence[str]
    """With --tiny: side of a frame, and overrides that make the model small."""


def llava_inputs(model: PreTrainedModel, policy: LanguagePolicy, prompt: Prompt) -> dict[str, Tensor]:
    """Embeddings: transformers' class puts one newline behind the video, LLaVA-Video one behind every row."""
    inner, layout, device = model.model, layout_of(prompt), policy.device
    frames = squares(frames_of(prompt, device), model.config.vision_config.image_size)
    pixels = ((frames.float() / 255 - 0.5) / 0.5).to(model.dtype)
    read = inner.vision_tower(pixels, output_hidden_states=True).hidden_states[-1]
    pooled = inner.apply_pooling(inner.multi_modal_projector(read))
    rows = pooled.unflatten(1, (int(pooled.shape[1] ** 0.5), -1))
    newline = inner.image_newline.expand(*rows.shape[:2], 1, -1)
    ids = layout.ids_L.to(device)
    embedded = inner.language_model.embed_tokens(ids)
    embedded[ids == policy.towers.video_token] = torch.cat([rows, newline], dim=2).flatten(0, 2)
    return {"inputs_embeds": embedded[None], "attention_mask": torch.ones_like(ids)[None]}


def qwen_inputs(model: PreTrainedModel, policy: LanguagePolicy, prompt: Prompt) -> dict[str, Tensor]:
    """Patches; transformers is told our positions, since its own hold for evenly spread frames only."""
    layout, device = layout_of(prompt), policy.device
    ids, positions = layout.ids_L.to(device)[None], layout.positions_3L.to(device)[:, None]
    delta = positions.max() + 1 - ids.shape[1]
    model.model.get_rope_index = lambda *_, **__: (positions, delta[None, None])
    return {
        "input_ids": ids, "attention_mask": torch.ones_like(ids),
        "pixel_values_videos": policy.family.cut.patches(frames_of(prompt, device)).to(model.dtype),  # type: ignore[attr-defined]
        "video_grid_thw": layout.grid_thw_N3.to(device),
        "mm_token_type_ids": (2 * (ids == policy.towers.video_token)).int(),
    }  # fmt: skip


MODELS: Mapping[str, Model] = {
    "llava_video_7b": Model(
        384, llava_inputs, 42,
        [
            *SMALL_TEXT, "answerer.policy.config.vision.hidden_size=32",
            "answerer.policy.config.vision.intermediate_size=48", "answerer.policy.config.vision.num_hidden_layers=2",
            "answerer.policy.config.vision.num_attention_heads=2", "answerer.policy.config.vision.image_size=42",
            "+answerer.policy.processor.family.side=42",
        ],
    ),
    "qwen2_5_vl_7b": Model(
        392, qwen_inputs, 56,
        [
            *SMALL_TEXT, "answerer.policy.config.text.rope_parameters.mrope_section=[4,2,2]",
            "answerer.policy.config.vision.hidden_size=32", "answerer.policy.config.vision.intermediate_size=48",
            "answerer.policy.config.vision.depth=2", "answerer.policy.config.vision.num_heads=2",
            "answerer.policy.config.vision.out_hidden_size=64",
            "answerer.policy.config.vision.fullatt_block_indexes=[1]",
        ],
    ),
}  # fmt: skip


class Released:
    """transformers' model with the weights of ours, in bf16 on a GPU: batch 1, every set encodes its own frames."""

    def __init__(self, answerer: LanguageAnswerer, given: Callable[..., dict[str, Tensor]]) -> None:
        self.policy, self.processor, self.given = answerer.policy, answerer.processor, given
        ours = self.policy.towers.model
        kind = cast("type[PreTrainedModel]", self.policy.family.kind)  # type: ignore[attr-defined]
        dtype = torch.bfloat16 if self.policy.device.type == "cuda" else torch.float32
        with self.policy.device:
            self.model = kind._from_config(ours.config, dtype=dtype, attn_implementation="sdpa").eval()
        self.model.load_state_dict(ours.state_dict())

    @torch.no_grad()
    def answer(self, prompts: Sequence[Prompt], chosen: Sequence[Sequence[Tensor]], tokens: int) -> list[list[str]]:
        """Token ids as text, set after set."""
        return [
            [self._write(self.laid_out(prompt, index_K), tokens)[0] for index_K in sets]
            for prompt, sets in zip(prompts, chosen, strict=True)
        ]

    @torch.no_grad()
    def letters(self, prompts: Sequence[Prompt], chosen: Sequence[Sequence[Tensor]]) -> list[Tensor]:
        """The probability of each option's letter [options], for every set."""
        found = []
        for prompt, sets in zip(prompts, chosen, strict=True):
            letters = letters_of(prompt, self.processor)
            for index_K in sets:
                shown = self.laid_out(prompt, index_K)
                shown = replace(shown, layout=begun(layout_of(shown), letters.prefix))
                found.append(self._write(shown, 1)[1][list(letters.tokens)].float().softmax(-1).cpu())
        return found

    def laid_out(self, prompt: Prompt, index_K: Tensor) -> Prompt:
        shown = replace(prompt, clip=prompt.clip.take(index_K), features={})
        return replace(shown, layout=self.processor(shown))

    def _write(self, shown: Prompt, tokens: int) -> tuple[str, Tensor]:
        given = self.given(self.model, self.policy, shown)
        generate = cast("Callable[..., object]", self.model.generate)
        written = cast("dict[str, Tensor]", generate(
            **given, do_sample=False, max_new_tokens=tokens, min_new_tokens=tokens, return_dict_in_generate=True,
            output_logits=tokens == 1, suppress_tokens=list(self.policy.towers.banned),
        ))  # fmt: skip
        ids = written["sequences"][0, -tokens:].tolist()
        return " ".join(map(str, ids)), written["logits"][0][0] if tokens == 1 else torch.empty(0)
