"""Lightning's strategy for FSDP2, with replicas, offload to the host, and checkpoints written by every rank."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

import lightning as L
import torch
from lightning.fabric.utilities.device_dtype_mixin import _update_properties
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from kairos.policy.models.checkpoints import load, verify
from kairos.policy.models.shards.reading import tree_of, whole
from kairos.train.devices import shard_placing, shard_saving
from kairos.train.devices.sharding import REPLICAS, SHARDS, shard
from kairos.train.devices.strategies import RanksLauncher

_PLACED = ("state_dict", "optimizer_states")
"""Parts of a checkpoint of which every rank reads its own pieces."""


@runtime_checkable
class HoldsPolicy(Protocol):
    """A module whose `policy` is what is sharded."""

    policy: nn.Module


class FSDP2(ModelParallelStrategy):
    """Weights, gradients and moments sharded over all devices, or over an equal share of them in each of `replicas`.

    With `offload` they lie in the host's memory, where the optimiser works: a step takes longer. `sharded_checkpoints`:
    every rank writes its own shards, and a checkpoint is a folder; otherwise the main process gathers everything in its
    memory and writes one file. Either is read by any number of devices and by every strategy.
    """

    def __init__(
        self,
        replicas: int = 1,
        offload: bool = False,
        sharded_checkpoints: bool = True,
        timeout: timedelta = timedelta(minutes=30),
    ) -> None:
        if replicas < 1:
            raise ValueError(f"trainer.strategy.replicas must be >= 1, got {replicas}")
        both = "cpu:gloo,cuda:nccl"  # of offloaded shards the host computes norms
        backend = both if offload and torch.cuda.is_available() else None
        super().__init__("auto", 1, process_group_backend=backend, timeout=timeout)
        self.replicas, self.offload, self.sharded_checkpoints = replicas, offload, sharded_checkpoints

    @property
    def shards(self) -> int:
        """Devices that one copy of the weights is divided over."""
        return self.world_size // self.replicas

    def _configure_launcher(self) -> None:
        assert self.cluster_environment is not None
        self._launcher = RanksLauncher(self.cluster_environment, self.num_processes, self.num_nodes)

    def set_world_ranks(self) -> None:
        """The trainer calls this as soon as it knows the devices: ValueError where they make no equal replicas."""
        super().set_world_ranks()
        devices, least = self.num_processes * self.num_nodes, 2 * self.replicas
        if self.replicas > 1 and (devices % self.replicas or devices < least):
            fit = max(least, devices - devices % self.replicas)
            raise ValueError(
                f"strategy=hsdp: {devices} device(s) do not make trainer.strategy.replicas={self.replicas} replicas of "
                f"equally many shards, at least 2: say trainer.devices={fit // self.num_nodes} or other replicas"
            )
        self._data_parallel_size = devices

    def setup_environment(self) -> None:
        super().setup_environment()
        if self.replicas > 1:
            sizes, axes = (self.replicas, self.shards), (REPLICAS, SHARDS)
            self._device_mesh = init_device_mesh(self.root_device.type, sizes, mesh_dim_names=axes)
            assert self.lightning_module is not None
            self.lightning_module._device_mesh = self._device_mesh

    def setup(self, trainer: L.Trainer) -> None:
        module = self.lightning_module
        if not isinstance(module, HoldsPolicy):
            raise TypeError(f"FSDP2 shards the policy of a module, and a {type(module).__name__} has none")
        if not isinstance(module.policy, FSDPModule):
            shard(module.policy, self.device_mesh, self.offload)
        super().setup(trainer)

    def model_to_device(self) -> None:
        """Offloaded shards stay where they are."""
        if not self.offload:
            super().model_to_device()
            return
        assert self.model is not None and self.lightning_module is not None
        device = self.root_device
        self.model._apply(lambda held: held if isinstance(held, DTensor) else held.to(device))
        _update_properties(self.lightning_module, device=device)

    # Checkpoints

    @property
    def lightning_restore_optimizer(self) -> bool:
        return True

    def lightning_module_state_dict(self) -> dict[str, Tensor]:
        """The module's tensors as they lie here, sharded ones as DTensors."""
        assert self.lightning_module is not None
        return self.lightning_module.state_dict()

    def optimizer_state(self, optimizer: torch.optim.Optimizer) -> dict[str, object]:
        return optimizer.state_dict()

    def save_checkpoint(
        self, checkpoint: dict[str, object], filepath: str | Path, storage_options: object = None
    ) -> None:
        path = Path(self.broadcast(filepath))
        if self.sharded_checkpoints:
            shard_saving.save(checkpoint, path)
            return
        gathered = shard_placing.gathered(checkpoint, self.is_global_zero)
        if self.is_global_zero:
            self.checkpoint_io.save_checkpoint(cast("dict[str, object]", gathered), path, storage_options)

    def load_checkpoint(self, checkpoint_path: str | Path, weights_only: bool | None = None) -> dict[str, object]:
        """What a checkpoint of any strategy holds; the pieces of its tensors are read where they are put to use."""
        del weights_only  # nothing else is ever loaded
        path = Path(self.broadcast(checkpoint_path))
        verify(path)
        if not path.is_dir():
            return dict(load(path))
        return {name: tree if name in _PLACED else whole(tree) for name, tree in tree_of(path).items()}

    def load_model_state_dict(self, checkpoint: Mapping[str, object], strict: bool = True) -> None:
        module = self.lightning_module
        assert module is not None
        saved = cast("Mapping[str, object]", checkpoint["state_dict"])
        mine: Mapping[str, Tensor] = module.state_dict()
        state = {name: shard_placing.placed(name, value, mine.get(name)) for name, value in saved.items()}
        module.load_state_dict(state, strict=strict)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, object]) -> None:
        states = cast("list[shard_placing.OptimizerState]", checkpoint["optimizer_states"])
        for optimizer, saved in zip(self.optimizers, states, strict=True):
            optimizer.load_state_dict(dict(shard_placing.placed_moments(optimizer, saved)))
