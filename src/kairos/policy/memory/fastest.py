"""Which level of recomputation a run chooses that leaves it to the device (`policy.recompute=auto`)."""

from __future__ import annotations

from dataclasses import replace

from kairos.policy.memory.candidate import Candidate
from kairos.policy.memory.estimate import CONTEXT
from kairos.policy.memory.recompute import LEVELS, fastest_fitting


def at_fastest(planned: Candidate, limit: float) -> Candidate:
    """`planned` with the fastest level whose activations fit a device of `limit` bytes beside what else it holds."""
    levels = {level: replace(planned, workload=replace(planned.workload, recompute=level)) for level in LEVELS}
    needs = {level: found.estimate.held("learn", exact=False) for level, found in levels.items()}
    held = levels["none"].estimate
    room = limit - CONTEXT - held.held("always") - held.held("learn", exact=True)
    return levels[fastest_fitting(needs, max(0.0, room))]
