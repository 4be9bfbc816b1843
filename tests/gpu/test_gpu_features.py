"""On a GPU: features of frames and questions are the CPU's, within rounding, and are stored under the same names.

The frames have the encoder's own size: a GPU rounds a resize otherwise than a CPU (see `policy/embedding/encoder.py`).
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.tiny_clip import clip_folder
from helpers.tiny_language import clip

from kairos.core.types import Prompt, Target
from kairos.policy.embedding.encoder import encoder_of
from kairos.policy.embedding.features import ClipFeatures
from kairos.video.store.feature_stores import FeatureFiles

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-3), ("bfloat16", 0.05)])
def test_features_are_those_of_the_cpu(dtype: str, tolerance: float, tmp_path: Path) -> None:
    folder, store = clip_folder(tmp_path / "clip"), FeatureFiles(tmp_path / "features")
    prompt = Prompt("p", "needle", "tiny", clip("c", 70, 64, 64), "Which shape is red?", Target())
    on_cpu = ClipFeatures(folder, device="cpu")(prompt)
    on_gpu = ClipFeatures(folder, store, dtype)(prompt)
    assert encoder_of(folder, dtype).device == torch.device("cuda")
    for ours, theirs in (
        (on_gpu.clip.features["clip"], on_cpu.clip.features["clip"]),
        (on_gpu.features["question"], on_cpu.features["question"]),
    ):
        assert ours.device.type == "cpu" and ours.dtype == torch.float32
        assert float((ours - theirs).norm() / theirs.norm()) < tolerance
    again = ClipFeatures(folder, store, dtype, device="cpu")(prompt)
    assert torch.equal(again.clip.features["clip"], on_gpu.clip.features["clip"]), "read on any machine"
