"""Train: `python scripts/train.py experiment=quickstart`, `... run=runs/<name>` to continue, `-m` to sweep."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import hydra
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from kairos.report.compare import compare
from kairos.report.page import write_report
from omegaconf import DictConfig

from kairos.compose import CONF, Experiment, assemble, compose, config_dir, folder_of, resolved
from kairos.report.folder import RunError, RunFolder
from kairos.report.strips import save_strips
from kairos.report.summary import write_summary
from kairos.report.versions import versions
from kairos.train.callbacks.checkpoint import newest
from kairos.train.ranks import main_process

STARTED = time.perf_counter()


@hydra.main(version_base="1.3", config_path=CONF, config_name="train")
def main(config: DictConfig) -> None:
    started = STARTED if HydraConfig.get().mode == RunMode.RUN else time.perf_counter()
    config, overrides, run = _open(config)
    if run is None:
        return
    torch.manual_seed(config.seed)
    experiment = assemble(config, overrides, run.path)
    if main_process():
        run.begin(resolved(experiment.config), overrides, versions(), allow_changes=config.allow_changes)
    _fit(experiment, run)
    if not main_process():
        return
    if run.predictions.exists():
        save_strips(
            [p for batch in experiment.datamodule.batches("val", 12) for p in batch.prompts], run.path / "strips"
        )
    write_summary(run.path, seconds=time.perf_counter() - started, seed=config.seed, iterations=config.iterations)
    page = write_report(run.path)
    print(
        write_summary(run.path, seconds=time.perf_counter() - started, seed=config.seed, iterations=config.iterations)
    )
    print(f"report: {page}")
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        siblings = sorted(folder.parent for folder in run.path.parent.glob("*/metrics.jsonl"))
        print(f"curves of {len(siblings)} jobs: {compare(siblings, run.path.parent / 'curves.png')}")


def _open(config: DictConfig) -> tuple[DictConfig, list[str], RunFolder | None]:
    """The run's configuration and folder; None where a sweep's job is finished already."""
    overrides = list(HydraConfig.get().overrides.task)
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        if str(config.trainer.devices) not in ("1", "auto"):
            raise RunError("a sweep in this process runs on one device; start one `torchrun scripts/train.py` a job")
        run = RunFolder(Path(HydraConfig.get().sweep.dir) / HydraConfig.get().sweep.subdir)
    elif config.run:
        run = RunFolder(Path(config.run))
        if not run.begun:
            raise RunError(f"run={config.run} holds no run to continue (no config.yaml); leave run= out to start one")
        overrides = [*run.overrides(), *(o for o in overrides if not o.startswith("run="))]
        config = compose([*overrides, f"run={config.run}"], config_dir())
    else:
        run = RunFolder(folder_of(config, overrides))
    if config.overwrite and main_process():
        run.clear()
    if run.finished and HydraConfig.get().mode == RunMode.MULTIRUN:
        print(f"{run.path} is finished: skipped")
        return config, overrides, None
    if run.finished and not config.run:
        raise RunError(
            f"{run.path} is finished; say overwrite=true to replace it, run={run.path} iterations=N to go on"
        )
    return config, overrides, run


def _fit(experiment: Experiment, run: RunFolder) -> None:
    checkpoint = newest(run.checkpoints)
    if checkpoint is not None and main_process():
        print(f"continuing {run.path} from {checkpoint.name}")
    experiment.trainer.fit(
        experiment.module, experiment.datamodule, ckpt_path=checkpoint, weights_only=True if checkpoint else None
    )


if __name__ == "__main__":
    try:
        main()
    except RunError as error:
        sys.exit(f"error: {error}")
