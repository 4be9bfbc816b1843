"""Train the mini CLIP on single frames of the mini world and captions.

A minute or two on a CPU. Longer training ranks frames by questions so well that an agent has nothing left to learn.

Examples:

    kairos mini_clip output=clip
    kairos mini_clip output=clip steps=20 train_frames=500        # to try it
    kairos mini_clip output=clip seed=1
    kairos mini_clip output=clip device=cpu
    kairos mini_clip output=clip sizes.layers=2 sizes.width=64    # a smaller one
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize
from transformers import CLIPImageProcessor, CLIPModel, PreTrainedTokenizerBase

from kairos.cli import command, user_errors
from kairos.core.seeds import mix
from kairos.data.mini.captions import CaptionedFrames, caption, facts
from kairos.data.mini.questions import COLOUR, SHAPE
from kairos.data.mini.render import frames, visible
from kairos.data.mini.scene import LONG, draw_scene
from kairos.policy.embedding.contrastive import contrastive_loss, true_pairs
from kairos.policy.embedding.encoder import ImageTextModel
from kairos.policy.models.mini_clip_config import MiniClipConfig, clip_tokenizer

WARMUP = 100


class Encoders:
    """A CLIP in training: uint8 frames and texts to features on its device."""

    def __init__(self, sizes: MiniClipConfig, seed: int, device: torch.device) -> None:
        torch.manual_seed(seed)
        self.tokenizer: PreTrainedTokenizerBase = clip_tokenizer(sizes.length)
        self.images = CLIPImageProcessor(
            size={"height": 64, "width": 64}, do_center_crop=False, image_mean=[0.5] * 3, image_std=[0.5] * 3
        )
        self.model, self.device = CLIPModel(sizes(self.tokenizer)), device
        self.model.to(device)  # type: ignore[arg-type]
        self._features = cast("ImageTextModel", self.model)

    def pixels(self, frames_NCHW: np.ndarray) -> Tensor:
        """What the model sees of frames: fp32, on its device."""
        chunks = torch.from_numpy(frames_NCHW).split(1000)
        return torch.cat([self.images(c.to(self.device), return_tensors="pt")["pixel_values"] for c in chunks])

    def seen(self, pixels_NCHW: Tensor) -> Tensor:
        return self._features.get_image_features(pixel_values=pixels_NCHW).pooler_output

    def frames(self, frames_NCHW: np.ndarray) -> Tensor:
        return self.seen(self.pixels(frames_NCHW))

    def texts(self, texts: Sequence[str]) -> Tensor:
        tokens = self.tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt").to(self.device)
        return self._features.get_text_features(**tokens).pooler_output

    def save(self, folder: Path) -> None:
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        self.images.save_pretrained(folder)


@command("mini_clip")
def main(config: DictConfig) -> None:
    with user_errors():
        device = torch.device(config.device or ("cuda" if torch.cuda.is_available() else "cpu"))
        data = CaptionedFrames(config.train_frames, "train", config.seed)
        held_out = CaptionedFrames(config.held_out, "val", config.seed)
        print(f"rendered {len(data.frames)} frames to train on and {len(held_out.frames)} to measure on")
        encoders = Encoders(instantiate(config.sizes), config.seed, device)
        print(f"{sum(p.numel() for p in encoders.model.parameters()):,} parameters on {device}")
        train(encoders, data, config.steps, config.batch, config.learning_rate, config.seed)
        print(measured(encoders, held_out))
        print(needles(encoders, config.needles))
        encoders.save(Path(config.output))
        print(config.output)


def train(encoders: Encoders, data: CaptionedFrames, steps: int, batch: int, peak: float, seed: int) -> None:
    """AdamW over random batches; every frame gets a new caption each time."""
    model = encoders.model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak, betas=(0.9, 0.98), weight_decay=0.05)
    rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _warm(step) * _cosine(step, steps))
    rng = np.random.default_rng(mix(seed, "mini clip"))
    pixels = encoders.pixels(data.frames)
    for step in range(steps):
        rows = rng.choice(len(data.frames), min(batch, len(data.frames)), replace=False)
        texts = [caption(data.names[row], rng) for row in rows]
        shown_NF = torch.from_numpy(data.facts[rows])  # a caption states all that its frame shows
        true_NM = true_pairs(shown_NF, shown_NF)
        scale = model.logit_scale.exp().clamp(max=100.0)
        features = encoders.seen(pixels[torch.from_numpy(rows)]), encoders.texts(texts)
        loss = contrastive_loss(*features, true_NM.to(encoders.device), scale)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        rate.step()
        if step % 200 == 0 or step == steps - 1:
            print(f"step {step:5d}  loss {loss.item():.3f}", flush=True)
    model.eval()


@torch.no_grad()
def measured(encoders: Encoders, data: CaptionedFrames) -> str:
    """How often the likeliest of all full captions is true of a held-out frame."""
    frames_ND = torch.cat([encoders.frames(data.frames[i : i + 500]) for i in range(0, len(data.frames), 500)])
    rng = np.random.default_rng(0)
    captions = {caption(names, rng): names for names in sorted(set(data.names))}
    texts_MD = encoders.texts(list(captions))
    stated = np.stack([facts(names) for names in captions.values()])
    true_NM = true_pairs(torch.from_numpy(data.facts), torch.from_numpy(stated))
    best_N = (normalize(frames_ND, dim=-1) @ normalize(texts_MD, dim=-1).T).argmax(1).cpu()
    right = true_NM[torch.arange(len(best_N)), best_N].float().mean()
    return (
        f"held-out frames: the best of {len(captions)} captions is true of {right:.3f} "
        f"(chance {true_NM.float().mean():.3f})"
    )


@torch.no_grad()
def needles(encoders: Encoders, scenes: int, count: int = 8) -> str:
    """How well the questions of needle clips rank their frames: which of the best `count` show what is asked about."""
    areas, shares, chances = [], [], []
    for i in range(scenes):
        scene = draw_scene(LONG, mix("mini clip needles", i))
        frames_TD = encoders.frames(frames(scene).transpose(0, 3, 1, 2).copy())
        thing = scene.things[0]
        shown_T = torch.tensor([thing in visible(scene, k) for k in range(len(frames_TD))])
        for question in (SHAPE.format(thing.colour), COLOUR.format(thing.shape)):
            scores_T = cosine_similarity(frames_TD, encoders.texts([question])).cpu()
            areas.append(_area(scores_T, shown_T))
            shares.append(shown_T[scores_T.topk(count).indices].float().mean().item())
            chances.append(shown_T.float().mean().item())
    return (
        f"needles ranked by their questions: area under the ROC curve {np.mean(areas):.3f} (where the colour is given "
        f"{np.mean(areas[::2]):.3f}, the shape {np.mean(areas[1::2]):.3f}); of the best {count} frames "
        f"{np.mean(shares):.3f} show what is asked about ({np.mean(shares[::2]):.3f}, {np.mean(shares[1::2]):.3f}; "
        f"chance {np.mean(chances):.3f})"
    )


def _area(scores_N: Tensor, shown_N: Tensor) -> float:
    """The probability that a frame with the fact scores higher than one without."""
    above = scores_N[shown_N][:, None] - scores_N[~shown_N]
    return ((above > 0).float() + 0.5 * (above == 0).float()).mean().item()


def _warm(step: int) -> float:
    return min(1.0, (step + 1) / WARMUP)


def _cosine(step: int, steps: int) -> float:
    return (1 + math.cos(math.pi * step / steps)) / 2


if __name__ == "__main__":
    main()
