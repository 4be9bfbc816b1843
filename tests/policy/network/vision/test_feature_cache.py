"""The vision tower runs once for each clip, and not at all for a clip whose features are stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.tiny_language import TINY, batch, clip, policy, prompt, prompts

from kairos.core.types import RolloutBatch, Sampling, VideoSource
from kairos.policy.language import LanguagePolicy
from kairos.policy.models.lora import LoRA
from kairos.policy.processor import LanguageProcessor
from kairos.video.store.clips import ClipStore
from kairos.video.store.feature_stores import FeatureFiles, MemoryFeatures


def keeping(folder: str, store: object = None, freeze: tuple[str, ...] = ("vision",)) -> LanguagePolicy:
    language = policy(folder, freeze=freeze)
    language.feature_cache.store = MemoryFeatures() if store is None else store  # type: ignore[assignment]
    return language


def passes(language: LanguagePolicy) -> list[int]:
    """A list that gets the number of patches of every later pass through the tower's first block."""
    seen: list[int] = []
    language.model.model.visual.blocks[0].register_forward_hook(lambda block, args, out: seen.append(len(args[0])))
    return seen


def rows(language: LanguagePolicy, count: int = 2) -> RolloutBatch:
    return batch(prompts(), [0, 1, 2] * count, [3, 5, 2] * count, len(language.processor.loaded))


def about_one_clip(language: LanguagePolicy, share: bool) -> RolloutBatch:
    video = clip("v", seed=3)
    other = video if share else replace(video, frames_TCHW=video.frames_TCHW.clone())
    asked = [prompt("p", "When?", video), prompt("q", "When is the red square visible?", other)]
    return batch(asked, [0, 1, 1], [3, 5, 2], len(language.processor.loaded))


def test_a_trained_tower_runs_once_for_all_rows(folder: str) -> None:
    language = keeping(folder, freeze=())
    seen = passes(language)
    language(rows(language, count=4)).logprobs_BA.sum().backward()
    assert len(seen) == 1 and language.counted() == {"tower_clips": 3}
    language(rows(language, count=4))
    assert len(seen) == 2, "its weights may have changed"


def test_a_clip_of_two_prompts_passes_a_trained_tower_once_and_its_gradients_add_up(folder: str) -> None:
    results = []
    for share in (True, False):
        language = keeping(folder, freeze=())
        seen = passes(language)
        logprobs = language(about_one_clip(language, share)).logprobs_BA
        logprobs.sum().backward()
        gradient = language.model.model.visual.blocks[0].attn.qkv.weight.grad
        results.append((sum(seen), logprobs.detach(), gradient))
    (shared, values, gradient), (apart, other_values, other_gradient) = results
    assert 2 * shared == apart
    torch.testing.assert_close(values, other_values, atol=1e-5, rtol=0)
    assert (gradient - other_gradient).norm() <= 1e-5 * gradient.norm()


def test_a_frozen_tower_sees_a_clip_once_whoever_asks(folder: str) -> None:
    language = keeping(folder)
    seen, rollouts = passes(language), rows(language)
    language.sample(rollouts.prompts, 2, Sampling(max_actions=2), seed=0)
    assert len(seen) == 3
    stats = language(rollouts)
    stats.logprobs_BA.sum().backward()
    reference = language.reference()
    again = reference(rollouts)
    question = replace(rollouts.prompts[0], question="At what time?", layout=None)
    language(replace(rollouts.take([0]), prompts=(question,)))
    assert len(seen) == 3, "scored, compared and asked otherwise without looking"
    assert language.counted() == {"tower_clips": 3, "feature_misses": 3, "feature_hits": 7}
    assert torch.equal(again.logprobs_BA, stats.logprobs_BA)
    assert reference.policy.model.model.visual.blocks[0].attn.qkv.weight is (
        language.model.model.visual.blocks[0].attn.qkv.weight
    ), "what is frozen is not copied"


