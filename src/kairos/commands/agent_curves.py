"""Draw how a frame agent changed while it trained: its scores and picks, a picture and an animated GIF.

Examples:

    kairos train experiment=tspo_toy name=agent                   # a run with a checkpoint for every iteration
    kairos agent_curves runs/agent                                # writes to runs/agent/figures/
    kairos agent_curves agent                                     # a name below runs/
    kairos agent_curves run=runs/agent
    kairos agent_curves runs/agent trust=true                     # of a run that names parts of others: read it first
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from omegaconf import DictConfig

from kairos.cli import command, config_dir, needs_of, user_errors
from kairos.compose import assemble
from kairos.credit.rewards.evidence import shows_evidence
from kairos.policy.frame_agent.agent import TemporalAgent
from kairos.policy.models.checkpoints import policy_state
from kairos.report.agent_curves import Step, animate, draw_steps
from kairos.runs.folder import RunError, RunFolder, find_run
from kairos.stored import ON_CPU, compose_stored


@command("agent_curves")
def main(config: DictConfig) -> None:
    run = find_run(str(config.run))
    with user_errors(), needs_of(run, config_dir()):
        print(curves(run, config.trust))


def curves(run: Path, trust: bool) -> str:
    """Write figures/agent_curves.png and .gif into the run's folder; gives the mean rewards as one line."""
    experiment = assemble(compose_stored(RunFolder(run), ON_CPU, config_dir(), trust=trust), folder=run)
    agent = experiment.module.policy
    if not isinstance(agent, TemporalAgent):
        raise RunError(f"{run}: its policy chooses no frames; train one with policy=frame_agent")
    agent.build()
    rows = [json.loads(line) for line in (run / "rollouts.jsonl").read_text(encoding="utf-8").splitlines()]
    prompts = {p.uid: p for batch in experiment.datamodule.batches("train") for p in batch.prompts}
    steps, evidence = [], []
    for iteration in sorted({row["iteration"] for row in rows}):
        group = [row for row in rows if row["iteration"] == iteration]
        if group[0]["uid"] not in prompts:
            raise RunError(f"{run}: prompt {group[0]['uid']} of iteration {iteration} is not in the data any more")
        prompt = prompts[group[0]["uid"]]
        if iteration > 1:
            _load(agent, run / "checkpoints" / f"iteration-{iteration - 1:06d}.ckpt")
        with torch.no_grad():
            scores = agent.scores_of(prompt).tolist()
        picked = [row["frames"] for row in group if row["uid"] == group[0]["uid"]]
        reward = sum(row["reward"] for row in group) / len(group)
        steps.append(Step(iteration, scores, picked, reward))
        evidence = shows_evidence(prompt).nonzero().squeeze(1).tolist()
    picture = draw_steps(steps, evidence, run / "figures" / "agent_curves.png")
    moving = animate(steps, evidence, run / "figures" / "agent_curves.gif")
    return f"{picture}\n{moving}\nmean reward: " + " ".join(f"{step.reward:.3f}" for step in steps)


def _load(agent: TemporalAgent, checkpoint: Path) -> None:
    if not checkpoint.is_file():
        raise RunError(
            f"{checkpoint} is missing: the curves need every iteration's weights; train with "
            "callbacks.checkpoint.every=1 callbacks.checkpoint.keep=all"
        )
    agent.load_state_dict(policy_state(checkpoint))


if __name__ == "__main__":
    main()
