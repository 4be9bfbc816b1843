"""Reads what results/ measured on H200s as cells that a prediction can be compared with."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import cast

from papers import overrides_of
from whole_runs import planned

from kairos.compose import compose, part
from kairos.policy.language import LanguagePolicy
from kairos.policy.memory.sizes import Sizes
from kairos.policy.memory.workload import Workload
from kairos.policy.speed.amounts import Amounts
from kairos.policy.speed.iteration import Iteration
from kairos.policy.speed.passes import Batch, looking_update, update

RESULTS = Path(__file__).resolve().parents[1] / "results"
PROMPT, VISION = 4149, 4096  # tokens of the prompts of update.py and rollout.py


@dataclass(frozen=True)
class Measured:
    """One timed piece of work."""

    file: str
    """In results/."""
    name: str
    phase: str
    """update, optimiser, roll-out, references, learning, or iteration."""
    seconds: float
    amounts: Amounts
    fitted: bool
    """The rates are fitted to it, too."""


def cells() -> list[Measured]:
    """Every timed piece of our own engines in results/."""
    return [*_updates(), *_rollouts(), *_iterations(), *_papers()]


def _updates() -> Iterator[Measured]:
    for file in ("update.json", "update_16384.json"):
        whole = _read(file)
        for name, cell in cast("dict[str, dict[str, float]]", whole["cells"]).items():
            found = re.fullmatch(r"(\w+), (\w+), (\w+), recompute (\w+), G (\d+), C (\d+)", name)
            if found is None or "error" in cell:
                continue  # the tower for every row is not ours
            model, layout, tower, level, group, length = found.groups()
            sizes, rows = _sizes(model, tower == "cached"), int(group)
            batch = Batch(1, rows, cell["prompt"], cell["visual"], int(length), layout == "shared")
            amounts = update(sizes, batch, False, level)
            if tower == "trained":
                amounts += looking_update(sizes, cell["visual"], level)
            yield Measured(file, name, "update", cell.get("seconds_in_a_row", cell["seconds"]), amounts, True)
        for model, step in cast("dict[str, dict[str, float]]", whole["optimiser_steps"]).items():
            yield Measured(file, model, "optimiser", step["seconds"], Amounts(updated=step["parameters"]), True)


def _rollouts() -> Iterator[Measured]:
    for file in ("rollout.json", "rollout_long.json"):
        for name, line in cast("dict[str, dict[str, float]]", _read(file)["lines"]).items():
            if name.startswith("rollout=vllm") and name.endswith("sync"):
                sent = Amounts(
                    sent=2 * (_sizes("qwen2_5_vl_3b", True).parameters - _sizes("qwen2_5_vl_3b", True).vision)
                )
                yield Measured(file, name, "sync", line["sync_seconds"], sent, True)
            found = re.fullmatch(r"(live|live, cached|rollout=vllm), (\d+) prompts(?:, (\d+) tokens)?", name)
            if found is None:
                continue
            engine, prompts = found[1], int(found[2])
            load = _load(prompts, int(found[3] or 200))
            done = Iteration(
                _sizes("qwen2_5_vl_3b", True), load, prompts, prompts, features_kept=engine == "live, cached",
                known=float(engine == "live, cached"), vllm=engine == "rollout=vllm",
            )  # fmt: skip
            amounts = replace(done.phases["roll-out"], sent=0.0)
            yield Measured(file, name, "roll-out", line["seconds"], amounts, True)


def _iterations() -> Iterator[Measured]:
    for count, line in cast("dict[str, dict[str, dict[str, float]]]", _read("iteration.json")["prompts"]).items():
        prompts, took = int(count), line["phases"]
        missed = took["throughput/feature_misses"]
        load = _load(prompts, 200)
        one = Iteration(
            _sizes("qwen2_5_vl_3b", True), replace(load, prompts=1, rows=load.group), prompts, prompts,
            features_kept=True, known=1 - missed / prompts,
        )  # fmt: skip
        yield from _phases("iteration.json", f"{count} prompts", one, took)


def _papers() -> Iterator[Measured]:
    for name, line in cast("dict[str, dict[str, object]]", _read("papers.json")["runs"]).items():
        experiment, devices, prompts = name.split(" ")[0], cast("int", line["devices"]), cast("int", line["prompts"])
        if "FlashAttention-4" in name or "error" in line:
            continue
        took = cast("dict[str, float]", line["iteration"])
        more = ["callbacks.progress=null", *(["policy=qwen3_vl_4b"] if "Qwen3-VL" in name else [])]
        overrides = overrides_of(experiment, devices, prompts, tokens=None, more=more)
        prompt, visual = cast("int", line["prompt_tokens"]), cast("int", line["visual_tokens"])
        tokens = (prompt - visual, visual, int(took["rollout/length"]))
        found = planned(compose(overrides), devices, tokens)
        assert found is not None
        missed = took.get("throughput/feature_misses")
        known = 0.0 if missed is None else 1 - missed / prompts
        fused = "flash-linear" in name
        yield from _phases("papers.json", name, replace(found[1], known=known, fused_rule=fused), took)


def _phases(file: str, name: str, done: Iteration, took: dict[str, float]) -> Iterator[Measured]:
    """One cell for each phase that took time, and one for the iteration."""
    measured = {"roll-out": "time/roll_out", "references": "time/annotate", "learning": "time/learn"}
    for phase, amounts in done.phases.items():
        if amounts != Amounts():
            yield Measured(file, name, phase, took[measured[phase]], amounts, True)
    whole = Amounts()
    for amounts in done.phases.values():
        whole += amounts
    yield Measured(file, name, "iteration", took["time/iteration"], whole, False)


def _load(prompts: int, tokens: int) -> Workload:
    return Workload(
        text_tokens=PROMPT - VISION,
        vision_tokens=VISION,
        completion=tokens,
        group=8,
        at_once=prompts,
        prompts=1,
        rows=8,
    )


@cache
def _sizes(model: str, frozen: bool) -> Sizes:
    freeze = ["policy.freeze=[vision]"] if frozen else []
    found = cast("LanguagePolicy", part(compose([f"policy={model}", *freeze]).policy)).sizes()
    assert found is not None
    return found


def _read(file: str) -> dict[str, object]:
    return json.loads((RESULTS / file).read_text(encoding="utf-8"))
