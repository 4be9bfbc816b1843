"""Lightning's single-device and DDP strategies, changed to leave the model on the device when a run ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

import lightning as L
import torch
from lightning.fabric.utilities.distributed import _set_num_threads_if_needed
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy, Strategy
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher


def alone(strategy: Strategy) -> bool:
    """Whether the run has one process, so that gradients are not averaged with others."""
    return isinstance(strategy, SingleDeviceStrategy)


class InPlace(Strategy):
    """Leaves model and optimiser on the device at the end of a run: 16 bytes a parameter may not fit into host memory.

    Listed after the strategy among the bases, so it replaces only `Strategy.teardown`.
    """

    def teardown(self) -> None:
        assert self.accelerator is not None
        self.precision_plugin.teardown()
        self.accelerator.teardown()
        self.checkpoint_io.teardown()


def minutes(count: float) -> timedelta:
    """How long a rank waits for the others in a collective before it fails: the `timeout` of a strategy."""
    if count <= 0:
        raise ValueError(f"timeout_minutes must be > 0, got {count}")
    return timedelta(minutes=count)


class DDP(DDPStrategy, InPlace):
    """Weights on every device."""

    def _configure_launcher(self) -> None:
        assert self.cluster_environment is not None
        self._launcher = RanksLauncher(self.cluster_environment, self.num_processes, self.num_nodes)


class RanksLauncher(_SubprocessScriptLauncher):
    """Lightning's launcher without the thread that kills this process, by SIGKILL, when another rank has failed.

    `WatchRanks` ends it instead, and says why.
    """

    def launch(
        self, function: Callable[..., object], *args: object, trainer: L.Trainer | None = None, **kwargs: object
    ) -> object:
        self.cluster_environment.validate_settings(num_devices=self.num_processes, num_nodes=self.num_nodes)
        if not self.cluster_environment.creates_processes_externally:
            self._call_children_scripts()
        _set_num_threads_if_needed(num_processes=self.num_processes)
        return function(*args, **kwargs)


class SingleDevice(SingleDeviceStrategy, InPlace):
    """The trainer's one device, as `strategy: auto` chooses it. ValueError if the trainer has several.

    After an error the module is moved to the host: the error, which a sweep or a notebook keeps, keeps it alive.
    """

    parallel_devices: Sequence[torch.device] = ()  # the trainer sets these two on strategies that have them
    num_nodes = 1
    failed = False

    def set_world_ranks(self) -> None:
        """The trainer calls this as soon as it has set `parallel_devices` and `num_nodes`."""
        if len(self.parallel_devices) * self.num_nodes > 1:
            raise ValueError(
                f"strategy=single trains on one device, got {len(self.parallel_devices)} on each of {self.num_nodes} "
                "node(s): say strategy=ddp or strategy=fsdp2, or trainer.devices=1"
            )

    @property
    def root_device(self) -> torch.device:
        return self.parallel_devices[0] if self.parallel_devices else super().root_device

    def on_exception(self, exception: BaseException) -> None:
        self.failed = True

    def teardown(self) -> None:
        failed, self.failed = self.failed, False
        if failed:
            SingleDeviceStrategy.teardown(self)
        else:
            super().teardown()
