"""Show what memory a run needs: `python scripts/plan.py experiment=timezero_charades_7b memory_gib=80`."""

from __future__ import annotations

from typing import cast

from hydra.utils import instantiate
from omegaconf import DictConfig

from kairos.compose import command, user_errors
from kairos.policy.memory.advice import table
from kairos.policy.memory.estimate import GIB
from kairos.train.grpo import GRPOModule
from kairos.train.memory_plan import candidate_of


@command("plan")
def main(config: DictConfig) -> None:
    with user_errors():
        print(plan(config))


def plan(config: DictConfig) -> str:
    """The table of a composed configuration. No trainer is built, so no GPU has to be there; no weights are loaded."""
    module = cast("GRPOModule", instantiate(config.module, _convert_="all"))
    strategy = str(config.trainer.get("strategy"))
    sharded, alone = "data_parallel_size" in strategy, "SingleDevice" in strategy
    shards = int(config.trainer.devices) if sharded else 1
    gpu = config.trainer.accelerator != "cpu"
    found = candidate_of(module, instantiate(config.frames), config.prompts, shards, gpu, alone)
    if found is None:
        return "nothing to plan: this policy's sizes are not configured, it is small (policy=mini, toy)"
    title = f"{config.policy.weights} on {config.trainer.devices} device(s)"
    return table(title, found, limit=config.memory_gib * GIB if config.memory_gib else None)


if __name__ == "__main__":
    main()
