"""Measures one group's update, forward and backward, with a shared and with a repeated prompt, against the floor.

    python benchmarks/update.py                                # 3B and 7B on one H200, and the sweep of 3B
    python benchmarks/update.py --models qwen2_5_vl_3b --no-sweep
    python benchmarks/update.py --models mini --frames 8 64 64 --length 12 --device cpu --no-sweep      # tiny

Random weights; a prompt of 64 frames (4,096 visual tokens), G completions of C tokens; bf16 compute over fp32 weights.
`cached`: the tower is frozen and its features are stored; `trained`: it runs once a group, forward and backward.
`repeated` lays every row out with its own prompt through the same kernels, caching and recomputation; `repeated, tower
per row` runs the tower for every row and recomputes everything, as published trainers do. `s` is one update that
nothing goes before or after, `in a row` one of several that follow one another, as the groups of an optimiser's step
do: the host prepares the next while the GPU computes. Finished cells are kept: a repeated command does only what is
missing. Writes results/update.json and update.png.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import torch
from matplotlib.figure import Figure
from measuring import (
    PEAK,
    Clip,
    copies,
    emptied,
    held,
    machine,
    peak,
    policy,
    prompts,
    rollouts,
    store,
    stored,
    timed,
    work,
)
from measuring import video_tokens as count_video_tokens
from rich.console import Console
from rich.table import Table

from kairos.compose import compose, part
from kairos.core.out_of_memory import OutOfMemory
from kairos.core.threads import one_host_thread
from kairos.core.types import Prompt, RolloutBatch
from kairos.policy.language import LanguagePolicy
from kairos.policy.memory import recompute
from kairos.policy.network.attention.automatic import Automatic, described, fastest
from kairos.policy.network.attention.varlen import Attention
from kairos.policy.network.kernels.dispatch import Machine
from kairos.policy.network.kernels.weight_gradients import accumulating
from kairos.policy.network.layouts import layout_of
from kairos.policy.scoring.repeated import Repeated, unshared
from kairos.policy.scoring.shared_prefix import SharedPrefix
from kairos.report import style

GiB = 2**30


@dataclass(frozen=True)
class Cell:
    """One line of the table."""

    model: str
    """Of conf/policy."""
    layout: str
    """shared; repeated; repeated, tower per row."""
    tower: str
    """cached or trained."""
    recompute: str
    """none, selective or full."""
    group: int
    """Rows, G."""
    length: int
    """Tokens of a completion, C."""

    @property
    def name(self) -> str:
        return f"{self.model}, {self.layout}, {self.tower}, recompute {self.recompute}, G {self.group}, C {self.length}"


def cells(model: str, group: int, length: int) -> list[Cell]:
    shared = [Cell(model, "shared", "cached", level, group, length) for level in recompute.LEVELS]
    repeated = [Cell(model, "repeated", "cached", level, group, length) for level in ("selective", "full")]
    trained = [
        Cell(model, "shared", "trained", "none", group, length),
        Cell(model, "shared", "trained", "selective", group, length),
        Cell(model, "shared", "trained", "full", group, length),
        Cell(model, "repeated", "trained", "full", group, length),
        Cell(model, "repeated, tower per row", "trained", "full", group, length),
    ]
    return [*shared, *repeated, *trained]


def sweep(model: str, groups: Sequence[int], lengths: Sequence[int]) -> list[Cell]:
    return [
        Cell(model, layout, "cached", "full", group, length)
        for length in lengths
        for group in groups
        for layout in ("shared", "repeated")
    ]


class Bench:
    """Holds one model at a time on the device, rebuilt only where the next cell trains other parts."""

    def __init__(
        self, device: torch.device, clip: Clip, repeats: int, attn: Attention, overrides: Sequence[str]
    ) -> None:
        self.attn = attn
        self.device, self.clip, self.repeats, self.overrides = device, clip, repeats, tuple(overrides)
        self._built: tuple[str, str] | None = None
        self.language: LanguagePolicy | None = None

    def measure(self, cell: Cell, repeats: int) -> dict[str, object]:
        """Time one update alone, the median of `repeats`; with several repeats also the mean of as many in a row."""
        language = self._policy(cell.model, cell.tower)
        language.scorer = SharedPrefix(self.attn) if cell.layout == "shared" else Repeated(self.attn)
        recompute.use(language.towers.model, cell.recompute)
        asked = prompts(language, self.clip, 1)
        batch = rollouts(language, asked, cell.group, cell.length)
        if cell.layout == "repeated, tower per row":
            batch = with_own_frames(batch)
        advantage_B = batch.advantages_B.to(self.device)

        def update() -> None:
            with one_host_thread(self.device), accumulating():  # as in a training step
                loss = (language(batch).logprobs_BA * advantage_B[:, None]).mean()
                loss.backward()

        language.zero_grad(set_to_none=True)
        emptied(self.device)
        try:
            update()
            kept = held(language)
            seconds = timed(update, self.device, repeats, warm=repeats)
            following = timed(lambda: [update() for _ in range(repeats)], self.device, 1, warm=0) / repeats
        except (OutOfMemory, torch.OutOfMemoryError):
            language.zero_grad(set_to_none=True)
            emptied(self.device)
            return {"error": "out of memory"}
        spent = work(language, len(layout_of(asked[0])), cell.group, cell.length)
        return {
            "seconds": seconds,
            **({"seconds_in_a_row": following} if repeats > 1 else {}),
            "prompt": len(layout_of(asked[0])),
            "visual": count_video_tokens(language, asked[0]),
            "peak_gib": peak(self.device) / GiB,
            "activations_gib": (peak(self.device) - kept) / GiB if peak(self.device) else None,
            "of_which_bf16_weights_gib": copies(language) / GiB,
            "floor_seconds": spent.update / PEAK,
            "mfu": spent.update / PEAK / seconds,
        }

    def optimiser_step(self, model: str) -> dict[str, object]:
        """AdamW over all of the text tower, fused on a GPU: once a step, whatever the number of groups."""
        language = self._policy(model, "cached")
        emptied(self.device)
        try:
            trained = [p for p in language.parameters() if p.requires_grad]
            optimizer = torch.optim.AdamW(trained, lr=1e-6, fused=self.device.type == "cuda")
            for parameter in trained:
                parameter.grad = torch.zeros_like(parameter)
            seconds = timed(optimizer.step, self.device, self.repeats)
        except torch.OutOfMemoryError:
            return {"error": "out of memory"}
        finally:
            language.zero_grad(set_to_none=True)
            emptied(self.device)
        return {"seconds": seconds, "parameters": sum(p.numel() for p in trained)}

    def _policy(self, model: str, tower: str) -> LanguagePolicy:
        if self._built != (model, tower) or self.language is None:
            self.language, self._built = None, None
            emptied(self.device)
            options = ["policy.freeze=[vision]", "features=memory"] if tower == "cached" else []
            self.language = policy(model, self.device, ["policy.recompute=none", *options, *self.overrides])
            self.language.train()
            self._built = (model, tower)
        return self.language


def with_own_frames(batch: RolloutBatch) -> RolloutBatch:
    """Give every row its own prompt, with its own copy of the frames."""
    apart = unshared(batch)
    copies = [replace(p, clip=replace(p.clip, frames_TCHW=_frames(p).clone())) for p in apart.prompts]
    return replace(apart, prompts=tuple(copies))


def _frames(prompt: Prompt) -> torch.Tensor:
    assert prompt.clip.frames_TCHW is not None
    return prompt.clip.frames_TCHW


def draw(result: dict[str, dict[str, object]], wanted: Sequence[Cell], path: Path) -> None:
    """Seconds a group over C, a line for each G and layout."""
    figure = Figure(figsize=(7, 4.2))
    (axis,) = style.panel(figure, 1, 1)
    groups = sorted({cell.group for cell in wanted}, reverse=True)
    for layout, dashes in (("repeated", "--"), ("shared", "-")):
        for color, group in zip(style.SERIES, groups, strict=False):
            done = [
                c for c in wanted if c.layout == layout and c.group == group and "seconds" in result.get(c.name, {})
            ]
            lengths, seconds = [c.length for c in done], [cast("float", result[c.name]["seconds"]) for c in done]
            axis.plot(lengths, seconds, dashes, marker="o", color=color, label=f"{layout}, G = {group}")
    style.log_scale(axis, sorted({cell.length for cell in wanted}))
    axis.set_xlabel("tokens a completion, C", color=style.MUTED, fontsize=9)
    axis.set_ylabel("seconds a group", color=style.MUTED, fontsize=9)
    style.legend_outside(axis)
    style.save(figure, path)


def table(result: dict[str, dict[str, object]], wanted: Sequence[Cell]) -> Table:
    drawn = Table(title="one group's update, forward and backward")
    names = ("model", "layout", "tower", "recompute")
    for column in (*names, "G", "C", "s", "in a row", "floor s", "MFU", "peak GiB", "activations"):
        drawn.add_column(column, justify="left" if column in names else "right")
    for cell in wanted:
        row = result.get(cell.name)
        head = (cell.model, cell.layout, cell.tower, cell.recompute, str(cell.group), str(cell.length))
        if row is None or "error" in row:
            drawn.add_row(*head, "not run" if row is None else str(row["error"]))
            continue
        drawn.add_row(
            *head, f"{row['seconds']:.3f}", _seconds(row.get("seconds_in_a_row")), f"{row['floor_seconds']:.3f}",
            f"{row['mfu']:.2f}", f"{row['peak_gib']:.1f}",
            "" if row["activations_gib"] is None else f"{row['activations_gib']:.1f}",
        )  # fmt: skip
    return drawn


def _seconds(value: object) -> str:
    return "" if value is None else f"{value:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--models", nargs="*", default=["qwen2_5_vl_3b", "qwen2_5_vl_7b"], help="options of conf/policy"
    )
    parser.add_argument("--frames", nargs=3, type=int, default=[64, 224, 448], metavar=("T", "H", "W"))
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--length", type=int, default=200)
    parser.add_argument("--sweep", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=8.5, help="no cell begins after this")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--attn", default="automatic", help="an option of conf/attn")
    parser.add_argument("--set", nargs="*", default=[], help="further overrides of the policy's configuration")
    parser.add_argument("--out", type=Path, default=Path("results/update.json"))
    options = parser.parse_args()

    begun, device, console = time.monotonic(), torch.device(options.device), Console(width=150)
    attn = cast("Attention", part(compose([f"attn={options.attn}"]).attn))
    bench = Bench(device, Clip(*options.frames), options.repeats, attn, options.set)
    main_cells = [cell for model in options.models for cell in cells(model, options.group, options.length)]
    swept = sweep(options.models[0], (4, 8, 16), (50, 200, 500, 1000)) if options.sweep else []
    whole = stored(options.out)
    done = cast("dict[str, dict[str, object]]", whole.get("cells", {}))
    steps = cast("dict[str, dict[str, object]]", whole.get("optimiser_steps", {}))
    # cells that keep the tower frozen come together, so that a model is drawn twice and not for every cell
    for cell in sorted([*main_cells, *swept], key=lambda cell: (options.models.index(cell.model), cell.tower)):
        if cell.name in done:
            continue
        if time.monotonic() - begun > 60 * options.minutes:
            break
        done[cell.name] = bench.measure(cell, options.repeats if cell in main_cells else 1)
        console.print(cell.name, done[cell.name].get("seconds", done[cell.name].get("error")))
        if cell.model not in steps and cell.tower == "cached":
            steps[cell.model] = bench.optimiser_step(cell.model)
        kernels = {"attention": kernels_of(attn, device)}
        store(
            options.out,
            {"machine": machine(device) | kernels, "peak_flops": PEAK, "optimiser_steps": steps, "cells": done},
        )
    if swept:
        draw(done, swept, options.out.with_suffix(".png"))
        console.print(table(done, swept))
    console.print(table(done, main_cells))
    console.print("optimiser steps:", steps)
    ratios(console, done, options.models, options.group, options.length)


def kernels_of(attn: Attention, device: torch.device) -> str:
    """In words, the kernels of long prompts."""
    if isinstance(attn, Automatic) and device.type == "cuda":
        return described(fastest(torch.device("cuda", torch.cuda.current_device())))
    return attn.choice(Machine.of(device)).path


def ratios(
    console: Console, done: dict[str, dict[str, object]], models: Sequence[str], group: int, length: int
) -> None:
    """The three comparisons that the README states."""
    for model in models:

        def row(layout: str, tower: str, level: str, model: str = model) -> dict[str, object]:
            return done.get(Cell(model, layout, tower, level, group, length).name, {})

        for level in ("selective", "full"):
            ours, theirs = row("shared", "cached", level), row("repeated", "cached", level)
            if "seconds" in ours and "seconds" in theirs:
                faster = [
                    f"{cast('float', theirs[name]) / cast('float', ours[name]):.2f}"
                    for name in ("seconds", "seconds_in_a_row")
                    if name in ours and name in theirs
                ]
                console.print(f"{model}, recompute {level}: shared is {faster[0]} x faster than repeated", end="")
                console.print(f" ({faster[1]} x in a row)" if len(faster) > 1 else "", end="")
                if ours["activations_gib"]:
                    share = cast("float", ours["activations_gib"]) / cast("float", theirs["activations_gib"])
                    console.print(f", with {share:.2f} of its activations", end="")
                console.print()
        theirs = row("repeated, tower per row", "trained", "full")
        for tower, level in (
            ("cached", "none"),
            ("cached", "selective"),
            ("trained", "none"),
            ("trained", "selective"),
        ):
            ours = row("shared", tower, level)
            if "seconds" in ours and "seconds" in theirs:
                faster = cast("float", theirs["seconds"]) / cast("float", ours["seconds"])
                console.print(
                    f"{model}, shared, {tower}, recompute {level}: {faster:.1f} x faster than a tower per row"
                )


if __name__ == "__main__":
    main()
