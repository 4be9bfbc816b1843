"""Run by torchrun with four processes: every family's gradients under each strategy are those of one process.

torchrun --nproc-per-node=4 sharded_gradients.py <folder of a tokenizer>
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import cast

import torch
import torch.distributed as dist
from helpers.tiny_language import FAMILIES, Tiny, batch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from kairos.core.types import PromptBatch, RolloutBatch
from kairos.policy.language import LanguagePolicy
from kairos.policy.models.lora import LoRA
from kairos.policy.scoring.repeated import Repeated
from kairos.policy.scoring.shared_prefix import SharedPrefix
from kairos.policy.toy import ToyPolicy
from kairos.train.callbacks.ranks_agree import RanksAgree
from kairos.train.devices.sharding import REPLICAS, SHARDS, gathered, shard
from kairos.train.grpo import GRPOModule
from kairos.video.store.feature_stores import MemoryFeatures

WORLD = 4
GROUPS, LENGTHS = [0, 1, 2, 3, 0, 2], [5, 1, 9, 3, 2, 4]
"""A prompt for each rank, in rows of any length: two ranks have one row, the others two."""

NO_BATCH = PromptBatch((), torch.zeros(0))


def rows(language: LanguagePolicy, tiny: Tiny) -> RolloutBatch:
    prompts = tiny.prompts()
    return batch([*prompts, prompts[0]], GROUPS, LENGTHS, len(language.processor.loaded))


def learn(language: nn.Module, rollouts: RolloutBatch, mine: list[int], scale: float) -> None:
    """Backward of a loss that weighs every action differently, over the rows `mine`."""
    weights = torch.randn(rollouts.mask_BA.shape, generator=torch.Generator().manual_seed(1)) * rollouts.mask_BA
    stats = language(rollouts.take(mine))
    (scale * (weights[mine] * stats.logprobs_BA).sum()).backward()


def gradients(language: nn.Module) -> dict[str, Tensor]:
    found = {}
    for name, parameter in language.named_parameters():
        if parameter.grad is not None:
            whole = parameter.grad.full_tensor() if isinstance(parameter.grad, DTensor) else parameter.grad
            found[name.removeprefix("module.")] = whole.clone()
    return found


def compare(what: str, ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert ours.keys() == theirs.keys() and ours, (what, ours.keys() ^ theirs.keys())
    whole = torch.stack([gradient.norm() for gradient in theirs.values()]).norm()
    for name, gradient in theirs.items():
        difference = (ours[name] - gradient).norm()
        assert difference <= 1e-5 * gradient.norm() + 1e-6 * whole, (what, name, float(difference), float(whole))


def meshes() -> dict[str, tuple[DeviceMesh, bool]]:
    flat = init_device_mesh("cpu", (WORLD,), mesh_dim_names=("data_parallel",))
    grid = init_device_mesh("cpu", (2, WORLD // 2), mesh_dim_names=(REPLICAS, SHARDS))
    return {"fsdp2": (flat, False), "hsdp": (grid, False), "fsdp2_offload": (flat, True)}


def every_family(folder: str) -> None:
    rank = dist.get_rank()
    mine = [row for row, group in enumerate(GROUPS) if group == rank]
    for family, tiny in FAMILIES.items():
        alone = tiny.policy(folder, SharedPrefix())
        rollouts = rows(alone, tiny)
        learn(alone, rollouts, list(range(len(GROUPS))), 1.0)
        wanted = gradients(alone)
        for strategy, scorer in (("fsdp2", SharedPrefix()), ("hsdp", Repeated()), ("fsdp2_offload", SharedPrefix())):
            if strategy == "fsdp2_offload" and family != "qwen3_vl":
                continue
            language = tiny.policy(folder, scorer)
            shard(language, *meshes()[strategy])
            learn(language, rollouts, mine, WORLD)  # gradients are averaged
            compare(f"{family} {strategy}", gradients(language), wanted)
        if family != "qwen3_vl":
            continue
        together = DistributedDataParallel(tiny.policy(folder, SharedPrefix()))
        learn(together, rollouts, mine, WORLD)
        compare(f"{family} ddp", gradients(together), wanted)


def adapters_and_frozen_towers(folder: str) -> None:
    tiny = FAMILIES["qwen3_vl"]
    rank, (mesh, _) = dist.get_rank(), meshes()["fsdp2"]
    mine = [row for row, group in enumerate(GROUPS) if group == rank]
    variants: dict[str, Callable[[], LanguagePolicy]] = {
        "frozen tower": partial(tiny.policy, folder, SharedPrefix(), freeze=("vision",)),
        "LoRA": partial(tiny.policy, folder, SharedPrefix(), adapter=LoRA(rank=2, alpha=4)),
    }
    for name, build in variants.items():
        alone, language = build(), build()
        rollouts = rows(alone, tiny)
        learn(alone, rollouts, list(range(len(GROUPS))), 1.0)
        shard(language, mesh)
        language.feature_cache.store = MemoryFeatures(1.0)
        if rank % 2:  # these ranks need no tower any more, the others run it while they score
            prompts = rollouts.take(mine).prompts
            language.look(prompts, 8)
        learn(language, rollouts, mine, WORLD)
        compare(name, gradients(language), gradients(alone))
        assert all(isinstance(module, FSDPModule) for module in language.towers.text.layers)


def answers_of_other_lengths(folder: str) -> None:
    """While the policy is gathered ranks call it as often as they please."""
    tiny = FAMILIES["qwen3_vl"]
    language = tiny.policy(folder, SharedPrefix())
    shard(language, meshes()["hsdp"][0])
    rollouts = rows(language, tiny)
    with gathered(language), torch.no_grad():
        for _ in range(1 + dist.get_rank()):
            language(rollouts)
    assert all(isinstance(parameter, DTensor) for parameter in language.parameters())


def replicas_that_differ() -> None:
    """One replica's weights are changed: every rank says so."""
    toy = ToyPolicy()
    shard(toy, meshes()["hsdp"][0])
    RanksAgree().after_iteration(cast("GRPOModule", toy), NO_BATCH)
    if dist.get_rank() >= WORLD // 2:
        with torch.no_grad():
            cast("DTensor", toy.head).to_local().add_(1e-3)
    try:
        RanksAgree().after_iteration(cast("GRPOModule", toy), NO_BATCH)
    except ValueError as error:
        assert "the ranks hold different weights" in str(error)
    else:
        raise AssertionError("replicas that differ were not noticed")


if __name__ == "__main__":
    torch.set_num_threads(1)
    dist.init_process_group("gloo", timeout=timedelta(seconds=90))  # a deadlock is an error
    every_family(sys.argv[1])
    adapters_and_frozen_towers(sys.argv[1])
    answers_of_other_lengths(sys.argv[1])
    replicas_that_differ()
    print(f"rank {dist.get_rank()}: all gradients are equal")
    dist.destroy_process_group()
