"""Keeps the batch of an update whose loss or gradient was not finite, and stops a run in which that does not end."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import safetensors.torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from kairos.core.files import write_whole
from kairos.core.types import PromptBatch, RolloutBatch
from kairos.train.devices import ranks
from kairos.train.grpo import NONFINITE, GRPOModule
from kairos.train.iteration import Turn


class NonFinite(Callback):
    """After an iteration with a skipped update (`learn/nonfinite`), every rank writes its rows to `folder`.

    `iteration-<n>-rank-<r>.safetensors` holds the rows' tensors, and the uids of their prompts in its header; the
    texts are in rollouts.jsonl. ValueError after `stop_after` such iterations in a row.
    """

    turn = Turn.READ

    def __init__(self, folder: str, stop_after: int = 3) -> None:
        if stop_after < 1:
            raise ValueError(f"callbacks.nonfinite.stop_after must be >= 1, got {stop_after}")
        self.folder, self.stop_after = Path(folder), stop_after
        self.in_a_row = 0
        """Iterations with a skipped update, up to the last one."""

    def state_dict(self) -> dict[str, int]:
        return {"in_a_row": self.in_a_row}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        self.in_a_row = state_dict["in_a_row"]

    def after_iteration(self, module: GRPOModule, batch: PromptBatch) -> None:
        del batch
        if not module.metrics.get(NONFINITE):
            self.in_a_row = 0
            return
        self.in_a_row += 1
        path = self.folder / f"iteration-{module.iteration:06d}-rank-{ranks.rank()}.safetensors"
        if module.rollouts is not None:
            write_whole(path, content(module.rollouts, module.iteration))
        says = f"iteration {module.iteration}: the loss or its gradient was not finite, so the weights were not updated"
        if self.in_a_row >= self.stop_after:
            raise ValueError(
                f"{says}, for {self.in_a_row} iterations in a row (callbacks.nonfinite.stop_after): lower "
                f"optimizer.learning_rate, and look at the batches in {self.folder}; the last checkpoint is intact"
            )
        if module.trainer.is_global_zero:
            print(f"{says}; the batch is kept in {path}", file=sys.stderr, flush=True)


def content(rollouts: RolloutBatch, iteration: int) -> bytes:
    """The rows as a safetensors file."""
    held = {name: value for name, value in vars(rollouts).items() if isinstance(value, Tensor)}
    held |= {f"reference_logprobs.{name}": value for name, value in rollouts.reference_logprobs.items()}
    uids = [prompt.uid for prompt in rollouts.prompts]
    facts = {"iteration": str(iteration), "uids": json.dumps(uids), "temperature": str(rollouts.temperature)}
    return safetensors.torch.save({name: value.cpu().contiguous() for name, value in held.items()}, facts)
