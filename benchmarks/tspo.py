"""Measures answering sets of chosen frames (TSPO's rollouts): our batch against the released way, and the agent itself.

    python benchmarks/tspo.py                                # LLaVA-Video-7B and Qwen2.5-VL-7B on one H200, 5 minutes
    python benchmarks/tspo.py --models llava_video_7b --part answers
    python benchmarks/tspo.py --tiny                         # two small models on any machine

Random weights in bf16 and features of noise as wide as CLIP-L/14's. An agent draws 8 sets of 16 frames out of 800 for
each prompt; every way answers the same sets with the same weights:

* released: as TSPO's code answers, written anew: set after set, each encodes its own frames, transformers' `generate`;
* batch: ours, all sets of all prompts in one batch; a frame passes the vision tower once a prompt;
* letters: ours, the options' letters scored in one pass.

Random weights never end an answer, so lengths are fixed: 1 token (a letter), 16 (a letter and its option), 256 (the
limit in TSPO's code). `equal` is the share of sets whose first token is that of the released way (of letters: whose
likeliest letter is): our residual stream is fp32 and transformers' is bf16, and random weights hold many near ties.
Frames are in memory at the tower's size. `floor` counts operations at 790 TFLOP/s, and reading the text weights once a
step at 4.8 TB/s. The agent's forward and backward pass is measured for up to 100,000 candidates. Finished lines are
kept. Writes results/tspo.json.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from measuring import PEAK, Clip, emptied, machine, peak, stored, timed, work
from measuring import store as write
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from tspo_released import MODELS, Released

from kairos.compose import compose, part
from kairos.core.types import Layout, Origin, Prompt, RolloutBatch, Sampling, Target, Template, VideoClip
from kairos.data.templates.answer import AnswerOnly
from kairos.policy.answering.language import LanguageAnswerer
from kairos.policy.frame_agent.agent import TemporalAgent
from kairos.policy.models.precision import compute_precision
from kairos.policy.network.layouts import layout_of
from kairos.policy.processor import LanguageProcessor

GIB = 2**30
BANDWIDTH = 4.8e12  # bytes a second that an H200 reads from its memory
WIDTH = 768  # of CLIP-L/14's features


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("all", "answers", "agent"), default="all")
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--candidates", type=int, default=800)
    parser.add_argument("--chosen", type=int, default=16)
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--prompts", nargs="*", type=int, default=[1, 4])
    parser.add_argument("--tokens", nargs="*", type=int, default=[1, 16, 256])
    parser.add_argument("--lengths", nargs="*", type=int, default=[1000, 3000, 10_000, 30_000, 100_000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=7.0, help="no line begins after this")
    parser.add_argument("--tiny", action="store_true", help="small models and few frames, for any machine")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path, default=None, help="default: results/tspo.json; with --tiny: none")
    options = parser.parse_args()
    if options.tiny:
        options.candidates, options.chosen, options.group, options.repeats = 24, 4, 3, 1
        options.prompts, options.tokens, options.lengths = [1, 2], [1, 3], [50, 100, 200]
    elif options.out is None:
        options.out = Path("results/tspo.json")
    bench = Bench(options)
    if options.part in ("all", "agent"):
        bench.agent()
    if options.part in ("all", "answers"):
        for name in options.models:
            bench.answers(name)
            emptied(bench.device)
    show(bench.result)


class TokenIds(LanguageProcessor):
    """Answers as token ids, since the shipped tokenizer has no words for most tokens of a large vocabulary."""

    def decode(self, ids: list[int]) -> str:
        return " ".join(map(str, ids))


class Bench:
    """Measures what is missing in the result, and keeps every finished line."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.out, self.device = options, cast("Path | None", options.out), torch.device(options.device)
        self.begun = time.monotonic()
        kept = {} if self.out is None else stored(self.out)
        self.result: dict[str, dict[str, object]] = {"answers": {}, "agent": {}, **cast("dict[str, dict]", kept)}
        self.result["machine"] = machine(self.device)
        self.result["setting"] = {name: getattr(options, name) for name in ("candidates", "chosen", "group", "tiny")}

    def late(self) -> bool:
        return time.monotonic() - self.begun > 60 * self.options.minutes

    def keep(self, room: str, key: str, line: object) -> None:
        self.result[room][key] = line
        if self.out is not None:
            write(self.out, cast("dict[str, object]", self.result))

    def agent(self) -> None:
        """Forward and backward of one prompt's group by the number of candidates."""
        missing = [length for length in self.options.lengths if str(length) not in self.result["agent"]]
        if not missing:
            return
        agent = agent_and_answerer(self.options.models[0])[0].to(self.device)
        for length in missing:
            if self.late():
                return
            batch = group_of(length, self.options.group, self.options.chosen, self.device)

            def step(batch: RolloutBatch = batch) -> None:
                agent.zero_grad(set_to_none=True)
                agent.score(batch).logprobs_BA.sum().backward()

            step()
            agent.zero_grad(set_to_none=True)
            emptied(self.device)
            before = peak(self.device)
            seconds = timed(step, self.device, self.options.repeats)
            self.keep("agent", str(length), {"seconds": seconds, "peak_gib": (peak(self.device) - before) / GIB})
        lines = cast("dict[str, dict[str, float]]", self.result["agent"])
        lengths = [int(length) for length in lines if length.isdigit()]
        if len(lengths) > 2:
            fits = {name: fit(lengths, [lines[str(n)][name] for n in lengths]) for name in ("seconds", "peak_gib")}
            self.keep("agent", "linear fit", fits)

    def answers(self, name: str) -> None:
        ways = [("letters", count, 1) for count in self.options.prompts]
        ways += [("batch", count, n) for n in self.options.tokens for count in self.options.prompts]
        ways += [("released", 1, n) for n in self.options.tokens]
        missing = [way for way in ways if key(name, *way) not in self.result["answers"]]
        if not missing or self.late():
            return
        model, small = MODELS[name], self.options.tiny
        agent, answerer = agent_and_answerer(name, model.small if small else ())
        with self.device:
            answerer.build()
        answerer.to(self.device)
        side = model.small_side if small else model.side
        asked = prompts(max(self.options.prompts), self.options.candidates, side)
        sets = chosen(agent, asked, self.options.group, self.options.chosen)
        released = Released(answerer, model.given)
        compared = min(16, max(self.options.tokens))
        self.keep("answers", f"{name}, equal", equal(answerer, released, asked[:1], sets[:1], compared))
        of_frame = operations_of_a_frame(answerer, asked[0])
        for way, count, tokens in missing:
            if self.late():
                return
            run = runner(way, answerer, released, asked[:count], sets[:count], tokens)
            warm, repeats = (0, 1) if way == "released" and tokens > 64 else (1, self.options.repeats)
            emptied(self.device)
            before = peak(self.device)
            seconds = timed(run, self.device, repeats, warm)
            floor = floor_of(answerer, asked[:count], sets[:count], tokens, of_frame, together=way != "released")
            self.keep("answers", key(name, way, count, tokens), {
                "seconds": seconds, "seconds_per_prompt": seconds / count, "floor_seconds_per_prompt": floor / count,
                "working_gib": (peak(self.device) - before) / GIB,
                "distinct_frames_per_prompt": float(np.mean([len(distinct(one)) for one in sets[:count]])),
                "prompt_tokens": len(layout_of(released.laid_out(asked[0], sets[0][0]))),
            })  # fmt: skip


