"""What the commands' own options may be: those at the top of a configuration that no part's signature describes."""

from __future__ import annotations

import operator
from typing import Annotated, Literal

from kairos.options.allowed import Above, AtLeast

Count = Annotated[int, AtLeast(1)]
Seconds = Annotated[float, AtLeast(0)]


def or_null(annotation: object) -> object:
    """The annotation, or None (of an expression, which a type checker does not take for a type)."""
    return operator.or_(annotation, None)


OPTIONS: dict[str, object] = {
    # of a run
    "seed": int,
    "iterations": Count,
    "prompts": Count,
    "oversample": Count,
    "updates.epochs": Count,
    "updates.minibatches": Count,
    "updates.microbatch": Annotated[int, AtLeast(0)],
    "clip_norm": Annotated[float, AtLeast(0)],
    "shown_frames": or_null(Count),
    "only_first": or_null(Count),
    "workers": Annotated[int, AtLeast(0)],
    "timeout_minutes": Annotated[float, Above(0)],
    "memory_check": Literal["refuse", "warn", "off"],
    "memory_gib": or_null(Annotated[float, Above(0)]),
    # of what is read and written
    "count": or_null(Count),
    "size": Count,
    "repeats": Count,
    "split": str,
    "splits": list[str],
    "templates": or_null(list[str]),
    "shard": or_null(str),
    "predictions": or_null(str),
    "format": or_null(str),
    "difference": or_null(Annotated[float, Above(0)]),
    "times": or_null(Literal["seconds", "fractions", "percent"]),
    "export": or_null(list[str]),
    "fps": or_null(Annotated[float, Above(0)]),
    "start": or_null(Seconds),
    "end": or_null(Seconds),
    "options": list[str | int | float],
    "runs": list[str | int],
    # of rollouts.py
    "limit": or_null(Count),
    "max_text": or_null(Count),
    "poll": Annotated[float, Above(0)],
    # of mini_clip.py
    "steps": Count,
    "batch": Count,
    "train_frames": Count,
    "held_out": Count,
    "needles": Count,
    "learning_rate": Annotated[float, Above(0)],
}
"""By the option's name, the annotation of its values. Others take values of the type that the yaml gives them."""
