"""An exported model, in transformers' own hands and by the lines of docs/, answers as Kairos does, token for token."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.tiny_language import WINDOWED
from transformers import AutoProcessor, PreTrainedTokenizerBase, ProcessorMixin

from kairos.compose import compose, part
from kairos.core.types import Prompt, Sampling, Target, VideoSource
from kairos.data.templates.answer import AnswerOnly
from kairos.policy.families.qwen2_5_vl import Qwen25VL
from kairos.policy.families.qwen3_vl import Qwen3VL
from kairos.policy.family import Family
from kairos.policy.language import LanguagePolicy
from kairos.policy.models.export import HuggingFaceFolder
from kairos.policy.models.lora import LoRA
from kairos.policy.models.mini_config import MiniConfig
from kairos.policy.models.mini_tokenizer import CHAT_TEMPLATE
from kairos.policy.models.pretrained import TransformersFamily
from kairos.policy.network.vision.patches import Cut
from kairos.policy.processor import LanguageProcessor
from kairos.video.budget import PixelBudget
from kairos.video.loader import ClipLoader
from kairos.video.store.clips import ClipStore

PAGE = Path(__file__).resolve().parents[3].joinpath("docs", "a-trained-model-elsewhere.md").read_text(encoding="utf-8")
USE, PLACES = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)[:2]
MINI = Qwen3VL(outer_markers=False)
SMALL = MiniConfig(
    hidden=64, layers=2, intermediate=96, sections=(4, 2, 2), vision_hidden=32, vision_layers=2, vision_heads=2,
    deepstack=(0,),
)  # fmt: skip


def vocabulary_of_qwen(tokenizer: PreTrainedTokenizerBase):
    return replace(WINDOWED, text={**WINDOWED.text, "vocab_size": 151936})(tokenizer)


def mini(real_data: Path, folder: Path) -> LanguagePolicy:
    return LanguagePolicy(LanguageProcessor("mini_base", family=MINI), weights="mini_base")


def mini_with_lora(real_data: Path, folder: Path) -> LanguagePolicy:
    processor = LanguageProcessor("mini_base", family=MINI)
    return LanguagePolicy(processor, weights="mini_base", adapter=LoRA(rank=4, alpha=8, vision=True))


def tiny(family: Family, config: Callable[[PreTrainedTokenizerBase], object], tokenizer: str):
    """A random model with the real tokenizer of its family."""

    def policy(real_data: Path, folder: Path) -> LanguagePolicy:
        for name in ("vocab.json", "merges.txt"):
            shutil.copy(real_data / "tokenizer_qwen2" / name, folder / name)
        shutil.copy(
            real_data / "tokenizer_qwen2" / f"tokenizer_config.{tokenizer}.json", folder / "tokenizer_config.json"
        )
        processor = LanguageProcessor(str(folder), family=family, chat_template=CHAT_TEMPLATE)
        return LanguagePolicy(processor, config=config, seed=3)  # type: ignore[arg-type]

    return policy


POLICIES = {
    "mini": (mini, "mini", "OHOFG.mp4"),
    "mini with LoRA": (mini_with_lora, "mini", "nasa_13013.mp4"),
    "Qwen2.5-VL": (tiny(Qwen25VL(), vocabulary_of_qwen, "qwen25"), "qwen2_5_2048", "basketball_structuralize.mp4"),
    "Qwen3-VL": (tiny(Qwen3VL(), SMALL, "qwen3"), "qwen2_5_2048", "basketball_structuralize.mp4"),
}
"""How a policy is made, its pixel budget (an option of conf/frames), and the clip."""


def grown(policy: LanguagePolicy) -> LanguagePolicy:
    """As after some training: an adapter that changes something, random weights whose every part affects the result."""
    policy.build()
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in policy.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0.0, 0.02, generator=random)
            elif policy.weights is None and parameter.ndim > 1:
                parameter.mul_(3.0)
    return policy.eval()


def budget_of(frames: str, policy: LanguagePolicy) -> PixelBudget:
    budget = part(compose([f"frames={frames}"]).frames)
    assert isinstance(budget, PixelBudget)
    return replace(budget, factor=cut_of(policy).patch * cut_of(policy).merge)


def cut_of(policy: LanguagePolicy) -> Cut:
    family = policy.processor.family
    assert isinstance(family, TransformersFamily)
    return family.cut


def kairos(policy: LanguagePolicy, question: Prompt) -> list[int]:
    """The greedy answer, its end token included."""
    laid_out = replace(question, layout=policy.processor(question))
    (group,) = policy.sample([laid_out], 1, Sampling(temperature=0.0, max_actions=16), seed=0)
    actions = group.rollouts[0].actions_A
    assert actions is not None
    return actions.tolist()


def stock(folder: Path, clip: Path, qwen2_5: bool) -> dict[str, object]:
    """What the page's lines leave behind."""
    lines = USE.replace("runs/mine/model", str(folder)).replace("clip.mp4", str(clip))
    if qwen2_5:
        generate = "written = model.generate(**inputs, "
        assert generate in lines
        lines = lines.replace(generate, f"{PLACES}{generate}position_ids=positions, ")
    found: dict[str, object] = {}
    exec(lines, found)
    return found


@pytest.mark.parametrize("name", POLICIES)
def test_transformers_answers_about_a_real_clip_as_kairos_does(real_data: Path, tmp_path: Path, name: str):
    make, frames, video = POLICIES[name]
    (tmp_path / "tokenizer").mkdir()
    policy = grown(make(real_data, tmp_path / "tokenizer"))
    budget, clip = budget_of(frames, policy), real_data / "videos" / video
    HuggingFaceFolder(dtype=None)(policy, tmp_path / "model", budget)
    loaded = ClipLoader(ClipStore(str(tmp_path / "clips")), budget=budget, on_miss="off").load(VideoSource(str(clip)))
    question = Prompt("a", "grounding", "real", loaded, "a person", target=Target(), template=AnswerOnly())

    ours = kairos(policy, question)
    found = stock(tmp_path / "model", clip, name == "Qwen2.5-VL")
    inputs, layout = found["inputs"], policy.processor(question)
    assert inputs["input_ids"][0].tolist() == layout.ids_L.tolist()  # type: ignore[index]
    assert inputs["video_grid_thw"].tolist() == layout.grid_thw_N3.tolist()  # type: ignore[index]
    positions, _ = found["model"].model.get_rope_index(**inputs)  # type: ignore[attr-defined]
    positions = found.get("positions", positions)
    assert torch.equal(positions[:, 0], layout.positions_3L)  # type: ignore[index]
    assert found["written"][0, len(layout.ids_L) :].tolist() == ours  # type: ignore[index]

    again = LanguagePolicy(
        LanguageProcessor(str(tmp_path / "model"), family=policy.processor.family), weights=str(tmp_path / "model")
    )
    again.build()
    assert kairos(again, question) == ours, "Kairos reads its own export"
    assert_same_patches(tmp_path / "model", policy, question)


def assert_same_patches(folder: Path, policy: LanguagePolicy, question: Prompt) -> None:
    """Of frames that have their size already."""
    processor = AutoProcessor.from_pretrained(folder)
    assert isinstance(processor, ProcessorMixin)
    frames = question.clip.frames_TCHW
    assert frames is not None
    theirs = processor.video_processor(frames, do_sample_frames=False, return_tensors="pt")
    assert torch.equal(theirs["pixel_values_videos"], cut_of(policy).patches(frames))
