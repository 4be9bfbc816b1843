"""The shipped mini CLIP sees single frames; it ranks those of needles by questions, with something left to learn."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import cosine_similarity, normalize

from kairos.core.types import VideoClip
from kairos.data.mini.captions import CaptionedFrames, caption
from kairos.data.mini.questions import COLOUR, SHAPE
from kairos.data.mini.render import frames, visible
from kairos.data.mini.scene import LONG, draw_scene
from kairos.policy.embedding.features import ClipFeatures


def clip_of(frames_TCHW: np.ndarray) -> VideoClip:
    count = len(frames_TCHW)
    return VideoClip("c", torch.from_numpy(frames_TCHW), torch.arange(float(count)), float(count))


def test_it_names_what_single_frames_show():
    encoder, data = ClipFeatures("mini_clip"), CaptionedFrames(100, "val", seed=5)
    rng = np.random.default_rng(0)
    said = {caption(names, rng): set(names) for names in sorted(set(data.names))}
    frames_TD = normalize(encoder.of_clip(clip_of(data.frames)), dim=-1)
    texts_MD = normalize(torch.stack([encoder.of_text(text) for text in said]), dim=-1)
    named = [list(said.values())[best] for best in (frames_TD @ texts_MD.T).argmax(1).tolist()]
    right = [bool(names) == bool(shown) and names <= set(shown) for names, shown in zip(named, data.names, strict=True)]
    assert np.mean(right) > 0.65


def test_questions_rank_the_frames_of_needles_better_than_chance_and_worse_than_can_be():
    encoder, shares, chances = ClipFeatures("mini_clip"), [], []
    for seed in range(5):
        scene = draw_scene(LONG, 1000 + seed)
        needle = scene.things[0]
        video = clip_of(frames(scene).transpose(0, 3, 1, 2).copy())
        frames_TD = encoder.of_clip(video)
        shown_T = torch.tensor([needle in visible(scene, k) for k in range(len(video))])
        for question in (SHAPE.format(needle.colour), COLOUR.format(needle.shape)):
            scores_T = cosine_similarity(frames_TD, encoder.of_text(question)[None])
            shares.append(shown_T[scores_T.topk(8).indices].float().mean().item())
            chances.append(shown_T.float().mean().item())
    assert 3 * np.mean(chances) < np.mean(shares) < 0.95
