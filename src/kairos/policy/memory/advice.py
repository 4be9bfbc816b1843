"""What would make a step smaller, each lever with what it would save, and the table that shows it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kairos.policy.memory.estimate import GIB, MARGIN, estimate
from kairos.policy.memory.savings import Plan, changes

_WORTH = 0.5 * GIB


@dataclass(frozen=True)
class Lever:
    """Overrides, the bytes that they would save, and what would then be needed."""

    override: str
    saves: float
    need: float


def levers(plan: Plan) -> list[Lever]:
    """Those that would save half a GiB or more by themselves, the largest saving first."""
    now = plan.need
    found = [Lever(change.override, now - change.plan.need, change.plan.need) for change in changes(plan)]
    return sorted((lever for lever in found if lever.saves >= _WORTH), key=lambda lever: -lever.saves)


def together(plan: Plan, limit: float) -> Lever | None:
    """The first levers that fit the run into `limit` bytes: those that change no result before those that do."""
    chosen: dict[str, str] = {}
    now = plan
    while now.need > limit:
        change = next((c for c in changes(now) if now.need - c.plan.need >= _WORTH), None)
        if change is None:
            return None
        chosen[change.override.partition("=")[0]] = change.override  # a later value of the same option replaces it
        now = change.plan
    return Lever(" ".join(chosen.values()), plan.need - now.need, now.need)


def table(title: str, plan: Plan, limit: float | None) -> str:
    """The parts, the need, what there is, and the levers, as lines of text. `limit` in bytes."""
    return "\n".join([f"{title}: estimated memory of one device", *_parts(plan), *_ways_out(plan, limit)])


def _parts(plan: Plan) -> Iterator[str]:
    sizes, load, whole = plan.sizes, plan.load, estimate(plan.sizes, plan.load)
    yield f"  {sizes.trained / 1e9:.2f} B parameters trained, {sizes.frozen / 1e9:.2f} B frozen"
    yield (
        f"  prompts of {load.vision_tokens} video + {load.text_tokens} text tokens, completions up to "
        f"{load.completion}, groups of {load.group}"
    )
    yield f"  sampling {load.at_once} prompts at once, learning from {load.rows} rows at once ({load.tokens} tokens)"
    yield from (f"  {part.size / GIB:8.1f} GiB  {part.name}" for part in whole.parts)
    yield f"  {whole.margin / GIB:8.1f} GiB  margin: {MARGIN:.0%} of what goes with tokens, and the device's own"
    yield (
        f"  {whole.need / GIB:8.1f} GiB  needed: always {whole.held('always') / GIB:.1f}, the larger of roll-out "
        f"{whole.held('roll out') / GIB:.1f} and learning {whole.held('learn') / GIB:.1f}, and the margin"
    )


def _ways_out(plan: Plan, limit: float | None) -> Iterator[str]:
    if limit is not None:
        yield f"  {limit / GIB:8.1f} GiB  there is"
        if plan.need <= limit:
            return
    yield "  each of these alone would save:"
    for lever in levers(plan):
        yield f"  {lever.saves / GIB:8.1f} GiB  {lever.override}  (-> {lever.need / GIB:.1f} GiB)"
    if limit is not None:
        enough = together(plan, limit)
        yield (
            "  no number of them is enough"
            if enough is None
            else (f"  enough: {enough.override}  (-> {enough.need / GIB:.1f} GiB)")
        )
