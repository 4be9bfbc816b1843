"""The paths of a run as a table, operator by operator, with the reason of each: what `scripts/plan.py` prints."""

from __future__ import annotations

from collections.abc import Mapping

from kairos.policy.network.kernels.dispatch import FLASH_PACKAGES, Choice, Machine, triton_builds
from kairos.policy.network.kernels.launch import INTERPRETED


def choices(
    machine: Machine, attention: Choice, delta_nets: Choice | None = None, *, compiled: bool = False,
    adapter: bool = False, sharded: bool = False,
) -> dict[str, Choice]:  # fmt: skip
    """The paths of a policy that scores with `attention`, and has `delta_nets` or none. Sampling is never compiled.

    >>> machine = Machine("cpu", has=lambda module: False)
    >>> print(table(choices(machine, automatic_attention(machine))))
    attention, scoring          SDPA            no GPU: tokens are gathered into padded batches
    attention, sampling         SDPA            no GPU: tokens are gathered into padded batches
    norms, rotary, gates        torch           no GPU
    linear layers of one input  layer by layer  no GPU: without autocast no weight has to be cast
    token log-probs             torch           no GPU
    """
    scoring, sampling = operators(machine, compiled), operators(machine)
    found = {
        "attention, scoring": attention,
        "attention, sampling": decode_attention(machine),
        "norms, rotary, gates": scoring,
        "linear layers of one input": linear_layers(machine, compiled, adapter, sharded),
        "token log-probs": sampling,  # the head is never compiled
    }
    if delta_nets is not None:
        found |= {"gated delta nets": delta_nets, "their convolutions": scoring, "their sampling": sampling}
    return found


def table(found: Mapping[str, Choice]) -> str:
    """Format `found` with a line for each operator: its name, its path, the reason."""
    first, second = max(map(len, found)), max(len(choice.path) for choice in found.values())
    return "\n".join(f"{name:<{first}}  {path:<{second}}  {why}" for name, (path, why) in found.items())


def automatic_attention(machine: Machine) -> Choice:
    """The kernels that `attn=automatic` takes."""
    if machine.kind == "cuda":
        if machine.capability is not None and machine.capability >= (9, 0):
            return Choice("the fastest", "cuDNN or flash kernels: timed on the GPU when the first long prompt comes")
        return Choice("FlashAttention-2", "torch brings its kernels: tokens attend as they lie, unpadded")
    return Choice("SDPA", "no GPU: tokens are gathered into padded batches")


def flash_attention(implementation: str | None, machine: Machine) -> Choice:
    """The kernels that `Varlen(implementation)` takes."""
    if machine.kind != "cuda":
        return Choice("torch", "no GPU: the plain torch twin of the flash kernels, for tests")
    if implementation is None:
        return Choice("FlashAttention-2", "asked for; torch brings its kernels")
    package = FLASH_PACKAGES[implementation]
    found = next(filter(machine.has, package.modules), None)
    why = f"missing here, install {package.install}" if found is None else f"asked for; {found} brings its kernels"
    return Choice(_flash_name(implementation), why)


def flash_lacking(implementation: str | None, machine: Machine) -> str | None:
    """What `Varlen(implementation)` lacks on `machine`; None if nothing.

    >>> flash_lacking("FA3", Machine("cpu"))
    'FlashAttention-3 runs on a GPU, and this run is on a CPU'
    """
    if machine.kind != "cuda":
        return f"{_flash_name(implementation)} runs on a GPU, and this run is on a CPU"
    if implementation is None or any(map(machine.has, FLASH_PACKAGES[implementation].modules)):
        return None
    return f"{_flash_name(implementation)} is missing here, install {FLASH_PACKAGES[implementation].install}"


def _flash_name(implementation: str | None) -> str:
    return f"FlashAttention-{(implementation or 'FA2').removeprefix('FA')}"


def cudnn_attention(machine: Machine) -> Choice:
    """The kernels that `Cudnn` takes."""
    if machine.kind != "cuda":
        return Choice("torch", "no GPU: the plain torch twin of the kernels, for tests")
    return Choice("cuDNN", "asked for; long prompts by cuDNN's dense kernels, the rest by torch's flash kernels")


def decode_attention(machine: Machine) -> Choice:
    """The kernels of a decode step's attention."""
    if machine.kind != "cuda":
        return automatic_attention(machine)
    fused = operators(machine)
    return fused if fused.path == "Triton" else Choice("FlashAttention-2", fused.why)


def operators(machine: Machine, compiled: bool = False) -> Choice:
    """The path of the operators that have a Triton kernel and a plain torch twin."""
    if compiled:
        return Choice("torch", "policy.compile: torch's compiler fuses plain torch itself")
    if machine.kind != "cuda" and not INTERPRETED:
        return Choice("torch", "no GPU")
    if not machine.has("triton"):
        return Choice("torch", "Triton is not installed")
    if machine.kind == "cuda" and machine.capability is None:
        return Choice("Triton", "installed; whether it builds kernels shows on the GPU")
    return Choice("Triton", "it builds kernels here") if triton_builds() else Choice("torch", "Triton builds none here")


def linear_layers(machine: Machine, compiled: bool = False, adapter: bool = False, sharded: bool = False) -> Choice:
    """The path of linear layers that read the same input: one product where autocast would cast their weights."""
    for apart, why in (
        (compiled, "policy.compile: torch's compiler is given the layers"),
        (machine.kind != "cuda", "no GPU: without autocast no weight has to be cast"),
        (sharded, "sharded weights are gathered in the dtype of the products"),
        (adapter, "adapter: frozen weights are bf16, and adapted layers are called"),
    ):
        if apart:
            return Choice("layer by layer", why)
    return Choice("one product", "trained fp32 weights are cast into one matrix; frozen bf16 ones stay apart")
