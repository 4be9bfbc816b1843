"""Advises changes that save memory, with the bytes that each one saves, and prints the estimate as a table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kairos.policy.memory.candidate import Candidate
from kairos.policy.memory.checkpoint_size import HELD, checkpoint_size
from kairos.policy.memory.estimate import GIB, MARGIN
from kairos.policy.memory.savings import changes

_WORTH = 0.5 * GIB
"""A change that saves fewer bytes is not advised."""


@dataclass(frozen=True)
class Advice:
    """One change of the configuration, or several together."""

    override: str
    """What to add to the command line."""
    saves: float
    """Bytes that it saves."""
    need: float
    """Bytes that the run needs afterwards."""
    costs: str = ""
    """What the change means for speed or results."""

    def __str__(self) -> str:
        after = f"{self.override}  (-> {self.need / GIB:.1f} GiB)"
        return f"{after}  {self.costs}" if self.costs else after


def advice(candidate: Candidate) -> list[Advice]:
    """Every change that alone saves half a GiB or more, the largest saving first."""
    now = candidate.need
    found = [
        Advice(change.override, now - change.candidate.need, change.candidate.need, saving.costs)
        for change, saving in changes(candidate)
    ]
    return sorted((one for one in found if one.saves >= _WORTH), key=lambda one: -one.saves)


def enough(candidate: Candidate, limit: float) -> Advice | None:
    """The first changes, in the order of `SAVINGS`, with which the run fits into `limit` bytes; None where none do."""
    chosen: dict[str, str] = {}
    now = candidate
    while now.need > limit:
        change = next((c for c, _ in changes(now) if now.need - c.candidate.need >= _WORTH), None)
        if change is None:
            return None
        chosen[change.override.partition("=")[0]] = change.override  # a later value of the same option replaces it
        now = change.candidate
    return Advice(" ".join(chosen.values()), candidate.need - now.need, now.need)


def table(title: str, candidate: Candidate, limit: float | None) -> str:
    """Print the estimate line by line, the bytes needed and available (`limit`), and the advice."""
    return "\n".join(
        [f"{title}: estimated memory of one device", *_estimate(candidate), *_limit_and_advice(candidate, limit)]
    )


def _estimate(candidate: Candidate) -> Iterator[str]:
    sizes, load, whole = candidate.sizes, candidate.workload, candidate.estimate
    yield f"  {_count(sizes.trained)} parameters trained, {_count(sizes.frozen)} frozen"
    yield (
        f"  prompts of {load.vision_tokens} video + {load.text_tokens} text tokens, completions up to "
        f"{load.completion}, groups of {load.group}"
    )
    yield f"  sampling {load.at_once} prompts at once, learning from {load.rows} rows at once ({load.tokens} tokens)"
    yield from (f"  {held.size / GIB:8.1f} GiB  {held.name}" for held in whole.allocations)
    yield f"  {whole.margin / GIB:8.1f} GiB  margin: {MARGIN:.0%} of what grows with the tokens, and the device's own"
    yield (
        f"  {whole.need / GIB:8.1f} GiB  needed: always {whole.held('always') / GIB:.1f}, the larger of roll-out "
        f"{whole.held('roll out') / GIB:.1f} and learning {whole.held('learn') / GIB:.1f}, and the margin"
    )
    saved = checkpoint_size(sizes, load)
    yield (
        f"  {saved.disk / GIB:8.1f} GiB  a checkpoint, on the disk; {HELD} while one is written, which takes "
        f"{saved.host / GIB:.1f} GiB of the host's memory"
    )


def _count(parameters: int) -> str:
    return f"{parameters / 1e9:.2f} B" if parameters >= 1e8 or not parameters else f"{parameters / 1e6:.2f} M"


def _limit_and_advice(candidate: Candidate, limit: float | None) -> Iterator[str]:
    if limit is not None:
        yield f"  {limit / GIB:8.1f} GiB  there is"
        if candidate.need <= limit:
            return
    yield "  each of these alone would save:"
    for one in advice(candidate):
        yield f"  {one.saves / GIB:8.1f} GiB  {one}"
    if limit is not None:
        together = enough(candidate, limit)
        yield "  no number of them is enough" if together is None else f"  enough: {together}"
