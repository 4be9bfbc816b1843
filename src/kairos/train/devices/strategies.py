"""Lightning's strategies for one device and for DDP, leaving the model's state on the device when a run ends."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy, Strategy


def alone(strategy: Strategy) -> bool:
    """Whether one process holds all weights, so that no other process takes part in its gradients."""
    return isinstance(strategy, SingleDeviceStrategy)


class InPlace(Strategy):
    """Moves nothing to host memory at the end of a run: 16 bytes a parameter and process may not fit there.

    It stands behind the strategy among the bases, so that it replaces `Strategy.teardown` and nothing in between.
    """

    def teardown(self) -> None:
        assert self.accelerator is not None
        self.precision_plugin.teardown()
        self.accelerator.teardown()
        self.checkpoint_io.teardown()


class DDP(DDPStrategy, InPlace):
    """Weights on every device."""


class SingleDevice(SingleDeviceStrategy, InPlace):
    """The trainer's one device, as `strategy: auto` chooses it. ValueError where the trainer has several.

    After an error everything is moved to the host: a sweep or a notebook keeps the error, and so the module, alive.
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
