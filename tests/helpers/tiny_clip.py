"""Random CLIPs and SigLIPs small enough for tests, as folders that transformers loads."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import CLIPImageProcessor, CLIPModel, SiglipConfig, SiglipImageProcessor, SiglipModel

from kairos.policy.models.mini_clip_config import MiniClipConfig, clip_tokenizer

SIZES = MiniClipConfig(width=32, layers=2, heads=2, patch=16, length=24)


def clip_folder(folder: Path, seed: int = 0, width: int = 32) -> str:
    """A CLIP of 64x64 pixels with `width` features, whose image processor crops the middle, as OpenAI's does."""
    torch.manual_seed(seed)
    tokenizer = clip_tokenizer(SIZES.length)
    model = CLIPModel(MiniClipConfig(width, 2, 2, 16, SIZES.length)(tokenizer))
    _larger(model)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64}).save_pretrained(folder)
    return str(folder)


def siglip_folder(folder: Path, seed: int = 0) -> str:
    """A SigLIP of 48x48 pixels with 24 features; its texts are padded to 16 tokens."""
    torch.manual_seed(seed)
    tokenizer = clip_tokenizer(16)
    tower = {"hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {"vocab_size": len(tokenizer), "max_position_embeddings": 16, "projection_size": 24}
    vision = {"image_size": 48, "patch_size": 16}
    model = SiglipModel(SiglipConfig(text_config=tower | text, vision_config=tower | vision))
    _larger(model)
    model.save_pretrained(folder)
    tokenizer.model_input_names = ["input_ids"]  # SigLIP's texts have no mask: it was trained on the padding too
    tokenizer.save_pretrained(folder)
    SiglipImageProcessor(size={"height": 48, "width": 48}).save_pretrained(folder)
    return str(folder)


@torch.no_grad()
def _larger(model: CLIPModel | SiglipModel) -> None:
    """Weights larger than initial ones, so that features of different inputs differ."""
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.mul_(4.0)
