"""Lightning's single-device and DDP strategies, changed to leave the model on the device when a run ends."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy, Strategy


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


class DDP(DDPStrategy, InPlace):
    """Weights on every device."""


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
