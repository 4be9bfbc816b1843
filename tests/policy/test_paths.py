"""The paths that a plan names are the ones that a policy takes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from kairos.compose import compose, part
from kairos.policy.language import LanguagePolicy
from kairos.policy.network.kernels.choices import automatic_attention, choices, table
from kairos.policy.network.kernels.dispatch import Choice, Machine, fuses_head, joinable, uses_triton
from kairos.policy.paths import paths_of

HERE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def gpu(*installed: str, capability: tuple[int, int] | None = None) -> Machine:
    """A GPU that nobody can ask whether Triton builds kernels there, or of a capability."""
    return Machine("cuda", capability, has=lambda module: module in installed, version=lambda package: "3.7.1")


def planned(machine: Machine, *overrides: str) -> dict[str, str]:
    policy = part(compose(overrides).policy)
    assert isinstance(policy, LanguagePolicy)
    return {operator: path for operator, (path, _) in paths_of(policy, machine).items()}


def test_what_is_planned_on_this_machine_is_what_tensors_here_take() -> None:
    found = choices(Machine.of(HERE), Choice("x", "y"))
    x, head, other = torch.zeros(1, 8, device=HERE), nn.Linear(8, 8, bias=False).to(HERE), nn.Linear(8, 8).to(HERE)
    assert (found["norms, rotary, gates"].path == "Triton") == uses_triton(x)
    assert (found["token log-probs"].path == "Triton") == fuses_head(head, x)
    with torch.autocast("cuda", torch.bfloat16, enabled=HERE.type == "cuda"):  # as a policy computes
        assert (found["linear layers of one input"].path == "one product") == joinable(x, head, other)


def test_a_gpu_with_triton_runs_kernels_and_without_it_torch_and_its_flash_kernels() -> None:
    with_triton, without = (planned(gpu(*modules), "policy=mini") for modules in (["triton"], []))
    assert with_triton == {
        "attention, scoring": "FlashAttention-2", "attention, sampling": "Triton", "norms, rotary, gates": "Triton",
        "linear layers of one input": "one product", "token log-probs": "Triton",
    }  # fmt: skip
    assert without["norms, rotary, gates"] == without["token log-probs"] == "torch"
    assert without["attention, scoring"] == without["attention, sampling"] == "FlashAttention-2"


@pytest.mark.parametrize(
    ("override", "operator", "path"),
    [
        ("attn=sdpa", "attention, scoring", "SDPA"),
        ("attn=flash_attention_4", "attention, scoring", "FlashAttention-4"),
        ("scorer=repeated", "attention, scoring", "the scorer's own"),
        ("+policy.compile=inductor", "norms, rotary, gates", "torch"),
        ("+policy.compile=inductor", "token log-probs", "Triton"),
        ("adapter=lora", "linear layers of one input", "layer by layer"),
    ],
)
def test_what_a_run_asks_for_is_planned(override: str, operator: str, path: str) -> None:
    assert planned(gpu("triton"), "policy=mini", override)[operator] == path


def test_gated_delta_nets_are_named_where_a_policy_has_them() -> None:
    assert not any("delta" in operator for operator in planned(gpu("triton"), "policy=mini"))
    hybrid = "policy=mini_hybrid_random"
    assert planned(gpu("triton"), hybrid)["gated delta nets"] == "torch"
    assert planned(gpu("triton", "fla"), hybrid)["gated delta nets"] == "fla"


def test_a_missing_package_is_named_in_the_table() -> None:
    machine = gpu("triton")
    policy = part(compose(["policy=mini", "attn=flash_attention_4"]).policy)
    assert isinstance(policy, LanguagePolicy)
    line = table(paths_of(policy, machine)).splitlines()[0]
    assert "FlashAttention-4" in line and "missing here, install flash-attn-4" in line
    assert automatic_attention(Machine("cpu")).path == "SDPA"
