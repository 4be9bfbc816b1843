"""A Hydra launcher that runs each job of a sweep under torchrun: `scripts/train.py -m hydra/launcher=torchrun ...`."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus, configure_log, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


# Without `from __future__ import annotations`: Hydra executes plugins before sys.modules knows them, where a dataclass
# cannot look its annotations up.
@dataclass
class TorchrunConf:
    """The options below `hydra.launcher`."""

    _target_: str = "hydra_plugins.kairos_torchrun.launcher.TorchrunLauncher"
    devices_per_job: int = 1
    jobs_per_device: int = 1
    jobs: int | None = None
    minutes: float | None = None
    draw: bool = True
    max_restarts: int = 0
    stop_seconds: int = 120


ConfigStore.instance().store(group="hydra/launcher", name="torchrun", node=TorchrunConf, provider="kairos")


class TorchrunLauncher(Launcher):
    """Runs the jobs of a sweep in parallel on the GPUs of this machine, each under its own torchrun.

    A job has `devices_per_job` processes on as many GPUs; `jobs_per_device` jobs share each set of GPUs. Without GPUs,
    or with trainer.accelerator=cpu, the processes share the cores and communicate by gloo. `jobs` limits how many run
    at once (null: as many as fit; on a CPU one for every `devices_per_job` cores).

    With `minutes` (null: no limit) a job starts only if it would end in time, judged by the longest finished job, and
    running jobs are stopped at the end. `draw`: draw the sweep's page after every job.

    Stopped jobs (at the end of `minutes`, or with the sweep) have `stop_seconds` to end their iteration and save its
    checkpoint. A job of which a process dies starts again from its last checkpoint up to `max_restarts` times. When the
    launcher is killed, its jobs end too.

    Finished jobs are skipped, unfinished ones resumed. Other jobs go on if one fails; Hydra then exits with 1.
    """

    def __init__(
        self,
        devices_per_job: int = 1,
        jobs_per_device: int = 1,
        jobs: int | None = None,
        minutes: float | None = None,
        draw: bool = True,
        max_restarts: int = 0,
        stop_seconds: int = 120,
    ) -> None:
        for name, value in (("devices_per_job", devices_per_job), ("jobs_per_device", jobs_per_device), ("jobs", jobs)):
            if value is not None and value < 1:
                raise ValueError(f"hydra.launcher.{name} must be >= 1, got {value}")
        if minutes is not None and minutes <= 0:
            raise ValueError(f"hydra.launcher.minutes must be > 0, or null for no limit, got {minutes}")
        self.devices_per_job, self.jobs_per_device, self.jobs = devices_per_job, jobs_per_device, jobs
        if max_restarts < 0 or stop_seconds < 1:
            raise ValueError(
                "hydra.launcher.max_restarts must be >= 0 and hydra.launcher.stop_seconds >= 1, got "
                f"{max_restarts} and {stop_seconds}"
            )
        self.minutes, self.draw, self.max_restarts, self.stop_seconds = minutes, draw, max_restarts, stop_seconds

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from hydra_plugins.kairos_torchrun._commands import Command  # here: Hydra imports every plugin everywhere
        from hydra_plugins.kairos_torchrun._places import places
        from hydra_plugins.kairos_torchrun._pool import run_all
        from kairos.cli import UserError
        from kairos.core.stop_signals import Stopped
        from kairos.report.comparison.page import draw_sweep

        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        sweep = Path(self.config.hydra.sweep.dir)
        command = Command.of(
            self.config, self.task_function, self.devices_per_job, self.max_restarts, self.stop_seconds
        )
        jobs = [
            command.job(f"#{initial_job_idx + index}", list(overrides), sweep)
            for index, overrides in enumerate(job_overrides)
        ]
        room = places(
            self.devices_per_job, self.jobs_per_device, self.jobs, lambda: all(map(self._on_cpu, job_overrides))
        )
        print(f"{len(jobs)} jobs of {self.devices_per_job} processes, {min(len(room), len(jobs))} at once, in {sweep}")
        seconds = None if self.minutes is None else 60 * self.minutes
        draw = (lambda: draw_sweep(sweep)) if self.draw else (lambda: None)
        try:
            failed, left = run_all(jobs, room, draw, seconds, self.stop_seconds)
        except Stopped:
            left = [job for job in jobs if not job.run.finished]
            print(f"stopped: {len(left)} of {len(jobs)} jobs are left: repeat the command", file=sys.stderr, flush=True)
            raise
        listed = "".join(f"\n  {job.log}" for job in jobs if job in failed)
        said = [f"{len(failed)} of {len(jobs)} jobs failed; what they said is in{listed}"] if failed else []
        said += [f"time was up for {len(left)} of {len(jobs)} jobs: repeat the command"] if left else []
        error = UserError(f"error: {'; '.join(said)}")
        done = JobReturn(status=JobStatus.COMPLETED)
        return [
            replace(done, overrides=job.overrides)
            if job not in failed and job not in left
            else replace(done, overrides=job.overrides, status=JobStatus.FAILED, _return_value=error)
            for job in jobs
        ]

    def _on_cpu(self, overrides: Sequence[str]) -> bool:
        """Whether a job trains on a CPU; composes its configuration, because an experiment may set the accelerator."""
        config = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        return str(config.trainer.accelerator) == "cpu"