def test_features_that_were_kept_change_no_bit_and_those_computed_together_only_rounding(folder: str) -> None:
    language, plain = keeping(folder), policy(folder, freeze=("vision",))
    rollouts = rows(language)
    first, second = language(rollouts).logprobs_BA, language(rollouts).logprobs_BA
    alone = language(rollouts.take([1])).logprobs_BA
    assert torch.equal(first, second) and alone.shape[0] == 1
    torch.testing.assert_close(first, plain(rollouts).logprobs_BA, atol=1e-5, rtol=0)
    laid_out = [replace(asked, layout=language.processor(asked)) for asked in rollouts.prompts]
    kept, computed = language._see(laid_out), plain._see(laid_out)
    assert len(kept.deepstack) == len(computed.deepstack) == 2
    for ours, theirs in zip((kept.tokens_ND, *kept.deepstack), (computed.tokens_ND, *computed.deepstack), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    fresh = keeping(folder)
    assert torch.equal(fresh(rollouts.take([1])).logprobs_BA, alone), "whatever came before or beside it"


def test_files_serve_another_process_and_another_tower_finds_nothing(folder: str, tmp_path: Path) -> None:
    first = keeping(folder, FeatureFiles(tmp_path))
    values = first(rows(first)).logprobs_BA
    assert len(list(tmp_path.rglob("*.safetensors"))) == 3
    second = keeping(folder, FeatureFiles(tmp_path))
    seen = passes(second)
    assert torch.equal(second(rows(second)).logprobs_BA, values) and not seen
    with torch.no_grad():
        second.model.model.visual.blocks[1].attn.qkv.weight[0, 0] += 0.5
    assert not torch.equal(second(rows(second)).logprobs_BA, values)
    assert len(seen) == 3 and len(list(tmp_path.iterdir())) == 2, "a folder a tower"


def test_a_damaged_file_is_seen_again_and_mended(folder: str, tmp_path: Path) -> None:
    language = keeping(folder, FeatureFiles(tmp_path))
    values = language(rows(language)).logprobs_BA
    path = next(tmp_path.rglob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:-10])
    again = keeping(folder, FeatureFiles(tmp_path))
    assert torch.equal(again(rows(again)).logprobs_BA, values)
    assert again.counted() == {"tower_clips": 1, "feature_misses": 1, "feature_hits": 2}


@pytest.mark.parametrize(
    "change",
    [
        lambda video: replace(video, frames_TCHW=video.frames_TCHW.flip(0)),
        lambda video: video.take(torch.arange(6)),
        lambda video: video.frames_TCHW.add_(1) is None or video,
    ],
    ids=["other frames, the same uid", "fewer frames", "written to"],
)
def test_other_frames_are_never_served_from_the_store(folder: str, change: Callable) -> None:
    language, video = keeping(folder), clip("v", seed=3)
    seen = passes(language)
    vocabulary = len(language.processor.loaded)
    language(batch([prompt("p", "When?", video)], [0], [3], vocabulary))
    language(batch([prompt("p", "When?", change(video))], [0], [3], vocabulary))
    assert len(seen) == 2


def test_a_stored_clip_goes_by_the_name_of_its_file_and_part(folder: str, tmp_path: Path) -> None:
    class AsItIs:
        def describe(self) -> dict[str, str]:
            return {"size": "as it is"}

    (tmp_path / "video.mp4").write_bytes(b"stands for a video")
    source, store = VideoSource(str(tmp_path / "video.mp4")), ClipStore(tmp_path / "clips")
    store.put(source, AsItIs(), clip("v", seed=3))
    stored = store.get(source, AsItIs())
    half = replace(stored, frames_TCHW=stored.frames_TCHW[:4], seconds_T=stored.seconds_T[:4])
    files = FeatureFiles(tmp_path / "features")
    language = keeping(folder, files)
    seen = passes(language)
    for video in (stored, half, store.get(source, AsItIs())):
        language(batch([prompt("p", "When?", video)], [0], [3], len(language.processor.loaded)))
    assert len(seen) == 2
    names = [path.stem for path in files.folder.rglob("*.safetensors")]
    assert len(names) == 2 and all(name.startswith(f"{Path(stored.path).stem}-") for name in names)


@pytest.mark.parametrize("trained", ["merger", "adapter"])
def test_a_tower_that_learns_in_part_is_not_remembered(folder: str, trained: str) -> None:
    if trained == "merger":
        language = keeping(folder, freeze=("tower",))
    else:
        adapter, store = LoRA(rank=2, alpha=4, vision=True), MemoryFeatures()
        language = LanguagePolicy(LanguageProcessor(folder), config=TINY, adapter=adapter, features=store)
        language.build()
    seen = passes(language)
    for _ in range(2):
        language(rows(language)).logprobs_BA.sum().backward()
    assert len(seen) == 2 and len(language.feature_cache.store) == 0
    learns = {name for name, parameter in language.named_parameters() if parameter.grad is not None}
    assert any("visual" in name and ("merger" in name or "lora_" in name) for name in learns)
    if trained == "merger":
        assert not any("visual" in name and "merger" not in name for name in learns)


def test_tokens_and_features_that_do_not_match_are_refused_by_name(folder: str) -> None:
    language = keeping(folder)
    short = prompt("short", "When?", clip("v", frames=4, seed=3))
    wrong = replace(short, layout=language.processor(replace(short, clip=clip("v", frames=8, seed=3))))
    with pytest.raises(ValueError, match=r"gave 8 features.*short \(16\)"):
        language(batch([wrong], [0], [3], len(language.processor.loaded)))
