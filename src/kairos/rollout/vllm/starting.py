"""Starts vLLM in this process, with the policy's sizes and no weights yet."""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
from __future__ import annotations

import functools
import os
import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from transformers import (
    PreTrainedTokenizerBase,
    Qwen2_5_VLProcessor,
    Qwen2VLVideoProcessor,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)
from transformers.models.qwen2_vl import Qwen2VLImageProcessor

from kairos.core.ranks import world
from kairos.policy.language import LanguagePolicy
from kairos.rollout.vllm.settings import Settings
from kairos.rollout.vllm.theirs import Engine

PROCESSORS = {
    "qwen2_5_vl": (Qwen2_5_VLProcessor, Qwen2VLVideoProcessor),
    "qwen3_vl": (Qwen3VLProcessor, Qwen3VLVideoProcessor),
    "qwen3_5": (Qwen3VLProcessor, Qwen3VLVideoProcessor),
}
"""transformers' processors by model type: vLLM wants them at its start, though it never runs them."""
_INSIDE = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_LOGGING_LEVEL": "ERROR"}
"""The engine is an object of this process."""
ENVIRONMENT = {
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_USE_FLASHINFER_SAMPLER": "0",  # it is compiled for minutes at its first use
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_CPU_KVCACHE_SPACE": "1",
}


def start(policy: LanguagePolicy, device: torch.device, settings: Settings) -> Engine:
    """An engine with random weights. ValueError for a family that it is not tried with.

    Training's random numbers stay as they were.
    """
    for name, value in {**ENVIRONMENT, **_INSIDE}.items():
        os.environ.setdefault(name, value)
    from vllm import LLM

    if world() > 1:  # torchrun sets these; Lightning's own launcher only some
        for name, value in (("RANK", dist.get_rank()), ("LOCAL_RANK", device.index or 0), ("WORLD_SIZE", world())):
            os.environ.setdefault(name, str(value))
    on_cpu = device.type == "cpu"
    with _undisturbed(), tempfile.TemporaryDirectory() as folder:
        prepare()
        write_folder(policy, Path(folder))
        return LLM(
            model=folder, **options(policy, settings, device), gpu_memory_utilization=0.01,
            enable_sleep_mode=not on_cpu and settings.sleeps,
            distributed_executor_backend="external_launcher" if world() > 1 else None,
        )  # fmt: skip


def options(policy: LanguagePolicy, settings: Settings, device: torch.device) -> dict[str, object]:
    """What vLLM is started with, in a training process or by `vllm serve`."""
    on_cpu = device.type == "cpu"
    recurrent = "linear_attention" in (getattr(policy.towers.model.config.get_text_config(), "layer_types", None) or ())
    return {
        "load_format": "dummy", "dtype": str(settings.dtype_on(device)).removeprefix("torch."),
        "generation_config": "vllm", "max_model_len": settings.context, "max_num_seqs": settings.rows,
        "kv_cache_memory_bytes": int(settings.kv_cache_gib * 2**30), "limit_mm_per_prompt": {"image": 0, "video": 0},
        "enable_mm_embeds": True, "mm_processor_cache_gb": 0, "enforce_eager": on_cpu or settings.eager,
        "logprobs_mode": "processed_logprobs", "enable_prefix_caching": not (on_cpu and recurrent),
        "mamba_ssm_cache_dtype": "float32", "disable_log_stats": True, **(_whole_prompts(settings) if on_cpu else {}),
    }  # fmt: skip


def prepare() -> None:
    """Change what stands in the way of weights that come later and of a model without its vision tower."""
    from vllm.platforms import current_platform

    if current_platform.is_cpu():
        _keep_weights_as_they_are()
    _make_deepstack_buffers()


def write_folder(policy: LanguagePolicy, folder: Path) -> None:
    """The configuration, tokenizer and processor that vLLM reads. ValueError for a family that it is not tried with."""
    config, tokenizer = policy.towers.model.config, policy.processor.loaded
    if config.model_type not in PROCESSORS:
        raise ValueError(
            f"rollout=vllm knows {', '.join(PROCESSORS)}, and the policy is a {config.model_type}: use rollout=live"
        )
    assert isinstance(tokenizer, PreTrainedTokenizerBase)
    whole, video = PROCESSORS[config.model_type]
    whole(Qwen2VLImageProcessor(), tokenizer, video(do_sample_frames=False, do_resize=False)).save_pretrained(folder)
    kind = type(config).from_dict({**config.to_dict(), "architectures": [type(policy.towers.model).__name__]})
    kind.save_pretrained(folder)


def _whole_prompts(settings: Settings) -> dict[str, object]:
    """On a CPU vLLM cannot put back the random number of a row whose prompt it has cut: "does not use offset".

    Where prompts are whole, it keeps no prefixes of recurrent layers.
    """
    return {"enable_chunked_prefill": False, "max_num_batched_tokens": max(settings.context, 2048)}


def _keep_weights_as_they_are() -> None:
    """On a CPU vLLM packs weights for oneDNN and drops them; ours are written anew at every sync."""
    from vllm import _custom_ops

    _custom_ops._supports_onednn = False


def _make_deepstack_buffers() -> None:
    """Without its vision tower vLLM leaves Qwen3-VL's buffers of deepstack features on the meta device."""
    from vllm.model_executor.models.qwen3_vl import Qwen3VLForConditionalGeneration as Model

    begin = Model.__init__
    if getattr(begin, "makes_buffers", False):
        return

    @functools.wraps(begin)
    def __init__(self: Model, *args: object, **options: object) -> None:
        begin(self, *args, **options)
        buffers = getattr(self, "deepstack_input_embeds", None) or []
        self.deepstack_input_embeds = [torch.zeros(buffer.shape) for buffer in buffers]

    __init__.makes_buffers = True
    Model.__init__ = __init__


@contextmanager
def _undisturbed() -> Iterator[None]:
    """vLLM seeds every generator of the process, and on a CPU forbids changing torch's number of threads."""
    threads, set_threads = torch.get_num_threads(), torch.set_num_threads
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng([torch.cuda.current_device()] if torch.cuda.is_available() else []):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002
            torch.set_num_threads = set_threads
            set_threads(threads)
