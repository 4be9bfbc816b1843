"""Says what can be done when a GPU's memory is not enough, and what each way out costs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

_LEVERS = """\
What can be changed, what it costs:
  updates.microbatch=1         fewer groups (or rows) at once: the same gradients, a little slower
  rollout.prompts_at_once=1    fewer prompts sampled at once: the same samples, a longer roll-out
  policy.recompute=full        (or selective) activations computed again: the same gradients, about a third more time
  policy.freeze=[vision]       no gradients, moments and activations of the tower, and features kept: it learns no more
  adapter=lora                 14 bytes less for every parameter it freezes, no copy for a reference: less is learnt
  frames=... total_pixels      fewer video tokens, and less of everything: the model sees less
  sampling.group_size          fewer rows a group: a noisier baseline; sampling.max_actions: shorter answers
  strategy=fsdp2               parameters, gradients and moments shared out over several GPUs: communication
`python scripts/plan.py <the same overrides>` says how much each would save."""


class OutOfMemory(ValueError):
    """The device has too little memory for what was asked."""


@contextmanager
def naming_the_levers(doing: str) -> Iterator[None]:
    """`doing` completes "out of memory while ...", with numbers. Raises OutOfMemory in place of torch's error."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        said = str(error).partition(" If reserved")[0]
        raise OutOfMemory(f"out of memory while {doing}: {said}\n{_LEVERS}") from error
