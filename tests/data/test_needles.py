"""Needles: copies of a target among clips that do not show what is asked, the same at every call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
import torch

from kairos.compose import compose, part
from kairos.core.types import Failure, Prompt, VideoClip, VideoSource
from kairos.credit.rewards.evidence import shows_evidence
from kairos.data.mini.needles import MiniNeedles
from kairos.data.mini.world import MiniWorld
from kairos.data.needles import Composition, NeedleDataset
from kairos.video.composed import ComposedClip
from kairos.video.errors import VideoError


def needles(folder: Path, data: str = "mini_needles") -> NeedleDataset:
    overrides = ["policy=frame_agent", f"data={data}", "frames=mini_candidates", "template=answer", "data.val_clips=24"]
    config = compose([*overrides, f"data.folder={folder}/clips", f"store={folder}/store"])
    return cast("Callable[[], NeedleDataset]", part(config.data.val))()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> NeedleDataset:
    return needles(tmp_path_factory.mktemp("needles"))


def prompt_at(dataset: NeedleDataset, index: int) -> tuple[Prompt, ComposedClip]:
    prompt = dataset[index]
    assert isinstance(prompt, Prompt) and isinstance(prompt.clip, ComposedClip)
    return prompt, prompt.clip


def test_a_needle_has_its_candidates_and_its_copies_hold_the_evidence(dataset: NeedleDataset) -> None:
    sizes = set()
    for index in range(12):
        prompt, clip = prompt_at(dataset, index)
        sizes.add(len(clip))
        of_target = clip.part_T == 0
        assert of_target.sum() in (24, 48) and len(clip) == 6 * 24 + int(of_target.sum())
        shows = shows_evidence(prompt)
        assert shows.any() and not (shows & ~of_target).any()
        assert len(prompt.target.evidence) == int(of_target.sum()) // 24
        (span,) = dataset.records[index].target.evidence
        source_T = clip.parts[0].seconds_T[clip.index_T]
        assert torch.equal(shows, of_target & (source_T >= span.start) & (source_T <= span.end))
    assert sizes == {168, 192}


def test_a_composition_is_a_function_of_the_seed_and_the_prompt(dataset: NeedleDataset) -> None:
    for index in range(3):
        (_, one), (_, again) = prompt_at(dataset, index), prompt_at(dataset, index)
        assert torch.equal(one.part_T, again.part_T) and torch.equal(one.index_T, again.index_T)
        assert [p.uid for p in one.parts] == [p.uid for p in again.parts]
    other = NeedleDataset(
        dataset.records, dataset.loader, composition=dataset.composition, seed=1, chooser=dataset.chooser
    )
    assert any(
        [p.uid for p in prompt_at(dataset, i)[1].parts] != [p.uid for p in prompt_at(other, i)[1].parts]
        for i in range(3)
    )


def test_no_distractor_shows_what_is_asked_and_none_is_the_target(dataset: NeedleDataset) -> None:
    reader = dataset.chooser
    assert isinstance(reader, MiniNeedles)
    shown = {
        str(reader.world.path(index)): {w for t in reader.world.scene(index).things for w in (t.colour, t.shape)}
        for index in range(reader.world.clips)
    }
    for record in dataset.records:
        asked = next(word for word in record.question.removesuffix("?").split() if word in shown[record.video.path])
        for video in reader.distractors(record):
            assert asked not in shown[video.path] and video != record.video


def test_a_distractor_that_cannot_be_decoded_names_itself_the_target_and_the_remedy(dataset: NeedleDataset) -> None:
    class Broken:
        def load(self, source: VideoSource) -> VideoClip:
            if source == record.video:
                return dataset.loader.load(source)
            raise VideoError(f"{source}: not a video")

    record = dataset.records[0]
    failed = NeedleDataset([record], Broken(), composition=dataset.composition, chooser=dataset.chooser)[0]
    assert isinstance(failed, Failure) and record.uid in failed.reason
    assert "not a video" in failed.reason and "leave the rows of this video out" in failed.reason


def test_questions_about_the_whole_keep_their_own_clip(tmp_path: Path) -> None:
    dataset = needles(tmp_path, "mini_order")
    prompt, clip = prompt_at(dataset, 0)
    assert len(clip) == 128 and prompt.task == "choice" and not prompt.target.evidence
    assert clip.duration == 64.0 and set(clip.part_T.tolist()) == {0}


def test_what_cannot_be_composed_is_refused(dataset: NeedleDataset) -> None:
    with pytest.raises(ValueError, match="copies must be"):
        Composition(copies=(0, 2))
    with pytest.raises(ValueError, match="composition needs"):
        Composition(frames=200)
    many = replace(dataset.composition, distractors=500)
    with pytest.raises(ValueError, match="takes 500 distractors, but only"):
        NeedleDataset(dataset.records, dataset.loader, composition=many, chooser=dataset.chooser)[0]


def test_needles_in_turn_ask_about_colours_and_shapes_about_equally_often(tmp_path: Path):
    world = MiniWorld(str(tmp_path), "val", clips=12, tasks=["choice"])
    asked = [record.question.split()[0] for record in MiniNeedles(world, in_turn=True).records()]
    assert 9 <= asked.count("What") <= 12 and 12 <= asked.count("Which") <= 15, "a clip of three alike has no colour"
    assert asked[:2] == ["What", "Which"]
    drawn = [record.question for record in MiniNeedles(world).records()]
    assert sum(question.startswith("What") for question in drawn) < asked.count("What")