def key(model: str, way: str, count: int, tokens: int) -> str:
    return f"{model}, {way}, {count} prompts, {tokens} tokens"


def agent_and_answerer(answerer: str, overrides: Sequence[str] = ()) -> tuple[TemporalAgent, LanguageAnswerer]:
    """conf/policy/frame_agent and conf/answerer/<answerer>, both with random weights.

    The answerer keeps no features between calls, and takes four prompts as one batch.
    """
    random = ["answerer.policy.random_weights=true", "answerer.cache_gib=0", "answerer.tokens_at_once=131072"]
    config = compose(["policy=frame_agent", "rollout=frame_sets", f"answerer={answerer}", *random, *overrides])
    built = cast("LanguageAnswerer", part(config.answerer))
    ours = built.policy.processor
    built.policy.processor = TokenIds(**{field.name: getattr(ours, field.name) for field in fields(ours)})
    return cast("TemporalAgent", part(config.policy)), built


def prompts(count: int, candidates: int, side: int) -> list[Prompt]:
    """Questions with four options about clips of noise, one frame a second, with features of noise."""
    made = []
    for number in range(count):
        noise, clip = torch.Generator().manual_seed(number), Clip(candidates, side, side)(number)
        clip = replace(
            clip, seconds_T=torch.arange(candidates).double(), duration=float(candidates),
            features={"clip": torch.randn(candidates, WIDTH, generator=noise)},
        )  # fmt: skip
        made.append(Prompt(
            uid=f"noise-{number}", task="choice", source="noise", clip=clip,
            question="What does the person do after putting the cup down?", target=Target(choice="B"),
            options=("walks to the door", "opens the window", "sits down on the chair", "turns the light off"),
            template=cast("Template", AnswerOnly()), features={"question": torch.randn(WIDTH, generator=noise)},
        ))  # fmt: skip
    return made


