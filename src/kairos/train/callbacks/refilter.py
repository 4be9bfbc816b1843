"""Selects the prompts of every epoch by the rewards of the previous epoch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback

from kairos.core.seeds import mix
from kairos.core.types import Sampling
from kairos.curriculum.rewards import PromptRewards
from kairos.curriculum.selections import Selection, read_selection, write_selection
from kairos.curriculum.subset import Refiltering, by_prompt
from kairos.evaluation.prompt_rewards import measure_rewards
from kairos.runs.row_files import rows_of
from kairos.train.callbacks.fitted import callbacks_of, data_of, module_of
from kairos.train.callbacks.log import RunLog
from kairos.train.callbacks.validation import greedy_engine
from kairos.train.devices import ranks, sharding
from kairos.train.feed.indices import Epoch, RankBatches


class Refilter(Callback):
    """Writes `selections/<epoch>.json` below `folder` before each epoch but the first.

    A checkpoint holds the file's name and hash; another hash at resume is an error. If fewer prompts are left than one
    step needs, the epoch uses the prompts of the previous one and prints so. With source "pass", `size` prompts are
    answered at once.
    """

    def __init__(self, folder: str, size: int = 64) -> None:
        self.folder, self.size = Path(folder), size
        self.number, self.first, self.file, self.hash = 0, 0, "", ""

    def state_dict(self) -> dict[str, object]:
        return {"epoch": self.number, "first": self.first, "file": self.file, "hash": self.hash}

    def load_state_dict(self, state_dict: dict[str, int | str]) -> None:
        self.number, self.first = int(state_dict["epoch"]), int(state_dict["first"])
        self.file, self.hash = str(state_dict["file"]), str(state_dict["hash"])

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self.module, self.data = module_of(pl_module), data_of(trainer)
        self.data.follow(self)
        logs = [callback for callback in callbacks_of(trainer) if isinstance(callback, RunLog)]
        if self.rule.source == "rollouts" and not any(log.rollouts_every == 1 for log in logs):
            raise ValueError(
                "curriculum.refilter.source=rollouts reads every iteration's rollouts: set "
                "callbacks.log.rollouts_every=1, or curriculum.refilter.source=pass"
            )

    @property
    def rule(self) -> Refiltering:
        if self.data.order.refilter is None:
            raise ValueError("callbacks.refilter needs curriculum=refilter, which says what is kept")
        return self.data.order.refilter

    def current(self, batches: RankBatches) -> Epoch:
        """The epoch of the module's iteration; begins the next one, on all ranks, if the last is finished."""
        iteration, pool = self.module.iteration, self._indices()
        if iteration >= self.first + batches.epoch(self.number, pool).steps:
            pool = self._next(batches, self.data.pool.names(pool))
            self.number, self.first = self.number + 1, iteration
        if iteration == self.first:
            self.module.meter.put("curriculum/epoch", float(self.number))
            self.module.meter.put("curriculum/prompts", float(batches.size if pool is None else len(pool)))
        return Epoch(self.number, self.first, pool)

    def _indices(self) -> list[int] | None:
        """The indices of the current epoch's prompts. ValueError if the file is not that of the checkpoint."""
        if not self.file:
            return self.data.pool.indices
        path = self.folder / self.file
        if not path.exists():
            raise ValueError(f"{path}, the prompts of epoch {self.number}, is missing: restore the file, or start anew")
        selection = read_selection(path)
        if selection.hash != self.hash:
            raise ValueError(
                f"{path} is not the selection of this run's checkpoint (hash {selection.hash}, not {self.hash}): "
                "restore the file, or start anew"
            )
        return self.data.pool.find(selection)

    def _next(self, batches: RankBatches, before: list[str]) -> list[int]:
        """Choose, write and read back the next epoch's prompts."""
        everyone = self.data.pool.names(self.data.pool.indices) if self.rule.source == "pass" else before
        rows = self._asked() if self.rule.source == "pass" else self._rollouts()
        kept = ranks.gather(self.rule.kept(everyone, rows) if ranks.rank() == 0 else [])
        if len(kept) < batches.prompts * batches.world:
            _say(
                f"epoch {self.number + 1}: only {len(kept)} of {len(everyone)} prompts would be kept, fewer than one "
                f"step; it goes over the {len(before)} prompts of epoch {self.number} again"
            )
            kept = before
        selection = Selection(tuple(kept))
        self.file, self.hash = f"selections/{self.number + 1}.json", selection.hash
        if ranks.rank() == 0:
            write_selection(self.folder / self.file, selection)
        return self.data.pool.find(selection)

    def _rollouts(self) -> list[PromptRewards]:
        """The rewards of the finished epoch's rollouts; on the main process only."""
        return by_prompt(self._logged()) if ranks.rank() == 0 else []

    def _logged(self) -> Iterator[Mapping[str, object]]:
        for row in rows_of(self.folder / "rollouts.jsonl"):
            if self.first < row["iteration"] <= self.module.iteration:
                yield row

    @torch.no_grad()
    def _asked(self) -> list[PromptRewards]:
        """The rewards of one greedy answer to every prompt of the run, with the next epoch's template."""
        module, data = self.module, self.data
        engine = greedy_engine(module.engine)
        engine.setup(module.device)
        greedy = Sampling(temperature=0.0, max_actions=module.sampling.max_actions)
        phase = data.phase(self.number + 1)
        with sharding.gathered(module.policy):
            engine.sync(module.trained)
            batches = data.batches("train", size=self.size, indices=data.pool.indices, phase=phase)
            seed = mix(module.seed, "refilter", self.number + 1)
            found = [
                row
                for rows in measure_rewards(engine, module.reward, batches, greedy, 1, seed)
                for row in rows
                if isinstance(row, PromptRewards)
            ]
            engine.release()
        return ranks.gather(found)


def _say(text: str) -> None:
    if ranks.main_process():
        print(text)
