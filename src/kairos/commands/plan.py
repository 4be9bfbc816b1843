"""Show the memory that a run needs, how long it will take on H200s, and which kernels it runs.

Says what would make it smaller. Nothing is loaded, and no GPU is needed.

Examples:

    kairos plan experiment=timezero_charades_7b memory_gib=80 data.annotations=charades data.videos=charades/videos
    kairos plan policy=qwen2_5_vl_7b adapter=lora trainer=gpu
    kairos plan policy=qwen3_vl_8b strategy=fsdp2 trainer=gpu trainer.devices=4 memory_gib=80
    kairos plan policy=qwen2_5_vl_3b prompts=4 sampling.group_size=16 trainer=gpu answer_tokens=150
    kairos plan runs/mine prompts=64                              # a run that was begun, with more prompts
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, ListConfig

from kairos.cli import command, config_dir, needs_of, user_errors
from kairos.compose import part
from kairos.policy.language import LanguagePolicy
from kairos.policy.memory.advice import table
from kairos.policy.memory.candidate import Candidate
from kairos.policy.memory.estimate import GIB
from kairos.policy.memory.fastest import at_fastest
from kairos.policy.memory.host import Host
from kairos.policy.network.kernels import choices
from kairos.policy.network.kernels.dispatch import Machine
from kairos.policy.paths import paths_of
from kairos.policy.speed.amounts import h200
from kairos.policy.speed.table import time_table
from kairos.runs.folder import RunFolder, find_run
from kairos.stored import compose_stored
from kairos.train.grpo import GRPOModule
from kairos.train.memory_plan import candidate_of
from kairos.train.time_plan import planned_iteration
from kairos.video.budget import PixelBudget

_H200_GIB = 139.8


@command("plan")
def main(config: DictConfig) -> None:
    run = find_run(str(config.run)) if config.run else None
    with user_errors(), needs_of(run, config_dir()) if run else nullcontext():
        if run is not None:
            given = list(HydraConfig.get().overrides.task)
            config = compose_stored(RunFolder(run), given, config_dir(), "plan", trust=config.trust)
        print(plan(config))


def plan(config: DictConfig) -> str:
    """Tables of memory, time and kernels for a composed configuration; needs no GPU and loads no weights."""
    module = part(config.module)
    assert isinstance(module, GRPOModule)
    strategy = str(config.trainer.get("strategy"))
    shards, alone = shards_of(config), "SingleDevice" in strategy
    gpu = config.trainer.accelerator != "cpu"
    budget = instantiate(config.frames)
    found = candidate_of(module, budget, config.prompts, shards, gpu, alone)
    paths = kernels(module, gpu, shards > 1)
    if found is None:
        return "no memory to plan: this policy's sizes are not configured, it is small (policy=mini, toy)" + paths
    weights = config.policy.get("weights") or config.policy["_target_"].rpartition(".")[2]
    title = f"{weights} on {config.trainer.devices} device(s)"
    memory = table(title, found, limit=config.memory_gib * GIB if config.memory_gib else None)
    host = host_memory(config, found, budget)
    return "\n\n".join(filter(None, [memory, host, time(config, module, found) if gpu else ""])) + paths


def shards_of(config: DictConfig) -> int:
    """Devices that weights and moments are divided over; 1 where each holds all of them."""
    strategy = config.trainer.get("strategy")
    sharded = isinstance(strategy, DictConfig) and ("data_parallel_size" in strategy or "replicas" in strategy)
    return _devices(config) // int(strategy.get("replicas", 1)) if sharded else 1


def host_memory(config: DictConfig, found: Candidate, budget: PixelBudget) -> str:
    """What one host needs, line by line."""
    strategy = config.trainer.get("strategy")
    given = strategy if isinstance(strategy, DictConfig) else DictConfig({})
    kept = 0.0 if found.sizes.vision_trained or not config.features else features_gib(config.features)
    host = Host(
        processes=_count(config),
        workers=config.workers,
        prompts=config.prompts * config.oversample,
        prefetch=2,
        token_pixels=budget.factor**2,
        features_gib=kept,
        offloaded=bool(given.get("offload")),
        sharded_checkpoints=bool(given.get("sharded_checkpoints")),
    )
    lines = list(host.allocations(found.sizes, found.workload))
    shown = [f"  {line.size / GIB:8.1f} GiB  {line.name}" for line in lines]
    total = f"  {sum(line.size for line in lines) / GIB:8.1f} GiB  at most; clips of the store are mapped, not held"
    return "\n".join(["estimated memory of a host", *shown, total])


def features_gib(features: DictConfig) -> float:
    """GiB of features that a process keeps in the host's memory."""
    memory = features.get("memory", features)
    return float(memory.get("gigabytes") or 0.0) if memory.get("device", "cpu") == "cpu" else 0.0


def time(config: DictConfig, module: GRPOModule, found: Candidate) -> str:
    """Seconds of an iteration and hours of the run, at the rates of an H200; empty for other policies."""
    if config.answer_tokens:
        found = replace(found, workload=replace(found.workload, completion=config.answer_tokens))
    if isinstance(module.policy, LanguagePolicy) and module.policy.recompute == "auto":
        found = at_fastest(found, (config.memory_gib or _H200_GIB) * GIB)
    planned = planned_iteration(module, found, config.prompts, _devices(config))
    return "" if planned is None else time_table(planned, config.iterations, h200())


def _devices(config: DictConfig) -> int:
    """Devices of the run, all hosts together."""
    return _count(config) * int(config.trainer.get("num_nodes") or 1)


def _count(config: DictConfig) -> int:
    """Devices of one host."""
    devices = config.trainer.devices
    return int(devices) if str(devices).isdecimal() else len(devices) if isinstance(devices, ListConfig) else 1


def kernels(module: GRPOModule, gpu: bool, sharded: bool) -> str:
    """Which kernel each operator runs, and why; empty for policies without a language model."""
    if not isinstance(module.policy, LanguagePolicy):
        return ""
    machine = Machine.of(torch.device("cuda" if gpu else "cpu"))
    found = choices.table(paths_of(module.policy, machine, sharded))
    return f"\n\nwhat each operator runs as, with the packages that are installed here:\n{found}"


if __name__ == "__main__":
    main()