def chosen(agent: TemporalAgent, asked: Sequence[Prompt], group: int, count: int) -> list[list[Tensor]]:
    groups = agent.sample(asked, group, Sampling(temperature=0.025, max_actions=count), seed=0)
    return [[cast("Tensor", rollout.chosen_K) for rollout in one.rollouts] for one in groups]


def distinct(sets: Sequence[Tensor]) -> set[int]:
    return {int(frame) for index_K in sets for frame in index_K}


def runner(
    way: str, answerer: LanguageAnswerer, released: Released, asked: Sequence[Prompt], sets: Sequence[Sequence[Tensor]],
    tokens: int,
) -> Callable[[], object]:  # fmt: skip
    if way == "released":
        return lambda: released.answer(asked, sets, tokens)
    answerer.mode, answerer.max_tokens = ("letters" if way == "letters" else "generate"), tokens
    return lambda: answerer.answer(asked, sets)


def equal(
    answerer: LanguageAnswerer, released: Released, asked: Sequence[Prompt], sets: Sequence[Sequence[Tensor]],
    tokens: int,
) -> dict[str, float]:  # fmt: skip
    """Shares of equal answers to the sets of one prompt."""
    answerer.mode, answerer.max_tokens = "generate", tokens
    ours = [reply.text.split() for reply in answerer.answer(asked, sets)[0]]
    theirs = [text.split() for text in released.answer(asked, sets, tokens)[0]]
    pairs = list(zip(ours, theirs, strict=True))
    answerer.mode = "letters"
    scored = [cast("Tensor", reply.option_probs_O) for reply in answerer.answer(asked, sets)[0]]
    letters = list(zip(scored, released.letters(asked, sets), strict=True))
    return {
        "first_token": float(np.mean([a[:1] == b[:1] for a, b in pairs])),
        "tokens": float(np.mean([x == y for a, b in pairs for x, y in zip(a, b, strict=False)])),
        "of_tokens": tokens,
        "distinct_answers": len({tuple(a) for a, _ in pairs}),
        "letter": float(np.mean([int(a.argmax()) == int(b.argmax()) for a, b in letters])),
        "largest_difference_of_a_letters_probability": max(float((a - b).abs().max()) for a, b in letters),
    }


def operations_of_a_frame(answerer: LanguageAnswerer, prompt: Prompt) -> float:
    """Of the vision tower, for one frame."""
    shown = replace(prompt, clip=prompt.clip.take(torch.tensor([0])), features={})
    shown = replace(shown, layout=answerer.processor(shown))
    with torch.no_grad(), compute_precision(answerer.policy.device), FlopCounterMode(display=False) as counted:
        answerer.policy.towers.see([shown])
    return float(counted.get_total_flops())


