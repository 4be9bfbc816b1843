"""Show the memory that a run needs on one device, part by part, and which kernels it runs.

Says what would make it smaller. Nothing is loaded, and no GPU is needed.

Examples:

    kairos plan experiment=timezero_charades_7b memory_gib=80 data.annotations=charades data.videos=charades/videos
    kairos plan policy=qwen2_5_vl_7b adapter=lora trainer=gpu
    kairos plan policy=qwen3_vl_8b strategy=fsdp2 trainer=gpu trainer.devices=4 memory_gib=80
    kairos plan policy=qwen2_5_vl_3b prompts=4 sampling.group_size=16 trainer=gpu
    kairos plan runs/mine prompts=64                              # a run that was begun, with more prompts
"""

from __future__ import annotations

from contextlib import nullcontext

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig

from kairos.cli import command, config_dir, needs_of, user_errors
from kairos.compose import part
from kairos.policy.language import LanguagePolicy
from kairos.policy.memory.advice import table
from kairos.policy.memory.estimate import GIB
from kairos.policy.network.kernels import choices
from kairos.policy.network.kernels.dispatch import Machine
from kairos.policy.paths import paths_of
from kairos.runs.folder import RunFolder, find_run
from kairos.stored import compose_stored
from kairos.train.grpo import GRPOModule
from kairos.train.memory_plan import candidate_of


@command("plan")
def main(config: DictConfig) -> None:
    run = find_run(str(config.run)) if config.run else None
    with user_errors(), needs_of(run, config_dir()) if run else nullcontext():
        if run is not None:
            given = list(HydraConfig.get().overrides.task)
            config = compose_stored(RunFolder(run), given, config_dir(), "plan", trust=config.trust)
        print(plan(config))


def plan(config: DictConfig) -> str:
    """Tables of memory and kernels for a composed configuration; needs no GPU and loads no weights."""
    module = part(config.module)
    assert isinstance(module, GRPOModule)
    strategy = str(config.trainer.get("strategy"))
    sharded, alone = "data_parallel_size" in strategy, "SingleDevice" in strategy
    shards = int(config.trainer.devices) if sharded else 1
    gpu = config.trainer.accelerator != "cpu"
    found = candidate_of(module, instantiate(config.frames), config.prompts, shards, gpu, alone)
    paths = kernels(module, gpu, sharded)
    if found is None:
        return "no memory to plan: this policy's sizes are not configured, it is small (policy=mini, toy)" + paths
    weights = config.policy.get("weights") or config.policy["_target_"].rpartition(".")[2]
    title = f"{weights} on {config.trainer.devices} device(s)"
    return table(title, found, limit=config.memory_gib * GIB if config.memory_gib else None) + paths


def kernels(module: GRPOModule, gpu: bool, sharded: bool) -> str:
    """Which kernel each operator runs, and why; empty for policies without a language model."""
    if not isinstance(module.policy, LanguagePolicy):
        return ""
    machine = Machine.of(torch.device("cuda" if gpu else "cpu"))
    found = choices.table(paths_of(module.policy, machine, sharded))
    return f"\n\nwhat each operator runs as, with the packages that are installed here:\n{found}"


if __name__ == "__main__":
    main()
