"""Train: `python scripts/train.py experiment=quickstart`, `... run=runs/<name>` to continue, `-m` to sweep."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import hydra
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from kairos.compose import (
    CONF,
    Experiment,
    UserError,
    assemble,
    compose,
    config_dir,
    folder_name,
    folder_of,
    resolved,
    user_errors,
    wording,
)
from kairos.report.compare import compare
from kairos.report.folder import RunError, RunFolder, reworded
from kairos.report.page import write_report
from kairos.report.strips import save_strips
from kairos.report.summary import write_summary
from kairos.report.versions import versions
from kairos.train.callbacks.checkpoint import newest
from kairos.train.ranks import main_process

STARTED = time.perf_counter()


@hydra.main(version_base="1.3", config_path=CONF, config_name="train")
def main(config: DictConfig) -> None:
    sweep = HydraConfig.get().mode == RunMode.MULTIRUN
    started = time.perf_counter() if sweep else STARTED
    try:
        with user_errors():
            train(config, started, sweep)
    except UserError as error:
        if sweep:  # the other jobs go on; Hydra raises the first error again after the last job
            print(error, file=sys.stderr)
        raise


def train(config: DictConfig, started: float, sweep: bool) -> None:
    config, overrides, run = _open(config, sweep)
    checkpoint = _checkpoint(config, run)
    if run.finished and sweep:
        print(f"{run.path} is finished: skipped")
    else:
        torch.manual_seed(config.seed)
        _run(assemble(config, overrides, run.path), overrides, run, checkpoint, started)
    if sweep and main_process():
        _draw(run.path.parent)


def _open(config: DictConfig, sweep: bool) -> tuple[DictConfig, list[str], RunFolder]:
    """The run's configuration, overrides and folder; RunError where there is nothing that it may do."""
    overrides = list(HydraConfig.get().overrides.task)
    if sweep:
        if str(config.trainer.devices) not in ("1", "auto"):
            raise RunError("a sweep in this process runs on one device; start one `torchrun scripts/train.py` a job")
        run = RunFolder(Path(HydraConfig.get().sweep.dir) / (config.name or "sweep") / folder_name(overrides))
    elif config.run:
        run = RunFolder(Path(config.run))
        if not run.begun:
            raise RunError(f"run={config.run} holds no run to continue (no config.yaml); leave run= out to start one")
        overrides = [*run.overrides(), *(o for o in overrides if not o.startswith("run="))]
        config = compose([*overrides, f"run={config.run}"], config_dir())
    else:
        run = RunFolder(folder_of(config, overrides))
    if config.overwrite:
        if main_process():
            run.clear()
    elif run.finished and not config.run and not sweep:
        raise RunError(
            f"{run.path} is finished; say overwrite=true to replace it, run={run.path} iterations=N to go on"
        )
    return config, overrides, run


def _checkpoint(config: DictConfig, run: RunFolder) -> Path | None:
    """Where to go on from; RunError where a finished run is asked for no more than it has done."""
    checkpoint = None if config.overwrite else newest(run.checkpoints)
    if run.finished and config.run and int(run.config()["iterations"]) >= config.iterations:  # type: ignore[call-overload]
        raise RunError(f"{run.path} is finished; say iterations=N with more than its {run.config()['iterations']}")
    return checkpoint


def _run(experiment: Experiment, overrides: list[str], run: RunFolder, checkpoint: Path | None, started: float) -> None:
    config = experiment.config
    if main_process():
        says = wording(config)
        if changed := reworded(config.policy.get("weights"), says):
            print(changed)
        run.begin(resolved(config), overrides, versions(), config.allow_changes, says)
        if checkpoint is not None:
            print(f"continuing {run.path} from {checkpoint.name}")
    experiment.trainer.fit(
        experiment.module, experiment.datamodule, ckpt_path=checkpoint, weights_only=True if checkpoint else None
    )
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


def _draw(sweep: Path) -> None:
    jobs = sorted(folder.parent for folder in sweep.glob("*/metrics.jsonl"))
    try:
        print(f"curves of {len(jobs)} jobs: {compare(jobs, sweep / 'curves.png')}")
    except ValueError as error:
        print(f"no curves: {error}")


if __name__ == "__main__":
    main()
