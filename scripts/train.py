"""Train: `python scripts/train.py experiment=quickstart`, `... run=runs/<name>` to continue, `-m` to sweep."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from kairos.compose import (
    Experiment,
    UserError,
    assemble,
    command,
    compose,
    config_dir,
    folder_name,
    folder_of,
    literal,
    resolved,
    user_errors,
    wording,
)
from kairos.report.comparison import draw_sweep
from kairos.report.folder import RunError, RunFolder, reworded
from kairos.report.page import write_report
from kairos.report.sessions import begin_session, end_session
from kairos.report.strips import save_strips
from kairos.report.summary import summary_of, write_summary
from kairos.report.versions import versions
from kairos.train.callbacks.checkpoint import newest
from kairos.train.ranks import main_process

STARTED = time.time()


@command("train")
def main(config: DictConfig) -> None:
    sweep = HydraConfig.get().mode == RunMode.MULTIRUN
    started = time.time() if sweep else STARTED
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
        draw_sweep(run.path.parent)


def _open(config: DictConfig, sweep: bool) -> tuple[DictConfig, list[str], RunFolder]:
    """The run's configuration, overrides and folder; RunError where there is nothing that it may do."""
    overrides = list(HydraConfig.get().overrides.task)
    if sweep:
        if str(config.trainer.devices) not in ("1", "auto"):
            raise RunError(
                "a sweep in this process runs on one device; for several a job say "
                f"hydra/launcher=torchrun hydra.launcher.devices_per_job={config.trainer.devices}"
            )
        folder = Path(HydraConfig.get().sweep.dir)
        if RunFolder(folder).begun:
            raise RunError(f"{folder} is a run, so it cannot hold a sweep: choose another name=")
        run = RunFolder(folder / folder_name(overrides))
    elif config.run:
        run = RunFolder(Path(config.run))
        if not run.begun:
            raise RunError(f"run={config.run} holds no run to continue (no config.yaml); leave run= out to start one")
        overrides = [*run.overrides(), *(o for o in overrides if not o.startswith("run="))]
        config = compose([*overrides, literal("run", config.run)], config_dir())
    else:
        chosen = Path(HydraConfig.get().run.dir)  # a launcher says which folder a job has
        run = RunFolder(folder_of(config, overrides) if chosen == Path() else chosen)
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
        begin_session(run.path, started)
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
    row = summary_of(run.path, seed=config.seed, iterations=config.iterations)
    page = write_report(run.path, row)
    print(write_summary(run.path, row, end_session(run.path, time.time())))
    print(f"report: {page}")


if __name__ == "__main__":
    main()
