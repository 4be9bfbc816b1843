"""One configuration of a training step on one device: the models' sizes and the workload, as one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kairos.policy.memory.answering import Answering
from kairos.policy.memory.colocated import Colocated
from kairos.policy.memory.estimate import Estimate, estimate
from kairos.policy.memory.sizes import Sizes
from kairos.policy.memory.workload import Workload


@dataclass(frozen=True)
class Candidate:
    """A run as it is configured, or as it would be after a change."""

    sizes: Sizes
    """Sizes of the policy that is trained."""
    workload: Workload
    """What one device computes at once."""
    references: Mapping[str, Sizes | None] = field(default_factory=dict)
    """Sizes of the references, by name; None where one needs no weights of its own (the policy, adapter off)."""
    held: Mapping[str, Sizes] = field(default_factory=dict)
    """Sizes of other frozen models on the device, by name: an engine's answerer."""
    answering: Answering | None = None
    """What an engine's answerer computes at once; None without one."""
    colocated: Colocated | None = None
    """A vLLM engine in the training process; None where the policy samples itself."""

    @property
    def estimate(self) -> Estimate:
        copies = {f"reference {name}": sizes for name, sizes in self.references.items() if sizes is not None}
        more = [] if self.answering is None else self.answering.allocations(self.workload.gpu)
        sampling = None if self.colocated is None else self.colocated.allocations(self.sizes, self.workload)
        return estimate(self.sizes, self.workload, {**copies, **self.held}, more, sampling)

    @property
    def need(self) -> float:
        """Bytes that the run needs."""
        return self.estimate.need
