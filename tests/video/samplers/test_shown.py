"""The slot `sampler`: a model is shown K frames of each clip, with their own times, after all features were added."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from helpers.tiny_language import FAMILIES, clip, tokenizer_folder
from omegaconf import DictConfig
from torch import Tensor

from kairos.compose import build, compose, part
from kairos.core.protocols import Enrich
from kairos.core.spans import Span
from kairos.core.types import Failure, Layout, Prompt, Target, VideoClip, VideoSource
from kairos.data.dataset import PromptDataset
from kairos.data.records import Record
from kairos.data.templates.answer import AnswerOnly
from kairos.policy.frame_agent.scores import AgentScores
from kairos.policy.processor import LanguageProcessor
from kairos.video.samplers.best import AKS, Diverse, TopK
from kairos.video.samplers.shown import Shown
from kairos.video.samplers.spread import BinMax, InverseTransform, Uniform

FRAMES = 40
BEST = [3, 17, 18, 31]
"""The frames that are like the question."""


@dataclass(frozen=True)
class Camera:
    """40 frames at 2 a second."""

    def load(self, source: VideoSource) -> VideoClip:
        return replace(clip(source.path, FRAMES, 56, 56), source=source)


@dataclass(frozen=True)
class Like:
    """Features of two dimensions: the frames of BEST are the question, the others are across it."""

    def __call__(self, prompt: Prompt) -> Prompt:
        index_T = torch.tensor([0 if frame in BEST else 1 for frame in range(len(prompt.clip))])
        features = {"clip": torch.eye(2)[index_T]}
        return replace(prompt, clip=replace(prompt.clip, features=features), features={"question": torch.eye(2)[0]})


def dataset(enrich: dict[str, Enrich | None], processor: LanguageProcessor | None = None) -> PromptDataset:
    target = Target(spans=(Span(1.0, 2.0),))
    row = Record("a", "grounding", "camera", VideoSource("a.mp4"), "when?", target)
    return PromptDataset([row], Camera(), AnswerOnly(), processor, enrich)


def only(found: Prompt | Failure) -> Prompt:
    assert isinstance(found, Prompt)
    return found


def test_the_chosen_frames_are_shown_with_their_times_pixels_and_features():
    whole = only(dataset({"like": Like()})[0]).clip
    shown = only(dataset({"like": Like(), "sampler": Shown(TopK(), 4)})[0]).clip
    assert whole.frames_TCHW is not None and shown.frames_TCHW is not None
    assert shown.seconds_T.tolist() == [frame / 2 for frame in BEST] and shown.duration == whole.duration
    assert torch.equal(shown.frames_TCHW, whole.frames_TCHW[BEST])
    assert torch.equal(shown.features["clip"], whole.features["clip"][BEST])


def test_features_are_added_before_frames_are_chosen_wherever_they_stand():
    shown = only(dataset({"sampler": Shown(TopK(), 4), "nothing": None, "like": Like()})[0])
    assert shown.clip.seconds_T.tolist() == [frame / 2 for frame in BEST]


def shown_to(name: str, folder: str, **options: bool) -> tuple[Layout, LanguageProcessor]:
    """The frames of BEST as the family lays them out."""
    tiny = FAMILIES[name]
    side = 2 * tiny.token
    pixels = clip("a", FRAMES, side, side)

    @dataclass(frozen=True)
    class Sized:
        def load(self, source: VideoSource) -> VideoClip:
            return pixels

    laid = LanguageProcessor(folder, family=replace(tiny.family, single_frames=True, **options))  # type: ignore[type-var]
    row = Record("a", "grounding", "camera", VideoSource("a.mp4"), "when?", Target(spans=(Span(1.0, 2.0),)))
    enrich: dict[str, Enrich | None] = {"like": Like(), "sampler": Shown(TopK(), 4)}
    layout = only(PromptDataset([row], Sized(), AnswerOnly(), laid, enrich)[0]).layout
    assert layout is not None and layout.seconds_per_grid is None
    assert int(layout.grid_thw_N3[:, 0].sum()) == 4
    return layout, laid


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "llava_onevision"])
def test_every_family_is_told_the_times_of_the_chosen_frames(name: str, tmp_path: Path):
    """As many temporal patches as frames, none of them shared, and no one number of seconds between them."""
    layout, laid = shown_to(name, tokenizer_folder(tmp_path))
    written = laid.loaded.decode(layout.ids_L.tolist())
    if "seconds>" in written:
        assert [f"<{frame / 2:.1f} seconds>" in written for frame in BEST] == [True] * 4
    else:
        video = layout.ids_L == laid.markers.pad
        times = layout.positions_3L[0, video].unique()
        assert (times - times[0]).tolist() == [frame - BEST[0] for frame in BEST], "two steps and two frames a second"


def test_llava_has_no_times_but_in_words_which_are_asked_for(tmp_path: Path):
    """Its positions count tokens: `processor.family.tell_times=true` writes when the chosen frames are."""
    folder = tokenizer_folder(tmp_path)
    told, laid = shown_to("llava_onevision", folder, tell_times=True)
    assert ",".join(f"{frame / 2:.2f}s" for frame in BEST) in laid.loaded.decode(told.ids_L.tolist())
    untold, _ = shown_to("llava_onevision", folder)
    assert "s," not in laid.loaded.decode(untold.ids_L.tolist())
    assert untold.positions_3L.tolist() == [list(range(len(untold)))] * 3


def test_a_number_of_frames_must_be_given():
    with pytest.raises(ValueError, match=r"a sampler needs shown_frames=<K>.*or leave sampler=all"):
        Shown(Uniform(), None)
    with pytest.raises(ValueError, match="shown_frames must be >= 1"):
        Shown(Uniform(), 0)


@dataclass(frozen=True)
class Blind:
    def __call__(self, prompt: Prompt, count: int) -> Tensor:
        return torch.tensor([], dtype=torch.long)


def test_a_sampler_that_chooses_nothing_is_named():
    with pytest.raises(ValueError, match="prompt a: Blind chose none of 40 frames with shown_frames=4"):
        dataset({"sampler": Shown(Blind(), 4)})[0]


@pytest.mark.parametrize(
    ("option", "kind"),
    [("uniform", Uniform), ("top_k", TopK), ("bin_max", BinMax), ("aks", AKS), ("inverse_transform", InverseTransform),
     ("diverse", Diverse), ("agent", TopK)],
)  # fmt: skip
def test_an_option_is_its_sampler_over_single_frames(option: str, kind: type):
    more = ["agent=runs/a"] if option == "agent" else []
    config = compose([f"sampler={option}", "shown_frames=6", *more])
    enrich = part(config.enrich)
    assert isinstance(enrich, dict) and isinstance(enrich["sampler"], Shown)
    assert isinstance(enrich["sampler"].sampler, kind) and enrich["sampler"].count == 6
    assert config.processor.family.single_frames is True


def test_any_rule_reads_the_scores_of_an_agent():
    config = compose(["sampler=bin_max", "frame_scores=agent", "agent='runs/a=1,b=2'", "shown_frames=6"])
    enrich = part(config.enrich)
    assert isinstance(enrich, dict) and isinstance(enrich["sampler"].sampler, BinMax)
    scores = enrich["sampler"].sampler.scores
    assert isinstance(scores, AgentScores) and scores.agent == "runs/a=1,b=2"


def test_all_frames_are_shown_by_default_and_nothing_is_written_down():
    config: DictConfig = compose()
    assert config.enrich == {} and config.shown_frames is None
    assert "sampler" not in config and "single_frames" not in config.processor.family


def test_a_policy_that_reads_no_frames_is_not_shown_any():
    with pytest.raises(ValueError, match=r"sampler= chooses the frames that a language model is shown.*sampler=all"):
        build(["policy=toy", "data=toy", "sampler=uniform", "shown_frames=4"])
