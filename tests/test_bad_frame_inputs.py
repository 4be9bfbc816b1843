"""What may be wrong where frames are chosen, and what is said of it: the prompt or row, what it is, and the remedy."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import pytest
import torch
from helpers.pixel_features import PixelFeatures
from helpers.tiny_clip import clip_folder
from helpers.tiny_language import FAMILIES, clip, tokenizer_folder

from kairos.compose import compose, part
from kairos.core.protocols import FrameSampler
from kairos.core.types import Failure, Prompt, RolloutGroup, Sampling, Target, Template, VideoClip, VideoSource
from kairos.data.dataset import collate
from kairos.data.needles import NeedleDataset
from kairos.data.templates.answer import AnswerOnly
from kairos.policy.answering.language import LanguageAnswerer
from kairos.policy.embedding.features import ClipFeatures
from kairos.policy.frame_agent.agent import TemporalAgent
from kairos.policy.language import LanguagePolicy
from kairos.policy.processor import LanguageProcessor
from kairos.video.composed import ComposedClip
from kairos.video.errors import VideoError
from kairos.video.samplers.best import AKS, Diverse, TopK
from kairos.video.samplers.listed import Listed
from kairos.video.samplers.random_frames import RandomFrames
from kairos.video.samplers.shown import Shown
from kairos.video.samplers.spread import BinMax, InverseTransform, Uniform

FRAMES = 6
AGENT = TemporalAgent(width=12, heads=2, window=4)
ARMS: list[FrameSampler] = [
    Uniform(), TopK(), BinMax(), AKS(), InverseTransform(), Diverse(), TopK(AGENT.scores_of), BinMax(AGENT.scores_of),
]  # fmt: skip


def prompt(options: tuple[str, ...] = ("red", "blue")) -> Prompt:
    return Prompt(
        "row-7", "choice", "mine", clip("a", FRAMES, 64, 64), "what?", Target(choice="A"), options, AnswerOnly()
    )


def drawn(prompt: Prompt) -> RolloutGroup:
    return AGENT.sample([prompt], 3, Sampling(temperature=0.1, max_actions=64), seed=0)[0]


# Fewer candidates than K


def test_a_clip_with_fewer_candidates_than_k_is_shown_whole_to_every_arm_alike(tmp_path: Path):
    seen = PixelFeatures()(prompt())
    (tmp_path / "picks.json").write_text(json.dumps({"row-7": [2]}))
    loader = part(compose([f"store={tmp_path}"]).loader)
    listed = Listed(str(tmp_path / "picks.json"), loader)  # type: ignore[arg-type]
    with torch.no_grad():
        for arm in (*ARMS, listed):
            assert Shown(arm, 64)(seen).clip.seconds_T.tolist() == seen.clip.seconds_T.tolist(), arm
        assert {tuple(row.chosen_K.tolist()) for row in drawn(seen).rollouts if row.chosen_K is not None} == {
            tuple(range(FRAMES))
        }
    assert len(RandomFrames(fewest=64)(seen, 64)) == FRAMES


# A video that does not decode among the needle's parts


@dataclass(frozen=True)
class WithoutOne:
    """A loader for which one file is broken."""

    loader: Callable[[VideoSource], VideoClip]
    broken: str

    def load(self, source: VideoSource) -> VideoClip:
        if source.path == self.broken:
            raise VideoError(f"{source}: not a video")
        return self.loader(source)


def test_a_part_of_a_needle_that_does_not_decode_fails_its_prompt_alone(tmp_path: Path):
    config = compose(["policy=frame_agent", "data=mini_needles", "frames=mini_candidates", "template=answer",
                      "data.val_clips=16", "data.composition.distractors=2", f"data.folder={tmp_path}/mini",
                      f"store={tmp_path}/store"])  # fmt: skip
    whole = cast("Callable[[], NeedleDataset]", part(config.data.val))()
    first = whole[0]
    assert isinstance(first, Prompt)
    assert isinstance(first.clip, ComposedClip)
    record, distractor = whole.records[0], first.clip.parts[1].source
    assert distractor is not None
    for path, blamed in ((distractor.path, "a distractor of the needle"), (record.video.path, "not a video")):
        broken = NeedleDataset(whole.records, WithoutOne(whole.loader.load, path), composition=whole.composition,
                               chooser=whole.chooser)  # fmt: skip
        items = [broken[index] for index in range(8)]
        failure = items[0]
        assert isinstance(failure, Failure) and failure.uid == record.uid
        assert blamed in failure.reason and path in failure.reason
        batch = collate(items)
        assert failure in batch.failures and batch.weights_P[0] == 0 and batch.weights_P.sum() >= 1


# Features of another tower or of another clip


def test_features_of_another_tower_or_clip_are_refused(tmp_path: Path):
    seen = ClipFeatures(clip_folder(tmp_path / "clip", width=32))(prompt())
    with pytest.raises(
        ValueError, match=r"prompt row-7: its features have width 32, but the agent reads .*width 12.*enr"
    ):
        AGENT.sample([seen], 2, Sampling(max_actions=2), seed=0)
    with pytest.raises(
        ValueError, match=r"prompt row-7: .*width 32, 'question'.*\(12,\): they are of two towers; one op"
    ):
        TopK()(replace(seen, features={"question": torch.zeros(12)}), 2)
    other = replace(seen.clip, features={"clip": torch.zeros(FRAMES + 1, 32)})
    with pytest.raises(
        ValueError, match=r"prompt row-7: clip a has 6 frames, but its features 'clip'.*another clip; make"
    ):
        TopK()(replace(seen, clip=other), 2)
    with pytest.raises(
        ValueError, match=r"prompt row-7: clip a has 6 frames, and .*width 32.*\[7, 32\].*make them again"
    ):
        ClipFeatures(clip_folder(tmp_path / "clip"))(replace(seen, clip=other))
    with pytest.raises(ValueError, match=r"prompt row-7: .*got \[\] and \[\]: add them with an option of enrich="):
        TopK()(prompt(), 2)


# An answerer without a chat template


def test_an_answerer_without_a_chat_template_is_refused_before_its_weights_are_loaded(tmp_path: Path):
    folder = Path(tokenizer_folder(tmp_path / "tokenizer"))
    shutil.copytree(folder, tmp_path / "bare")
    (tmp_path / "bare" / "chat_template.jinja").unlink()
    processor = LanguageProcessor(str(tmp_path / "bare"), FAMILIES["qwen3_vl"].with_single_frames().family)
    answerer = LanguageAnswerer(LanguagePolicy(processor, "no/weights"))
    with pytest.raises(ValueError, match=r"bare has no chat template.*set answerer\.policy\.processor\.chat_template"):
        answerer.build()


# A file of frame indices that names frames beyond the clip


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"frames": [2, 6]}, r"picks\.json, row row-7: names frame 6, but the clip has 6 frames \(0 to 5\)"),
        ({"seconds": [1.0, 3.5]}, r"picks\.json, row row-7: names 3\.5 s, but the clip lasts 3 s"),
        ({"frame_idx": [1.0]}, r"picks\.json, row row-7: frame_idx counts frames of a video file, and clip a has none"),
    ],
)
def test_a_file_that_names_frames_beyond_the_clip_is_named_with_its_row(
    row: dict[str, list[float]], said: str, tmp_path: Path
):
    (tmp_path / "picks.json").write_text(json.dumps([{"uid": "row-7", **row}]))
    sampler = part(compose(["sampler=file", f"picks={tmp_path}/picks.json", f"store={tmp_path}"]).sampler)
    with pytest.raises(ValueError, match=said):
        cast("Listed", sampler)(prompt(), 4)


# Options beyond the letters


@pytest.mark.parametrize("template", ["answer", "think", "temporal_r1_all_tasks", "tspo"])
def test_options_beyond_the_letters_are_refused_where_a_prompt_is_worded(template: str):
    worded = cast("Template", part(compose([f"template={template}"]).template))
    said = r"prompt row-7: 9 options, but answers are read with 8 letters \(ABCDEFGH\): give it .*leave the row out"
    assert worded.messages(prompt(tuple("abcdefgh")))
    with pytest.raises(ValueError, match=said):
        worded.messages(prompt(tuple("abcdefghi")))
