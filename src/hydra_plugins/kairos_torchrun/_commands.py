"""Builds the command of each job: torchrun, the script, and the job's overrides."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.types import TaskFunction
from omegaconf import DictConfig

from kairos.options.quoting import literal
from kairos.runs.folder import LOG, RunError, RunFolder
from kairos.runs.names import job_folder

_AGENT = "hydra_plugins.kairos_torchrun.agent"
_SWEEPS = (
    "hydra/launcher",
    "hydra.launcher",
    "hydra/sweeper",
    "hydra.sweeper",
    "hydra.sweep",
    "hydra.mode",
    "hydra.run",
    "hydra.job.config.override_dirname",
)


@dataclass(frozen=True)
class Job:
    """One job of a sweep: its overrides, its run folder and its command."""

    name: str
    overrides: tuple[str, ...]
    run: RunFolder
    command: tuple[str, ...]
    overwrite: bool

    @property
    def log(self) -> Path:
        return self.run.path / LOG

    @property
    def skipped(self) -> bool:
        return self.run.finished and not self.overwrite


@dataclass(frozen=True)
class Command:
    """The common part of all jobs' commands: program, Hydra's flags and overrides, number of processes."""

    program: tuple[str, ...]
    hydra: tuple[str, ...]
    processes: int
    restarts: int = 0
    """How often torchrun starts a job again when one of its processes has died."""
    stop_seconds: int = 120
    """How long torchrun leaves its processes to end after a signal."""
    fixed: tuple[str, ...] = ()
    """The keys that all jobs share."""

    @classmethod
    def of(
        cls, config: DictConfig, task: TaskFunction, processes: int, restarts: int = 0, stop_seconds: int = 120
    ) -> Command:
        """The command of a sweep; RunError if trainer.devices is another number of processes."""
        if (asked := str(config.trainer.devices)) not in ("1", "auto", str(processes)):
            raise RunError(
                f"trainer.devices={asked}, but the launcher starts {processes} processes a job: leave it to "
                f"hydra.launcher.devices_per_job={asked}"
            )
        own = [o for o in config.hydra.overrides.hydra if not o.startswith(_SWEEPS)]
        extra = [s.path for s in config.hydra.runtime.config_sources if s.provider == "command-line"]
        flags = ["--config-name", config.hydra.job.config_name, *(f for path in extra for f in ("--config-dir", path))]
        fixed = tuple(config.hydra.job.config.override_dirname.exclude_keys)
        return cls((*_program(task), *flags), tuple(own), processes, restarts, stop_seconds, fixed)

    def job(self, name: str, overrides: Sequence[str], sweep: Path) -> Job:
        run = RunFolder(job_folder(sweep, overrides, self.fixed))
        devices = (
            [] if any(o.startswith("trainer.devices=") for o in overrides) else [f"trainer.devices={self.processes}"]
        )
        torchrun = [
            sys.executable, "-m", _AGENT, "--standalone", f"--nproc-per-node={self.processes}",
            f"--max-restarts={self.restarts}", f"--shutdown-timeout={self.stop_seconds}",
        ]  # fmt: skip
        folder = literal("hydra.run.dir", str(run.path))
        command = (*torchrun, *self.program, *overrides, *devices, *self.hydra, folder)
        return Job(name, tuple(overrides), run, command, "overwrite=true" in map(str.lower, overrides))


def _program(task: TaskFunction) -> tuple[str, ...]:
    """What torchrun starts to run `task`: its module where it is of a package, else its file."""
    spec = sys.modules[task.__module__].__spec__
    return ("-m", spec.name) if spec is not None else (str(Path(inspect.getfile(task)).resolve()),)
