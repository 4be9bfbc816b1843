"""Mixes several data sets, each with a limit and a weight; its name becomes the source under which it is logged."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from torch.utils.data import ConcatDataset, Dataset

from kairos.core.types import Failure, Prompt
from kairos.data.dataset import PromptDataset
from kairos.data.limits import choose
from kairos.data.records import Record

Part = Mapping[str, object]  # a data option, built: its `train` and `val` make a data set


def mixed(
    parts: Mapping[str, Part],
    split: str,
    limits: Mapping[str, str | int] | None = None,
    weights: Mapping[str, float] | None = None,
    seed: int = 0,
) -> Dataset[Prompt | Failure]:
    """Concatenates the `split` of every part; each keeps its own template and clip loader.

    `limits` restricts a part to some records: a number N (its first), "first:N", "end:N", "random:N", or N% for N.
    `weights` says how often an epoch draws each of those: 2 draws all twice, 0.5 a half, 1.5 all and a half again.
    The draw is a function of (seed, name of the part, its size), so it is the same in every epoch and on every rank. A
    repeated record gets "#2" after its uid, so that its rollouts differ.

    ValueError for no parts, an unknown name, a weight that is not positive, or a part without records of its own.
    """
    limits, weights = limits or {}, weights or {}
    if not parts:
        raise ValueError("data=mixture has no parts; add one with +data@data.parts.NAME=OPTION")
    if unknown := sorted({*limits, *weights} - {*parts}):
        raise ValueError(f"data.limits or data.weights name {', '.join(unknown)}; the parts are {', '.join(parts)}")
    seen: Counter[str] = Counter()
    chosen = []
    for name, part in parts.items():
        dataset = _built(name, part, split)
        limited = choose(dataset.records, limits.get(name), seed, f"part {name} of the mixture")
        records = list(weighted(limited, weights.get(name, 1.0), seed, name))
        chosen.append(dataset.of(_named(records, name, seen)))
    return ConcatDataset(chosen)


def weighted(records: Sequence[Record], weight: float, seed: int, name: str) -> Iterator[Record]:
    """Every record `weight` times; for the fraction of a weight, so many records are drawn without replacement."""
    if not (math.isfinite(weight) and weight > 0):
        raise ValueError(f"data.weights.{name} must be above 0, got {weight}; leave the part out instead")
    whole = int(weight)
    for _ in range(whole):
        yield from records
    rest = round((weight - whole) * len(records))
    if rest:
        yield from choose(records, f"random:{rest}", seed, f"weight of {name}")
    elif not whole:
        raise ValueError(f"data.weights.{name}={weight} leaves none of its {len(records)} records")


def _built(name: str, part: Part, split: str) -> PromptDataset:
    build: object = part.get(split)
    if not isinstance(build, Callable):
        raise ValueError(f"data.parts.{name} has no {split!r}; it must be a data option, such as conf/data/jsonl.yaml")
    dataset = build()
    if not isinstance(dataset, PromptDataset):
        raise ValueError(f"data.parts.{name} makes a {type(dataset).__name__}; a part needs records, a PromptDataset")
    return dataset


def _named(records: Sequence[Record], source: str, seen: Counter[str]) -> list[Record]:
    named = []
    for record in records:
        seen[record.uid] += 1
        again = f"#{seen[record.uid]}" if seen[record.uid] > 1 else ""
        named.append(replace(record, source=source, uid=record.uid + again))
    return named
