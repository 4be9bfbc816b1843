"""vLLM by itself loads what Kairos exports: merged weights, and an adapter alone beside its base."""

# pyright: reportMissingImports=false
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from helpers.with_vllm import SERVED

from kairos.core.types import Rollout, RolloutGroup
from kairos.policy.language import LanguagePolicy
from kairos.policy.models.lora import LoRA
from kairos.policy.network.layouts import layout_of
from kairos.rollout.vllm import agreement

FAMILY, ADAPTER = "qwen3_vl", LoRA(rank=8, alpha=16)
TOLERANCE = 1e-4
pytestmark = pytest.mark.timeout(300)


@contextmanager
def loaded(folder: Path, lora: bool) -> Iterator[object]:
    from vllm import LLM

    yield LLM(
        model=str(folder), dtype="float32", enforce_eager=True, max_model_len=512, max_num_seqs=8,
        kv_cache_memory_bytes=2**28, logprobs_mode="processed_logprobs", enable_lora=lora, max_lora_rank=8,
        limit_mm_per_prompt={"image": 0, "video": 0}, generation_config="vllm", disable_log_stats=True,
    )  # fmt: skip


def gap_of(engine: object, policy: LanguagePolicy, adapter: Path | None = None) -> float:
    """How far vLLM's log-probs of four sampled answers to a text are from the policy's, in nats a token."""
    from vllm import SamplingParams
    from vllm.lora.request import LoRARequest

    prompt = agreement.text_prompt(policy)
    wanted = SamplingParams(
        n=4, temperature=1.0, max_tokens=12, seed=1, logprobs=0, stop_token_ids=[policy.processor.end],
        ignore_eos=True, detokenize=False, logit_bias=dict.fromkeys(policy.towers.banned, -100.0),
    )  # fmt: skip
    given = LoRARequest("trained", 1, str(adapter)) if adapter else None
    tokens = {"prompt_token_ids": layout_of(prompt).ids_L.tolist()}
    (reply,) = engine.generate([tokens], wanted, use_tqdm=False, lora_request=given)  # type: ignore[attr-defined]
    rows = []
    for sample in reply.outputs:
        ids = list(sample.token_ids)
        told = [step[token].logprob for step, token in zip(sample.logprobs, ids, strict=True)]
        rows.append(Rollout("", torch.tensor(ids), torch.tensor(told)))
    return agreement.gap(policy, [RolloutGroup(prompt, tuple(rows))], 1.0, video=False)


def test_an_export_answers_as_the_policy_merged_or_as_an_adapter_beside_its_base(folder: str, tmp_path: Path):
    base, adapted = SERVED[FAMILY].policy(folder).eval(), SERVED[FAMILY].policy(folder, adapter=ADAPTER).eval()
    base.save_pretrained(tmp_path / "base")
    adapted.save_pretrained(tmp_path / "merged")
    with loaded(tmp_path / "base", lora=True) as engine:
        assert gap_of(engine, base) <= TOLERANCE < 0.01 < gap_of(engine, adapted)
        assert gap_of(engine, adapted, tmp_path / "merged" / "adapter") <= TOLERANCE
    with loaded(tmp_path / "merged", lora=False) as engine:
        assert gap_of(engine, adapted) <= TOLERANCE
