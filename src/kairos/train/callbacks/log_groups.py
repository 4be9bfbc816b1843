"""Gives loggers a table of groups of rollouts with a picture of each, every so many iterations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from PIL import Image

from kairos.core.answers import read
from kairos.core.types import Origin, PromptBatch
from kairos.runs.group_picture import group_picture
from kairos.train.diagnostics import Credited
from kairos.train.grpo import GRPOModule
from kairos.train.iteration import Turn
from kairos.train.loggers import tell

COLUMNS = ("iteration", "uid", "question", "true", "picture", "rewards", "advantages", "texts")
KEY = "rollouts/groups"


@dataclass(frozen=True)
class Shown:
    """One group of an iteration."""

    uid: str
    question: str
    true: str
    picture: Image.Image
    rewards: str
    advantages: str
    texts: str


class LogGroups(Callback):
    """The first `groups` groups of the main process, in every `every`-th iteration; nothing without loggers."""

    turn = Turn.READ

    def __init__(self, every: int = 10, groups: int = 8) -> None:
        if every < 1 or groups < 0:
            raise ValueError(f"log_groups: every must be >= 1 and groups >= 0, got {every} and {groups}")
        self.every, self.groups = every, groups

    def after_iteration(self, module: GRPOModule, batch: PromptBatch) -> None:
        del batch
        loggers, iteration = module.trainer.loggers, module.iteration
        if not loggers or iteration % self.every or not module.trainer.is_global_zero:
            return
        rows = [shown(credited) for credited in module.credited[: self.groups]]
        tell(loggers, lambda logger: give(logger, iteration, rows))


def shown(credited: Credited) -> Shown:
    group = credited.group
    prompt = group.prompt
    grammar = None if prompt.template is None else prompt.template.grammar
    answers = [read(row.text, grammar).spans if grammar and row.text else () for row in group.rollouts]
    sampled = [row.origin is Origin.POLICY for row in group.rollouts]
    true = ", ".join(f"{span.start:g} to {span.end:g} s" for span in prompt.target.spans)
    return Shown(
        prompt.uid,
        prompt.question,
        " ".join(filter(None, (prompt.target.choice, true))),
        group_picture(prompt.clip, prompt.target.spans, answers, sampled),
        "  ".join(f"{value:.3f}" for value in credited.scores.total_G.tolist()),
        "  ".join(f"{value:+.2f}" for value in credited.earned.advantages_G.tolist()),
        "\n".join(row.text for row in group.rollouts),
    )


def give(logger: Logger, iteration: int, rows: Sequence[Shown]) -> None:
    """As a table with pictures (W&B), as pictures with text (TensorBoard), or as files (MLflow)."""
    if isinstance(logger, WandbLogger):
        import wandb

        data = [
            [
                iteration,
                row.uid,
                row.question,
                row.true,
                wandb.Image(row.picture),
                row.rewards,
                row.advantages,
                row.texts,
            ]
            for row in rows
        ]
        logger.log_table(KEY, columns=list(COLUMNS), data=data, step=iteration)
    for number, row in enumerate(rows):
        said = [
            row.question,
            f"true: {row.true}",
            f"rewards: {row.rewards}",
            f"advantages: {row.advantages}",
            row.texts,
        ]
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(f"{KEY}/{number}", np.asarray(row.picture), iteration, dataformats="HWC")
            logger.experiment.add_text(f"{KEY}/{number}", "\n\n".join(said), iteration)
        elif isinstance(logger, MLFlowLogger):
            name, run = f"{KEY}/{iteration:06d}-{number}", str(logger.run_id)
            logger.experiment.log_image(run, np.asarray(row.picture), artifact_file=f"{name}.png")
            logger.experiment.log_text(run, "\n".join(said), artifact_file=f"{name}.txt")
