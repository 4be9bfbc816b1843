"""A trained agent scores frames for any sampler: from a run, its checkpoint, or published weights."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from helpers.running import fit
from safetensors.torch import save_file

from kairos.compose import build
from kairos.core.types import Prompt, Target, VideoClip
from kairos.policy.frame_agent.agent import TemporalAgent
from kairos.policy.frame_agent.published import published_names
from kairos.policy.frame_agent.scores import AgentScores

WIDTH = 32


def prompt(frames: int = 20, width: int = WIDTH, question: int = WIDTH, features: int | None = None) -> Prompt:
    generator = torch.Generator().manual_seed(1)
    clip_features = torch.randn(features or frames, width, generator=generator)
    clip = VideoClip("c", None, torch.arange(frames).double(), float(frames), {"clip": clip_features})
    asked = {"question": torch.randn(question, generator=generator)}
    return Prompt("p", "needle", "toy", clip, "what?", Target(), features=asked)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two iterations of a small agent."""
    folder = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        built = build(
            ["experiment=frame_toy", f"+policy.width={WIDTH}", "+policy.heads=2", "+policy.window=5", "iterations=2",
             f"+data.train.width={WIDTH}", f"+data.val.width={WIDTH}", "callbacks.progress=null", "name=agent",
             "callbacks.checkpoint.every=1", "callbacks.checkpoint.keep=all"]
        )  # fmt: skip
        built.trainer.fit(built.module, built.datamodule)
        (folder / "runs" / "agent" / "config.yaml").write_text("policy: {heads: 2, window: 5}\n")
    return folder / "runs" / "agent"


def trained(run: Path, iteration: int) -> TemporalAgent:
    agent = TemporalAgent(WIDTH, 2, 5, unused_projection=False)
    state = torch.load(run / "checkpoints" / f"iteration-{iteration:06d}.ckpt", weights_only=True)["state_dict"]
    agent.load_state_dict({name.removeprefix("policy."): value for name, value in state.items()})
    return agent


def test_a_run_scores_by_its_newest_checkpoint(run: Path):
    scores = AgentScores(str(run))(prompt())
    assert torch.equal(scores, trained(run, 2).scores_of(prompt())) and not scores.requires_grad
    assert not torch.equal(scores, trained(run, 1).scores_of(prompt()))


def test_a_checkpoint_may_be_named(run: Path):
    scores = AgentScores(str(run / "checkpoints" / "iteration-000001.ckpt"))(prompt())
    assert torch.equal(scores, trained(run, 1).scores_of(prompt()))


def test_published_weights_score_the_same(run: Path, tmp_path: Path):
    agent = TemporalAgent(WIDTH, 2, 5, seed=4)
    save_file(published_names(agent.state_dict()), tmp_path / "agent.safetensors")
    for name in (tmp_path, tmp_path / "agent.safetensors"):
        assert torch.equal(AgentScores(str(name), heads=2, window=5)(prompt()), agent.scores_of(prompt()))


def test_an_exported_agent_says_its_heads_and_window(tmp_path: Path):
    agent = TemporalAgent(WIDTH, 2, 5, seed=4)
    save_file(published_names(agent.state_dict()), tmp_path / "model.safetensors")
    said = {"selector": {"width": WIDTH, "heads": 2, "window": 5}}
    (tmp_path / "config.json").write_text(json.dumps(said), encoding="utf-8")
    assert torch.equal(AgentScores(str(tmp_path))(prompt()), agent.scores_of(prompt()))
    assert not torch.equal(AgentScores(str(tmp_path), window=1)(prompt()), agent.scores_of(prompt())), "given"
    (tmp_path / "config.json").write_text('{"selector": {"heads": "two"}}', encoding="utf-8")
    with pytest.raises(ValueError, match=r"selector in .*config.json must give whole numbers"):
        AgentScores(str(tmp_path))(prompt())


def test_a_worker_loads_its_own(run: Path):
    scores = AgentScores(str(run))
    here = scores(prompt())
    copied = pickle.loads(pickle.dumps(scores))
    assert "loaded" not in copied.__dict__ and torch.equal(copied(prompt()), here)


def test_what_is_no_agent_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="agent=runs/gone: there is no such run, checkpoint or safetensors file"):
        AgentScores("runs/gone")(prompt())
    built = fit("iterations=1", "name=words")
    (built.folder / "config.yaml").write_text("policy: {}\n")
    with pytest.raises(ValueError, match="agent=runs/words: the policy of this run chooses no frames"):
        AgentScores("runs/words")(prompt())
    for checkpoint in (built.folder / "checkpoints").glob("*.ckpt"):
        checkpoint.unlink()
    with pytest.raises(ValueError, match="agent=runs/words: the run has no checkpoint yet"):
        AgentScores("runs/words")(prompt())
    with pytest.raises(ValueError, match="there is no such checkpoint"):
        AgentScores("runs/words/checkpoints/best.ckpt")(prompt())


def test_features_of_another_tower_or_of_another_clip_are_refused(run: Path):
    agent = AgentScores(str(run))
    with pytest.raises(
        ValueError, match="prompt p: its features have width 64, but the agent reads features of width 32"
    ):
        agent(prompt(width=64, question=64))
    with pytest.raises(ValueError, match=r"prompt p: .*frames have width 32.*question has.*64.*two towers"):
        agent(prompt(question=64))
    with pytest.raises(
        ValueError, match=r"prompt p: clip c has 20 frames, but its features 'clip' are of shape.*another"
    ):
        agent(prompt(features=19))
