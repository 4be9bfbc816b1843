"""What the commands' own options may be: those at the top of a configuration that no part's signature describes."""

from __future__ import annotations

from typing import Annotated, Literal

from kairos.options.allowed import Above, AtLeast

Count = Annotated[int, AtLeast(1)]
Seconds = Annotated[float, AtLeast(0)]

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
    "shown_frames": Count | None,
    "only_first": Count | None,
    "workers": Annotated[int, AtLeast(0)],
    "timeout_minutes": Annotated[float, Above(0)],
    "memory_check": Literal["refuse", "warn", "off"],
    "memory_gib": Annotated[float, Above(0)] | None,
    # of what is read and written
    "count": Count | None,
    "size": Count,
    "repeats": Count,
    "split": str,
    "splits": list[str],
    "templates": list[str] | None,
    "fps": Annotated[float, Above(0)] | None,
    "start": Seconds | None,
    "end": Seconds | None,
    "options": list[str | int | float],
    "compat": Literal["ours", "paper"],
    "runs": list[str | int],
    # of rollouts.py
    "limit": Count | None,
    "max_text": Count | None,
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
