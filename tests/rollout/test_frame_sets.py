"""A policy that chooses frames is rewarded for what a frozen answerer says of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from helpers.pixel_features import AGENT
from helpers.running import assert_same_run, curve, rows
from torch import Tensor, nn

from kairos.compose import build
from kairos.core.types import Prompt, Reply, Sampling, Target, VideoClip
from kairos.policy.frame_agent.agent import TemporalAgent
from kairos.policy.toy import ToyPolicy
from kairos.rollout.frame_sets import FrameSets
from kairos.train.callbacks.checkpoint import newest

WIDTH, FRAMES = 8, 12


@dataclass
class Repeats:
    """An answerer that says which frames it was shown, and notes what it was asked."""

    asked: list[list[list[int]]] = field(default_factory=list)
    device: torch.device | None = None

    def build(self) -> None: ...

    def to(self, device: torch.device) -> Repeats:
        self.device = device
        return self

    def answer(self, prompts: Sequence[Prompt], chosen: Sequence[Sequence[Tensor]]) -> list[list[Reply]]:
        self.asked += [[set_K.tolist() for set_K in sets] for sets in chosen]
        return [
            [Reply(f"{prompt.uid} {set_K.tolist()}", torch.tensor([0.25, 0.75])) for set_K in sets]
            for prompt, sets in zip(prompts, chosen, strict=True)
        ]


def prompt(uid: str, task: str) -> Prompt:
    generator = torch.Generator().manual_seed(len(uid))
    features = {"clip": torch.randn(FRAMES, WIDTH, generator=generator)}
    clip = VideoClip(uid, None, torch.arange(float(FRAMES)), float(FRAMES), features)
    question = {"question": torch.randn(WIDTH, generator=generator)}
    return Prompt(uid, task, "toy", clip, "what?", Target(choice="A"), ("x", "y"), features=question)


PROMPTS = [prompt("a", "choice"), prompt("bb", "needle"), prompt("ccc", "choice")]


def engine_of(answerer: Repeats, **frames: int | None) -> FrameSets:
    engine = FrameSets(answerer, frames)
    engine.setup(torch.device("cpu"))
    engine.sync(TemporalAgent(WIDTH, heads=2))
    return engine


def test_every_row_has_the_text_of_its_own_frames_and_keeps_the_policys_actions():
    answerer = Repeats()
    engine, agent = engine_of(answerer), TemporalAgent(WIDTH, heads=2)
    sampling = Sampling(temperature=0.5, max_actions=3)
    groups = engine.generate(PROMPTS, 4, sampling, seed=5)
    expected = agent.sample(PROMPTS, 4, sampling, seed=5)
    for group, alone in zip(groups, expected, strict=True):
        assert group.prompt is alone.prompt
        for row, other in zip(group.rollouts, alone.rollouts, strict=True):
            assert row.chosen_K is not None and other.chosen_K is not None
            assert torch.equal(row.chosen_K, other.chosen_K)
            assert (
                row.actions_A is not None
                and other.actions_A is not None
                and torch.equal(row.actions_A, other.actions_A)
            )
            assert row.behavior_logprobs_A is not None and other.behavior_logprobs_A is not None
            assert torch.equal(row.behavior_logprobs_A, other.behavior_logprobs_A)
            assert row.text == f"{group.prompt.uid} {row.chosen_K.tolist()}"
            assert row.option_probs_O is not None and row.option_probs_O.tolist() == [0.25, 0.75]
    assert answerer.device == torch.device("cpu")


def test_frames_by_task_count_in_training_and_in_evaluation_every_task_is_shown_as_many():
    engine = engine_of(Repeats(), needle=5, choice=None)
    groups = engine.generate(PROMPTS, 2, Sampling(temperature=0.1, max_actions=2), seed=0)
    assert [len(row.chosen_K) for group in groups for row in group.rollouts] == [2, 2, 5, 5, 2, 2]  # type: ignore[arg-type]
    greedy = engine.generate(PROMPTS, 1, Sampling(temperature=0.0, max_actions=4), seed=0)
    assert [len(group.rollouts[0].chosen_K) for group in greedy] == [4, 4, 4]  # type: ignore[arg-type]


def test_equal_sets_of_a_prompt_are_asked_once():
    answerer = Repeats()
    groups = engine_of(answerer).generate(PROMPTS[:1], 6, Sampling(temperature=0.0, max_actions=3), seed=0)
    assert len(groups[0].rollouts) == 6 and [len(sets) for sets in answerer.asked] == [1]


def test_fewer_candidates_than_frames_are_all_shown():
    engine = engine_of(Repeats())
    groups = engine.generate(PROMPTS[:1], 2, Sampling(temperature=1.0, max_actions=FRAMES + 7), seed=0)
    assert all(row.text == f"a {list(range(FRAMES))}" for row in groups[0].rollouts)


def test_what_cannot_be_answered_is_refused_with_the_remedy():
    with pytest.raises(ValueError, match="needs an answerer: choose one, such as answerer=mini"):
        FrameSets(None)
    with pytest.raises(ValueError, match=r"frames_by_task\.needle must be >= 1"):
        FrameSets(Repeats(), {"needle": 0})
    with pytest.raises(RuntimeError, match="sync"):
        FrameSets(Repeats()).generate(PROMPTS, 1, Sampling(), 0)
    engine = FrameSets(Repeats())
    engine.sync(ToyPolicy())
    with pytest.raises(ValueError, match=r"prompt a: the policy chose no frames .* policy=frame_agent"):
        engine.generate(PROMPTS, 2, Sampling(max_actions=3), 0)


def trained(name: str, iterations: int, resume: bool = False) -> Path:
    built = build(
        [*AGENT, f"name={name}", f"iterations={iterations}", "callbacks.checkpoint.every=1",
         "rollout.frames_by_task.needle=6", "callbacks.validation.every=2", "callbacks.validation.count=4"]
    )  # fmt: skip
    engine = built.module.engine
    assert isinstance(engine, FrameSets) and not isinstance(engine, nn.Module)
    assert not any("answerer" in key for key in built.module.state_dict())
    last = newest(built.folder / "checkpoints") if resume else None
    built.trainer.fit(built.module, built.datamodule, ckpt_path=last, weights_only=True if last else None)
    return built.folder


def test_an_agent_is_trained_by_the_answers_of_a_real_answerer_and_goes_on_bit_for_bit():
    whole = trained("whole", 3)
    assert len(curve(whole, "reward/choice")) == 3 and len(curve(whole, "reward/no_spread")) == 3
    for row in rows(whole / "rollouts.jsonl"):
        frames = row["frames"]
        assert isinstance(frames, list) and len(frames) == (6 if row["task"] == "needle" else 4)
        assert str(row["text"]).startswith("<answer>") and len(row["frame_seconds"]) == len(frames)  # type: ignore[arg-type]
    assert len(curve(whole, "val/accuracy")) == 1
    assert 0 < curve(whole, "throughput/answered_sets")[0] <= 2 * 4
    assert sum(curve(whole, "throughput/tower_frames")) > 0
    trained("cut", 2)
    assert_same_run(whole, trained("cut", 3, resume=True))
