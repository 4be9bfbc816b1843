"""Says when an iteration taught nothing, and why."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from lightning.pytorch.callbacks import Callback

from kairos.core.types import PromptBatch
from kairos.train.grpo import GRPOModule
from kairos.train.iteration import Turn

_OFTEN = 0.5


class NoSignal(Callback):
    """One line on stderr after the 1st, 10th, 100th... iteration in which every advantage was 0."""

    turn = Turn.READ

    def __init__(self) -> None:
        self.silent = 0
        """Iterations so far whose advantages were all 0."""

    def after_iteration(self, module: GRPOModule, batch: PromptBatch) -> None:
        del batch
        if module.metrics.get("advantage/magnitude") != 0:
            return
        self.silent += 1
        if module.trainer.is_global_zero and self.silent == 10 ** (len(str(self.silent)) - 1):
            print(f"iteration {module.iteration}: {explanation(module.metrics)}", file=sys.stderr, flush=True)


def explanation(metrics: Mapping[str, float]) -> str:
    """Why the advantages of an iteration were all 0, from what it logged.

    >>> explanation({"reward/total": 0.0, "rollout/truncated": 0.75})
    'nothing to learn: every reward was 0 (75% were cut off: raise sampling.max_actions)'
    """
    total = metrics.get("reward/total", 0.0)
    what = "every reward was 0" if total == 0 else f"in no group did the rewards differ (mean reward {total:.3g})"
    reasons = sorted(
        (
            (share, name)
            for name, share in metrics.items()
            if name.startswith("parse/") and name != "parse/failures" and share > 0
        ),
        reverse=True,
    )
    why: list[str] = []
    if metrics.get("parse/failures", 0.0) > 0:
        named = ", ".join(f"{name.removeprefix('parse/').replace('_', ' ')} {share:.0%}" for share, name in reasons[:3])
        why.append(f"{metrics['parse/failures']:.0%} of the answers could not be read: {named}")
    if metrics.get("rollout/truncated", 0.0) > 0:
        why.append(f"{metrics['rollout/truncated']:.0%} were cut off: raise sampling.max_actions")
    if metrics.get("parse/failures", 0.0) >= _OFTEN:
        why.append("take a wording that the model knows: template=...")
    elif total != 0 or not why:
        why.append(
            "the prompts are all too hard or too easy for this policy, or its answers do not vary: see rollouts.py"
        )
    return f"nothing to learn: {what} ({'; '.join(why)})"
