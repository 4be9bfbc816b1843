"""Says which path each operator of a language policy will take, before the policy is built."""

from __future__ import annotations

from kairos.policy.families.qwen3_5 import Qwen35
from kairos.policy.language import LanguagePolicy
from kairos.policy.network.kernels.choices import choices
from kairos.policy.network.kernels.dispatch import Choice, Machine, delta_net
from kairos.policy.scoring.repeated import Repeated
from kairos.policy.scoring.scorer import CompletionScorer
from kairos.policy.scoring.shared_prefix import SharedPrefix


def paths_of(policy: LanguagePolicy, machine: Machine, sharded: bool = False) -> dict[str, Choice]:
    """Maps each operator to its path on `machine` and the reason; `sharded` says that fsdp2 shards the weights."""
    return choices(
        machine,
        attention_of(policy.scorer, machine),
        delta_nets_of(policy, machine),
        compiled=policy.compile_with is not None,
        adapter=policy.adapter is not None,
        sharded=sharded,
    )


def attention_of(scorer: CompletionScorer, machine: Machine) -> Choice:
    """The attention kernels that `scorer` takes on `machine`."""
    attn = scorer.attn if isinstance(scorer, SharedPrefix | Repeated) else None
    return Choice("the scorer's own", type(scorer).__name__) if attn is None else attn.choice(machine)


def delta_nets_of(policy: LanguagePolicy, machine: Machine) -> Choice | None:
    """What computes the text tower's gated delta nets; None where it has none."""
    if not isinstance(policy.family, Qwen35):
        return None
    asked = policy.family.kernels
    return delta_net(machine) if asked is None else Choice(type(asked).__name__, "asked for")
