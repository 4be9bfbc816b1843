"""Prints the seconds of an iteration by phase, and a whole run's hours."""

from __future__ import annotations

from kairos.policy.speed.amounts import Amounts
from kairos.policy.speed.iteration import Iteration


def time_table(planned: Iteration, iterations: int, rates: Amounts) -> str:
    """The seconds of each phase at `rates`, and the hours of `iterations` iterations on all devices."""
    load = planned.load
    lines = [
        f"estimated time on {planned.devices} H200(s) (how far such estimates were off: docs/plan.md)",
        f"  {planned.sampled} prompts a device and iteration, {load.completion} tokens an answer, recompute "
        f"{load.recompute}",
    ]
    whole = 0.0
    for phase, amounts in planned.phases.items():
        seconds = amounts.seconds(rates)
        whole += seconds
        if seconds:
            lines.append(f"  {seconds:8.2f} s    {phase}{_parts(phase, amounts, rates)}")
    hours = whole * iterations / 3600
    return "\n".join(
        [
            *lines,
            f"  {whole:8.2f} s    an iteration: {whole / planned.learned:.2f} GPU-seconds a prompt",
            f"  {hours:8.1f} h    {iterations:,} iterations, {hours * planned.devices:.1f} GPU-hours; evaluation and "
            "checkpoints come on top",
        ]
    )


def _parts(phase: str, amounts: Amounts, rates: Amounts) -> str:
    """What of a phase moves weights, where any is moved."""
    moved = Amounts(sent=amounts.sent, gathered=amounts.gathered).seconds(rates)
    where = "to vLLM" if amounts.sent else "between devices"
    return f", of which {moved:.2f} s move weights or gradients {where}" if moved else ""
