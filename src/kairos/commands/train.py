r"""Train a policy by reinforcement learning; go on with a run; sweep.

Without options: TimeZero's method on the mini world, whose clips are rendered on the way. A run writes its weights,
rollouts and page to runs/<name>/; without a name the folder is named after the options.

Examples:

    kairos train                                                  # the mini world, on a CPU
    kairos train method=time_r1 shape=log_exp seed=1 name=mine    # another method, one part exchanged
    kairos train data=jsonl data.annotations=mine.jsonl data.videos=videos \
        policy=qwen3_vl_4b adapter=lora trainer=gpu               # your own clips, a larger policy
    kairos train runs/mine iterations=40                          # go on with a run
    kairos train -m shape=identity,log_exp seed=0,1,2 name=shapes  # a sweep: every combination, a folder each
"""

from __future__ import annotations

import os
import time
from contextlib import nullcontext
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig
from rich.console import Console

from kairos.cli import command, config_dir, needs_of, user_errors
from kairos.compose import alone, carry_out
from kairos.core.stop_signals import Stopped
from kairos.options.quoting import literal
from kairos.report.comparison.page import draw_sweep
from kairos.report.ends import end_table
from kairos.runs.folder import LOG, RunError, RunFolder
from kairos.runs.names import job_folder, run_folder
from kairos.runs.typed import repeat_to
from kairos.stored import compose_stored, kept_beside
from kairos.train.callbacks.checkpoint import newest
from kairos.train.devices.ranks import main_process

STARTED = time.time()


@command("train")
def main(config: DictConfig) -> None:
    sweep = HydraConfig.get().mode == RunMode.MULTIRUN
    started = time.time() if sweep else STARTED
    try:
        with user_errors():
            train(config, started, sweep)
    except Stopped:
        if sweep:
            print(f"the sweep is stopped at job #{HydraConfig.get().job.num}: {repeat_to('for what is left')}")
        raise
    finally:
        if sweep and main_process():
            _draw(Path(HydraConfig.get().sweep.dir))


def train(config: DictConfig, started: float, sweep: bool) -> None:
    with needs_of(Path(config.run), config_dir()) if config.run else nullcontext():
        config, overrides, run = _open(config, sweep)
        with alone(run):
            if config.overwrite and main_process():
                run.clear()
            if run.finished and sweep:
                print(f"{run.path} is finished: skipped")
                return
            checkpoint = _checkpoint(config, run)
            summary = carry_out(config, overrides, run, checkpoint, started, config_dir())
        if summary is not None:
            Console().print(end_table(run.path, summary))
            print(f"report: {run.path / 'report.html'}")


def _draw(sweep: Path) -> None:
    """Draw the page of the sweep so far, also after a failed job; never into a folder that is itself a run."""
    if sweep.is_dir() and not RunFolder(sweep).begun:
        draw_sweep(sweep)


def _open(config: DictConfig, sweep: bool) -> tuple[DictConfig, list[str], RunFolder]:
    """The run's configuration, overrides and folder; RunError if the folder may not be used."""
    overrides = list(HydraConfig.get().overrides.task)
    if int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0:
        config.overwrite = False  # torchrun starts again what it began: the run goes on
    if sweep:
        if str(config.trainer.devices) not in ("1", "auto"):
            raise RunError(
                "a sweep in this process runs on one device; for several a job say "
                f"hydra/launcher=torchrun hydra.launcher.devices_per_job={config.trainer.devices}"
            )
        folder = Path(HydraConfig.get().sweep.dir)
        if RunFolder(folder).begun:
            raise RunError(f"{folder} is a run, so it cannot hold a sweep: choose another name=")
        run = RunFolder(job_folder(folder, overrides, HydraConfig.get().job.config.override_dirname.exclude_keys))
        run.path.mkdir(parents=True, exist_ok=True)
        (run.path / LOG).touch()  # the sweep's page counts a job by it that fails before it begins
    elif config.run:
        run = RunFolder(Path(config.run))
        if not run.begun:
            raise RunError(f"run={config.run} holds no run to continue (no config.yaml); leave run= out to start one")
        typed = [override for override in overrides if not override.startswith("run=")]
        overrides = [*kept_beside(run.overrides(), typed), *typed]
        typed.append(literal("run", config.run))
        config = compose_stored(run, typed, config_dir(), trust=config.trust)
    else:
        chosen = Path(HydraConfig.get().run.dir)  # a launcher says which folder a job has
        run = RunFolder(run_folder(config.run, config.name, overrides) if chosen == Path() else chosen)
    if run.finished and not (config.overwrite or config.run or sweep):
        raise RunError(
            f"{run.path} is finished; say overwrite=true to replace it, run={run.path} iterations=N to go on"
        )
    return config, overrides, run


def _checkpoint(config: DictConfig, run: RunFolder) -> Path | None:
    """The checkpoint to resume from, if any; RunError if a finished run is given no further iterations."""
    checkpoint = None if config.overwrite else newest(run.checkpoints)
    if run.finished and config.run and int(run.config()["iterations"]) >= config.iterations:  # type: ignore[call-overload]
        raise RunError(f"{run.path} is finished; say iterations=N with more than its {run.config()['iterations']}")
    return checkpoint


if __name__ == "__main__":
    main()
