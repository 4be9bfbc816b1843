"""Measures the rewards of prompts by repeated inference: K rollouts for each prompt, scored as in training."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from kairos.core.types import Failure, PromptBatch, RolloutGroup, Sampling
from kairos.curriculum.rewards import PromptRewards, line

if TYPE_CHECKING:
    from kairos.core.protocols import Reward, RolloutEngine


def measure_rewards(
    engine: RolloutEngine,
    reward: Reward,
    batches: Iterable[PromptBatch],
    sampling: Sampling,
    group_size: int,
    seed: int = 0,
) -> Iterator[list[PromptRewards | Failure]]:
    """Yields a list for each batch: the rewards of its prompts in order, then its failures.

    The engine is set up and in sync.
    """
    for batch in batches:
        prompts = [prompt for prompt, weight in zip(batch.prompts, batch.weights_P.tolist(), strict=True) if weight > 0]
        groups = engine.generate(prompts, group_size, sampling, seed) if prompts else []
        yield [*(rewards_of(group, reward) for group in groups), *batch.failures]


def rewards_of(group: RolloutGroup, reward: Reward) -> PromptRewards:
    """The rewards of the rollouts of one prompt: totals and raw terms."""
    prompt, scores = group.prompt, reward(group)
    return PromptRewards(
        uid=prompt.uid,
        task=prompt.task,
        source=prompt.source,
        rewards=tuple(scores.total_G.tolist()),
        terms={name: tuple(values_G.tolist()) for name, values_G in scores.terms.items()},
        duration=float(prompt.clip.duration),
        length=max((span.length for span in prompt.target.spans), default=None),
    )


def write(path: Path, rows: Iterable[PromptRewards | Failure]) -> None:
    """Append a line for each prompt; that of a failed one has the reason under "failed"."""
    with path.open("a", encoding="utf-8") as file:
        for row in rows:
            failed = isinstance(row, Failure)
            file.write(json.dumps({"uid": row.uid, "failed": row.reason}) + "\n" if failed else line(row))


def done(path: Path, size: int, total: int) -> int:
    """Number of the `total` prompts that are in the file, in whole batches of `size`; an incomplete batch is cut off.

    A command that was killed can then repeat the unfinished batch and write the same file.
    """
    if not path.exists():
        return 0
    lines = [text for text in path.read_bytes().splitlines(keepends=True) if text.endswith(b"\n")]
    count = total if len(lines) >= total else len(lines) // size * size
    whole = path.with_suffix(".cut")
    whole.write_bytes(b"".join(lines[:count]))
    whole.replace(path)
    return count


def failures(path: Path) -> dict[str, str]:
    """Reasons by uid of the prompts that failed; empty without a file."""
    rows = [json.loads(text) for text in path.read_bytes().splitlines()] if path.exists() else []
    return {row["uid"]: row["failed"] for row in rows if "failed" in row}
