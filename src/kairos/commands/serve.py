"""Start a `vllm serve` process that `rollout=vllm_server` samples with, on the GPUs that it sees.

It begins with random weights of the policy's sizes; a training run sends its own. It runs until it is stopped, and
whoever reaches its port can change what it answers: leave it on 127.0.0.1, or on a network that is trusted.

Examples:

    kairos serve policy=qwen2_5_vl_3b
    kairos serve policy=qwen3_vl_8b port=8001 context=8192 rows=512 kv_cache_gib=60
    kairos serve policy=qwen3_vl_8b more='[--tensor-parallel-size,2]'
    kairos serve policy=mini eager=true kv_cache_gib=0.5          # the mini world, on a CPU too
    kairos train policy=mini rollout=vllm_server                  # a run that samples with it
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import torch
from omegaconf import DictConfig

from kairos.cli import command, user_errors
from kairos.compose import part
from kairos.core.installing import install_line
from kairos.policy.language import LanguagePolicy
from kairos.rollout.vllm.servers import command as serving
from kairos.rollout.vllm.settings import Settings


@command("serve")
def main(config: DictConfig) -> None:
    with user_errors():
        line = prepared(config)
    print(" ".join(line), flush=True)
    os.execve(line[0], line, serving.environment())


def prepared(config: DictConfig) -> list[str]:
    """The command line of the server, whose folder is written. ValueError for what vLLM does not serve."""
    if find_spec("vllm") is None:
        raise ValueError(f"kairos serve needs vLLM, which is not installed: {install_line('vllm')}")
    policy = part(config.policy)
    if not isinstance(policy, LanguagePolicy):
        raise ValueError(f"kairos serve serves a language policy, not a {type(policy).__name__}: choose policy=")
    policy.build()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    settings = Settings(config.context, config.kv_cache_gib, config.rows, False, config.eager, config.dtype, None, 1)
    folder = Path(".cache") / "serve" / str(config.port)
    return serving.command(policy, folder, settings, device, config.host, config.port, list(config.more))


if __name__ == "__main__":
    main()
