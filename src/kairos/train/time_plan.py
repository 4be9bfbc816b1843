"""Translates a configured run into the inputs of the prediction of its time."""

from __future__ import annotations

from kairos.policy.language import LanguagePolicy
from kairos.policy.memory.candidate import Candidate
from kairos.policy.network.kernels.dispatch import has_package
from kairos.policy.speed.iteration import Iteration
from kairos.rollout.vllm.engine import VLLM
from kairos.train.grpo import GRPOModule


def planned_iteration(module: GRPOModule, planned: Candidate, prompts: int, devices: int) -> Iteration | None:
    """One iteration of one of `devices` devices, each with `prompts` prompts; None for a policy of no known sizes.

    Every answer is taken to be as long as it may be, every clip to fill its budget and to be new.
    """
    policy = module.policy
    if not isinstance(policy, LanguagePolicy):
        return None
    return Iteration(
        sizes=planned.sizes,
        load=planned.workload,
        sampled=prompts * module.oversample,
        learned=prompts,
        references=[planned.sizes if sizes is None else sizes for sizes in planned.references.values()],
        epochs=module.epochs,
        minibatches=module.minibatches,
        features_kept=policy.feature_cache.store is not None and not planned.sizes.vision_trained,
        devices=devices,
        fused_rule=has_package("fla"),
        vllm=isinstance(module.engine, VLLM),
    )
