"""Saves small pictures of the clips that rollouts are about, for the run's page."""

from __future__ import annotations

from pathlib import Path

from lightning.pytorch.callbacks import Callback

from kairos.core.types import PromptBatch
from kairos.runs.row_strips import save_row_strip
from kairos.train.grpo import GRPOModule
from kairos.train.iteration import Turn


class RowStrips(Callback):
    """A picture of each prompt that is new, in every `every`-th iteration, until a rank has saved `most` of them."""

    turn = Turn.READ

    def __init__(self, folder: str, every: int = 1, most: int = 600) -> None:
        if every < 1 or most < 0:
            raise ValueError(f"strips: every must be >= 1 and most >= 0, got {every} and {most}")
        self.folder, self.every, self.most = Path(folder), every, most
        self.saved = 0
        """Pictures that this process has saved."""

    def after_iteration(self, module: GRPOModule, batch: PromptBatch) -> None:
        del batch
        if module.iteration % self.every:
            return
        for credited in module.credited:
            if self.saved >= self.most:
                return
            self.saved += save_row_strip(credited.group.prompt, self.folder) is not None