def floor_of(
    answerer: LanguageAnswerer, asked: Sequence[Prompt], sets: Sequence[Sequence[Tensor]], tokens: int, of_frame: float,
    together: bool,
) -> float:  # fmt: skip
    """Seconds: all operations at `PEAK`, and a read of the text weights for every step behind the first; `together`:
    the sets share frames and steps."""
    policy, operations, count = answerer.policy, 0.0, 0
    for prompt, of_prompt in zip(asked, sets, strict=True):
        shown = replace(prompt, clip=prompt.clip.take(of_prompt[0]), features={})
        spent = work(policy, len(cast("Layout", answerer.processor(shown))), 1, tokens)
        frames = len(distinct(of_prompt)) if together else sum(map(len, of_prompt))
        operations += frames * of_frame + len(of_prompt) * (spent.matrices + spent.attention + spent.head)
        count += len(of_prompt)
    read = nn.ModuleList([*policy.towers.text.layers, policy.towers.head])
    size = sum(p.numel() * p.element_size() for p in read.parameters())
    return operations / PEAK + (tokens - 1) * (1 if together else count) * size / BANDWIDTH


def group_of(candidates: int, group: int, count: int, device: torch.device) -> RolloutBatch:
    """One prompt's rows of chosen frames, with features alone, which are on the device already."""
    noise = torch.Generator().manual_seed(0)
    features = {"clip": torch.randn(candidates, WIDTH, generator=noise).to(device)}
    clip = VideoClip("noise", None, torch.arange(candidates).double(), float(candidates), features)
    prompt = Prompt("noise", "choice", "noise", clip, "?", Target(choice="A"),
                    features={"question": torch.randn(WIDTH, generator=noise)})  # fmt: skip
    rows = torch.stack([torch.randperm(candidates, generator=noise)[:count].sort().values for _ in range(group)])
    return RolloutBatch(
        prompts=(prompt,), group_of_B=torch.zeros(group, dtype=torch.long), actions_BA=rows,
        mask_BA=torch.ones(group, count), origin_B=torch.full((group,), int(Origin.POLICY)),
        advantages_B=torch.zeros(group), weights_B=torch.ones(group), temperature=0.025,
    )  # fmt: skip


def fit(lengths: Sequence[int], values: Sequence[float]) -> dict[str, float]:
    """A line through the measurements: what it explains of their variance, and its slope for 1,000 candidates."""
    slope, offset = np.polyfit(lengths, values, 1)
    rest = np.asarray(values) - (slope * np.asarray(lengths) + offset)
    spread = float(np.var(values))
    return {"per_1000": float(1000 * slope), "explained": 1 - float(np.var(rest)) / spread if spread else 1.0}


def show(result: Mapping[str, Mapping[str, object]]) -> None:
    console = Console(width=150)
    lines = cast("dict[str, dict[str, float]]", result["answers"])
    table = Table(title="seconds a prompt")
    for column in ("model", "way", "prompts", "tokens", "s", "floor", "x released", "GiB beside weights"):
        table.add_column(column, justify="left" if column in ("model", "way") else "right")
    for name, line in lines.items():
        if "seconds" not in line:
            continue
        model, way, count, tokens = name.split(", ")
        rivals = {
            other.split(", ")[3].removesuffix(" tokens"): found["seconds_per_prompt"] / line["seconds_per_prompt"]
            for other, found in lines.items()
            if other.startswith(f"{model}, released") and (way == "letters" or other.endswith(f", {tokens}"))
        }
        shown = " ".join(f"{ratio:.1f} ({n})" for n, ratio in rivals.items())
        table.add_row(model, way, count.split()[0], tokens.split()[0], f"{line['seconds_per_prompt']:.3f}",
                      f"{line['floor_seconds_per_prompt']:.3f}", shown, f"{line['working_gib']:.1f}")  # fmt: skip
    console.print(table)
    for name, line in lines.items():
        if "seconds" not in line:
            console.print(f"{name}: {', '.join(f'{what} {value:.3g}' for what, value in line.items())}")
    for length, line in cast("dict[str, dict[str, float]]", result["agent"]).items():
        console.print(f"agent, {length}: {line}")
    console.print(result["machine"])


if __name__ == "__main__":
    main()
