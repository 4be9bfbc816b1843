"""Divides this machine into places for parallel jobs: a set of GPUs or a share of the CPU cores each."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """The resources of one job."""

    devices: tuple[str, ...] = ()
    """GPUs that it sees; empty: CPU only."""
    threads: int = 0
    """Threads of each of its processes; 0: not set."""

    def environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """Environment variables of the job: the inherited ones without those of an outer torchrun."""
        others = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT")
        found = {name: value for name, value in inherited.items() if name not in others}
        if self.devices:
            found["CUDA_VISIBLE_DEVICES"] = ",".join(self.devices)
        if self.threads:
            found.setdefault("OMP_NUM_THREADS", str(self.threads))
        return found

    def __str__(self) -> str:
        return f"GPU {','.join(self.devices)}" if self.devices else "CPU"


def places(per_job: int, jobs_per_device: int, jobs: int | None, on_cpu: Callable[[], bool]) -> list[Place]:
    """The places of this machine; ValueError if it has GPUs, but too few for one job.

    `on_cpu` says whether the jobs use no GPU; it is called only if there are GPUs.
    """
    gpus = visible(os.environ.get("CUDA_VISIBLE_DEVICES"), _count())
    if gpus and on_cpu():
        gpus = []
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return shared(gpus, per_job, jobs_per_device, jobs, cores)


def shared(gpus: Sequence[str], per_job: int, jobs_per_device: int, jobs: int | None, cores: int) -> list[Place]:
    """Divides `gpus`, or without any `cores`, among jobs of `per_job` processes.

    >>> [str(place) for place in shared("01234", 2, 1, None, 8)]
    ['GPU 0,1', 'GPU 2,3']
    >>> shared("", 2, 1, None, 8)[0].threads, len(shared("", 2, 1, None, 8))
    (1, 4)
    """
    if not gpus:
        count = jobs or max(1, cores // per_job)
        return [Place(threads=max(1, cores // (count * per_job)))] * count
    if per_job > len(gpus):
        raise ValueError(f"hydra.launcher.devices_per_job={per_job}, but there are {len(gpus)} GPUs")
    sets = [Place(tuple(gpus[at : at + per_job])) for at in range(0, len(gpus) - per_job + 1, per_job)]
    return (sets * jobs_per_device)[:jobs]


def visible(named: str | None, count: int) -> list[str]:
    """The GPUs' names in CUDA_VISIBLE_DEVICES, or their numbers if it is not set."""
    return (
        [name.strip() for name in named.split(",") if name.strip()][:count] if named else list(map(str, range(count)))
    )


def _count() -> int:
    import torch

    return torch.cuda.device_count()
