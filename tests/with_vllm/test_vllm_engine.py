"""vLLM, fed with our layouts, gives its samples the log-probs that the policy's scorer gives them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from helpers.with_vllm import SERVED, TOLERANCE, engine_for

from kairos.core.types import RolloutGroup, Sampling
from kairos.policy.language import LanguagePolicy
from kairos.policy.models.lora import LoRA
from kairos.rollout.live import Live
from kairos.rollout.vllm import agreement
from kairos.rollout.vllm.agreement import Disagreement
from kairos.rollout.vllm.engine import VLLM
from kairos.rollout.vllm.weights import NotSynced

SAMPLING = Sampling(max_actions=12)
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def engines() -> dict[str, VLLM]:
    """An engine for each family, as one is first asked for: starting one takes seconds."""
    return {}


def synced(engines: dict[str, VLLM], family: str, policy: LanguagePolicy) -> VLLM:
    """The family's engine with the policy's weights; it will compare its next roll-out, as at the start of a run."""
    if family not in engines:
        engines[family] = engine_for(family)
    engines[family].sync(policy)
    engines[family]._compared = False
    return engines[family]


@pytest.fixture
def qwen3(folder: str, engines: dict[str, VLLM]) -> tuple[LanguagePolicy, VLLM]:
    """A policy, and an engine that holds its weights."""
    policy = SERVED["qwen3_vl"].policy(folder).eval()
    return policy, synced(engines, "qwen3_vl", policy)


def tokens(groups: list[RolloutGroup]) -> list[list[int]]:
    return [row.actions_A.tolist() for group in groups for row in group.rollouts]


@pytest.mark.parametrize("family", SERVED)
def test_samples_of_every_family_have_the_log_probs_of_the_scorer_before_and_after_an_update(
    folder: str, engines: dict[str, VLLM], family: str
) -> None:
    tiny, tolerance = SERVED[family], TOLERANCE[family]
    policy, prompts = tiny.policy(folder).eval(), tiny.prompts()
    engine = synced(engines, family, policy)
    assert engine.gap_of_probe <= tolerance
    first = engine.generate(prompts, 4, SAMPLING, seed=1)
    assert [len(group) for group in first] == [4, 4, 4]
    assert agreement.gap(policy, first, 1.0) <= tolerance
    banned, end = set(policy.towers.banned), policy.processor.end
    for group in first:
        for row in group.rollouts:
            written = row.actions_A.tolist()
            assert not banned & set(written) and end not in written[:-1]
            assert row.truncated is (written[-1] != end) and len(row.behavior_logprobs_A) == len(written)
            assert row.text == policy.processor.decode([token for token in written if token != end])

    optimizer = torch.optim.SGD(policy.parameters(), lr=0.05)  # of the vision tower, too
    policy.score(agreement.batch_of(agreement.first_rows(first, 1), 1.0)).logprobs_BA.sum().backward()
    torch.nn.utils.clip_grad_norm_(policy.parameters(), 10.0)
    optimizer.step()
    assert agreement.gap(policy, first, 1.0) > 4 * tolerance  # the update is far larger than what may differ
    engine.sync(policy)
    second = engine.generate(prompts, 4, SAMPLING, seed=1)  # the same clips: old features would be found
    assert agreement.gap(policy, second, 1.0) <= tolerance


def test_frames_with_times_of_their_own_and_a_temperature_agree_too(folder: str, engines: dict[str, VLLM]) -> None:
    tiny = SERVED["qwen2_5_vl"].with_single_frames()
    policy, prompts = tiny.policy(folder).eval(), tiny.prompts()
    late = replace(prompts[0].clip, seconds_T=torch.linspace(0.0, 3.0, len(prompts[0].clip)) ** 2, duration=9.5)
    prompts[0] = replace(prompts[0], clip=late)
    engine = synced(engines, "qwen2_5_vl", policy)
    groups = engine.generate(prompts, 4, replace(SAMPLING, temperature=0.7), seed=1)
    assert agreement.gap(policy, groups, 0.7) <= TOLERANCE["qwen2_5_vl"]


def test_rows_are_a_function_of_seed_prompt_and_row(qwen3: tuple[LanguagePolicy, VLLM]) -> None:
    _, engine = qwen3
    prompts = SERVED["qwen3_vl"].prompts()
    together = tokens(engine.generate(prompts, 4, SAMPLING, seed=5))
    alone = [row for prompt in prompts for row in tokens(engine.generate([prompt], 4, SAMPLING, seed=5))]
    assert together == alone and len(set(map(tuple, together))) > 3
    assert tokens(engine.generate(prompts, 4, SAMPLING, seed=6)) != together


def test_the_likeliest_answers_are_those_of_the_live_engine(qwen3: tuple[LanguagePolicy, VLLM]) -> None:
    policy, engine = qwen3
    live, greedy = Live(), replace(SAMPLING, temperature=0.0)
    live.sync(policy)
    prompts = SERVED["qwen3_vl"].prompts()
    ours, theirs = (each.generate(prompts, 2, greedy, seed=0) for each in (live, engine))
    assert tokens(theirs) == tokens(ours)
    assert all(not row.behavior_logprobs_A.any() for group in theirs for row in group.rollouts)


def test_an_adapter_is_merged_into_the_weights_that_vllm_gets(qwen3: tuple[LanguagePolicy, VLLM], folder: str) -> None:
    _, engine = qwen3
    adapted = SERVED["qwen3_vl"].policy(folder, adapter=LoRA(rank=4, alpha=8, vision=True)).eval()
    engine.sync(adapted)
    groups = engine.generate(SERVED["qwen3_vl"].prompts(), 4, SAMPLING, seed=1)
    assert agreement.gap(adapted, groups, 1.0) <= TOLERANCE["qwen3_vl"]
    with adapted.adapter.off(adapted.towers.model):
        assert agreement.gap(adapted, groups, 1.0) > 0.01  # so the adapter matters


def test_training_does_not_begin_where_both_disagree_and_the_cause_is_named(
    qwen3: tuple[LanguagePolicy, VLLM],
) -> None:
    policy, engine = qwen3
    prompts, model = SERVED["qwen3_vl"].prompts(), engine.model
    ours = model.get_mrope_input_positions, model.embed_multimodal

    model.get_mrope_input_positions = lambda tokens, videos: (torch.arange(len(tokens)).expand(3, -1).clone(), 0)
    with pytest.raises(Disagreement, match="Likely cause: positions"):
        engine.generate(prompts, 2, SAMPLING, seed=1)
    model.get_mrope_input_positions = ours[0]

    model.embed_multimodal = lambda **fields: tuple(torch.zeros_like(part) for part in ours[1](**fields))
    with pytest.raises(Disagreement, match="layout or video features"):
        engine.generate(prompts, 2, SAMPLING, seed=1)
    model.embed_multimodal = ours[1]

    with torch.no_grad():
        policy.towers.text.layers[0].mlp.up_proj.weight.mul_(1.5)
    with pytest.raises(Disagreement, match="Likely cause: weights"):
        engine.generate(prompts, 2, SAMPLING, seed=1)
    engine.sync(policy)
    engine.generate(prompts, 2, SAMPLING, seed=1)


def test_weights_that_do_not_arrive_stop_the_sync(qwen3: tuple[LanguagePolicy, VLLM]) -> None:
    policy, engine = qwen3
    load = engine.model.load_weights
    engine.model.load_weights = lambda weights: load(pair for pair in weights if "embed_tokens" not in pair[0])
    with pytest.raises(NotSynced, match="no weights for 1 parameters of vLLM"):
        engine.sync(policy)
    engine.model.load_weights = lambda weights: load((name, tensor * 2) for name, tensor in weights)
    with pytest.raises(NotSynced, match="some were not copied"):
        engine.sync(policy)
    engine.model.load_weights = load
    engine.sync(policy)


def test_what_cannot_be_sampled_is_refused(qwen3: tuple[LanguagePolicy, VLLM]) -> None:
    _, engine = qwen3
    with pytest.raises(ValueError, match=r"rollout\.context is 1024"):
        engine.generate(SERVED["qwen3_vl"].prompts(), 2, replace(SAMPLING, max_actions=1000), seed=1)
    with pytest.raises(ValueError, match="from a language policy, not from a Linear"):
        engine.sync(torch.nn.Linear(2, 2))  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match=r"call sync\(policy\) first"):
        engine_for("qwen3_vl").generate([], 2, SAMPLING, seed=1)
