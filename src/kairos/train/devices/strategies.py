"""Lightning's strategies for one device and for DDP; weights, gradients and moments stay there when a run ends."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy, Strategy


def alone(strategy: Strategy) -> bool:
    """Whether there is one process with whole weights, so that nobody else waits for a gradient."""
    return isinstance(strategy, SingleDeviceStrategy)


class InPlace(Strategy):
    """Moves nothing to the host at the end, where 16 bytes a parameter and process may not fit.

    A later base than the strategy it serves, so that only `Strategy.teardown` is replaced, and none in between.
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

    After an error everything does go to the host: a sweep or a notebook keeps the error, and with it the module.
    """

    parallel_devices: Sequence[torch.device] = ()  # these two are set by the trainer, where a strategy has them
    num_nodes = 1
    failed = False

    def set_world_ranks(self) -> None:
        """What a trainer calls as soon as it has set them."""
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
