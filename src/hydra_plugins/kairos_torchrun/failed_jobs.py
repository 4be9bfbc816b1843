"""Prints the error of every failed job of a sweep in this process: Hydra prints only the first."""

from __future__ import annotations

import sys
import traceback

from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import CompactHydraException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig


class FailedJobs(Callback):
    """Prints a failed job's overrides and its error: the message of a UserError, the stack trace of any other.

    The other jobs go on; after the last one Hydra raises the first error again.
    """

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: object) -> None:
        error = job_return._return_value  # the property would raise it
        if config.hydra.mode != RunMode.MULTIRUN or job_return.status != JobStatus.FAILED:
            return
        said = str(error) if isinstance(error, CompactHydraException) else _trace(error)
        name = f"#{config.hydra.job.num} {config.hydra.job.override_dirname}"
        print(f"{name} failed\n{said}", file=sys.stderr, flush=True)


def _trace(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)).rstrip()
