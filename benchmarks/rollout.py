"""Measures sampling: our engines, transformers' `generate` and vLLM on the same prompts, in one run.

    python benchmarks/rollout.py                               # Qwen2.5-VL-3B on one H200; vLLM where it is installed
    python benchmarks/rollout.py --engines live rollout=vllm --prompts 4 16 64 --tokens 200 2048 --out results/long.json
    python benchmarks/rollout.py --model mini --frames 8 64 64 --tokens 8 --prompts 1 2 --device cpu      # tiny

Random weights, 8 completions of 200 tokens for each of 1, 4 and 16 prompts of 4,096 visual tokens; frames go in, so the
vision tower is part of it for everyone. `live` and `rollout=vllm` are ours, with the policy's own tower; `cached`: with
a frozen tower's features kept. `vllm` is vLLM alone, as it comes; `vllm, cached` with its caches of processed frames
and of features, which hold part of 16 clips. Prompts are prefilled anew by all. Of `rollout=vllm` the seconds of a
start and of a sync, the GPU's memory while it sleeps and the gap of its log-probs are measured too. Each engine runs in
a process of its own, one after the other, and is timed once warm. Finished lines are kept: after `--minutes` no line
begins, and the same command goes on where it ended. The last table says which of `live` and `rollout=vllm` is faster
at each point, where both are measured. Writes results/rollout.json.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import cast

import torch
from measuring import Clip, config_of, held, machine, policy, prompts, store, stored, timed
from rich.console import Console
from rich.table import Table
from transformers import (
    AutoModelForImageTextToText,
    PreTrainedModel,
    Qwen2_5_VLProcessor,
    Qwen2VLVideoProcessor,
)
from transformers.models.qwen2_vl import Qwen2VLImageProcessor

from kairos.core.installing import install_line
from kairos.core.out_of_memory import OutOfMemory
from kairos.core.types import Prompt, RolloutGroup, Sampling
from kairos.policy.language import LanguagePolicy
from kairos.policy.network.layouts import layout_of
from kairos.policy.network.vision.patches import frames_of
from kairos.rollout.live import Live
from kairos.rollout.vllm.agreement import gap

_SHORT = Sampling(max_actions=64)
_LONG = 1000  # tokens of answers that are timed once, warm from the shorter ones
_FEATURES_KEPT = ("live, cached", "rollout=vllm, cached")
ENGINES = ("live", "live, cached", "rollout=vllm", "rollout=vllm, cached", "generate", "vllm", "vllm, cached")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="qwen2_5_vl_3b", help="an option of conf/policy")
    parser.add_argument("--frames", nargs=3, type=int, default=[64, 224, 448], metavar=("T", "H", "W"))
    parser.add_argument("--prompts", nargs="*", type=int, default=[1, 4, 16])
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--tokens", nargs="*", type=int, default=[200])
    parser.add_argument("--kv-cache-gib", type=float, default=50.0, help="of rollout=vllm")
    parser.add_argument("--rows", type=int, default=512, help="rows that rollout=vllm decodes at once")
    parser.add_argument("--engines", nargs="*", default=list(ENGINES), choices=ENGINES)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=7.5, help="no line begins after this")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path, default=Path("results/rollout.json"))
    parser.add_argument("--only", choices=ENGINES, help=argparse.SUPPRESS)  # what a child process is asked for
    parser.add_argument("--until", type=float, help=argparse.SUPPRESS)  # of a child: seconds of the clock
    options = parser.parse_args()
    if options.only:
        run(options)
        return
    until, console = time.time() + 60 * options.minutes, Console(width=140)
    if find_spec("vllm") is None and any("vllm" in engine for engine in options.engines):
        console.print(f"vllm is not installed, so it is left out: {install_line('vllm')}")
        options.engines = [engine for engine in options.engines if "vllm" not in engine]
    for engine in options.engines:
        have = set(cast("dict[str, object]", stored(options.out).get("lines", {})))
        if all(key(engine, count, tokens) in have for count in options.prompts for tokens in options.tokens):
            continue
        if time.time() > until:
            break
        child = subprocess.run([sys.executable, *sys.argv, "--only", engine, "--until", str(until)], check=False)
        if child.returncode:
            console.print(f"{engine} ended with exit code {child.returncode}")
    show(console, options)


def key(engine: str, count: int, tokens: int) -> str:
    return f"{engine}, {count} prompts" + ("" if tokens == 200 else f", {tokens} tokens")


def run(options: argparse.Namespace) -> None:
    device, clip = torch.device(options.device), Clip(*options.frames)
    kept = ["policy.freeze=[vision]", "features=memory"] if options.only in _FEATURES_KEPT else []
    language = policy(options.model, device, kept)
    asked = prompts(language, clip, max(options.prompts))
    make = {"live": live, "generate": generate, "rollout=vllm": ours, "vllm": vllm}[
        options.only.removesuffix(", cached")
    ]
    engine = make(language, options, device)
    del language
    for tokens, count in ((tokens, count) for tokens in options.tokens for count in options.prompts):
        drawn: list[int] = []

        def work(count: int = count, tokens: int = tokens, drawn: list[int] = drawn) -> None:
            drawn[:] = engine(asked[:count], tokens)

        whole = stored(options.out)
        lines = cast("dict[str, object]", whole.setdefault("lines", {}))
        place = key(options.only, count, tokens)
        if place in lines:
            continue
        if options.until is not None and time.time() > options.until:
            break
        try:
            long = tokens >= _LONG
            seconds = timed(work, device, 1 if long else options.repeats, warm=int(not long))
        except (OutOfMemory, torch.OutOfMemoryError):
            lines[place] = {"error": "out of memory"}
        else:
            rows = count * options.group
            lines[place] = {
                "seconds": seconds,
                "seconds_per_prompt": seconds / count,
                "tokens_per_second": sum(drawn) / seconds,
                "tokens_per_row": sum(drawn) / rows,
            }
        store(options.out, {**whole, "machine": machine(device), "group": options.group, "tokens": options.tokens})


Engine = Callable[[Sequence[Prompt], int], list[int]]
"""Answers prompts with so many tokens; how many tokens each row has."""


def live(language: LanguagePolicy, options: argparse.Namespace, device: torch.device) -> Engine:
    engine = Live()
    engine.setup(device)
    engine.sync(language)

    def answer(asked: Sequence[Prompt], tokens: int) -> list[int]:
        return lengths(engine.generate(asked, options.group, Sampling(max_actions=tokens), seed=0))

    return answer


def ours(language: LanguagePolicy, options: argparse.Namespace, device: torch.device) -> Engine:
    """rollout=vllm; its start, a sync after sleep, memory asleep and the gap of log-probs are stored as a line."""
    from kairos.rollout.vllm.engine import VLLM

    language.eval()
    context = min(int(config_of(language).max_position_embeddings), 8192)
    engine = VLLM(context=context, kv_cache_gib=options.kv_cache_gib, rows=options.rows, tolerance=None)
    engine.setup(device)
    seconds: list[float] = []
    for _ in range(2):
        begun = time.perf_counter()
        engine.sync(language)
        seconds.append(time.perf_counter() - begun)
        engine.release()
    asleep = torch.cuda.mem_get_info(device) if device.type == "cuda" else (0, 0)
    engine.sync(language)
    whole = stored(options.out)
    lines = cast("dict[str, object]", whole.setdefault("lines", {}))
    lines[f"{options.only}, sync"] = {
        "start_seconds": seconds[0],
        "sync_seconds": seconds[1],
        "gib_used_asleep": (asleep[1] - asleep[0]) / 2**30,
        "gib_of_policy": held(language) / 2**30,
        "probe_gap": engine.gap_of_probe,
        "rollout_gap": gap(language, engine.generate(prompts(language, Clip(*options.frames), 2), 4, _SHORT, 0), 1.0),
    }
    store(options.out, whole)

    def answer(asked: Sequence[Prompt], tokens: int) -> list[int]:
        return lengths(engine.generate(asked, options.group, Sampling(max_actions=tokens), seed=0))

    return answer


def lengths(groups: Sequence[RolloutGroup]) -> list[int]:
    return [len(r.actions_A) for group in groups for r in group.rollouts if r.actions_A is not None]


def generate(language: LanguagePolicy, options: argparse.Namespace, device: torch.device) -> Engine:
    """transformers' own model of the same sizes, bf16 on a GPU, SDPA, all prompts as one batch."""
    kind = torch.bfloat16 if device.type == "cuda" else torch.float32
    config, family, video = language.towers.model.config, language.family, language.towers.video_token
    language.unload()
    with device:
        model = cast(
            "PreTrainedModel", AutoModelForImageTextToText.from_config(config, attn_implementation="sdpa", dtype=kind)
        )
    model = model.eval()

    def answer(asked: Sequence[Prompt], tokens: int) -> list[int]:
        layouts = [layout_of(prompt) for prompt in asked]
        ids_PL = torch.stack([layout.ids_L for layout in layouts]).to(device)
        pixels = torch.cat([family.cut.patches(frames_of(prompt, device)) for prompt in asked])  # type: ignore[attr-defined]
        seconds = [layout.seconds_per_grid for layout in layouts]
        timing = {"second_per_grid_ts": seconds} if config.model_type == "qwen2_5_vl" else {}
        written = model.generate(  # type: ignore[operator]
            input_ids=ids_PL, attention_mask=torch.ones_like(ids_PL), pixel_values_videos=pixels.to(kind),
            video_grid_thw=torch.cat([layout.grid_thw_N3 for layout in layouts]).to(device),
            mm_token_type_ids=(2 * (ids_PL == video)).int(),
            do_sample=True, num_return_sequences=options.group, max_new_tokens=tokens,
            min_new_tokens=tokens, **timing,
        )  # fmt: skip
        return [written.shape[1] - ids_PL.shape[1]] * len(written)

    return answer


def vllm(language: LanguagePolicy, options: argparse.Namespace, device: torch.device) -> Engine:
    """vLLM on a folder with our configuration and transformers' processor; weights drawn by itself ("dummy")."""
    os.environ.setdefault("VLLM_USE_FLASHINFER_SAMPLER", "0")  # that sampler is compiled for minutes at its first use
    from vllm import LLM, SamplingParams  # type: ignore[import-not-found]  # an extra

    folder, config = Path(tempfile.mkdtemp()), language.towers.model.config
    config.architectures = ["Qwen2_5_VLForConditionalGeneration"]
    config.save_pretrained(folder)
    video = cast("Callable[..., object]", Qwen2VLVideoProcessor)(do_sample_frames=False, do_resize=False)
    Qwen2_5_VLProcessor(Qwen2VLImageProcessor(), language.processor.loaded, video).save_pretrained(folder)
    limit = int(config_of(language).max_position_embeddings)
    language.unload()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    engine = LLM(
        model=str(folder), load_format="dummy", dtype="bfloat16", max_model_len=min(limit, 8192),
        limit_mm_per_prompt={"video": 1, "image": 0}, gpu_memory_utilization=0.85,
        enforce_eager=device.type == "cpu",
    )  # fmt: skip

    def answer(asked: Sequence[Prompt], tokens: int) -> list[int]:
        wanted = SamplingParams(n=options.group, max_tokens=tokens, temperature=1.0, ignore_eos=True)
        inputs = []
        for prompt in asked:
            assert prompt.template is not None and prompt.clip.frames_TCHW is not None
            frames = prompt.clip.frames_TCHW.permute(0, 2, 3, 1).numpy()
            facts = {
                "fps": 2.0, "total_num_frames": len(frames), "frames_indices": list(range(len(frames))),
                "video_backend": "opencv", "duration": prompt.clip.duration, "do_sample_frames": False,
            }  # fmt: skip
            text = language.processor.text(prompt.template.messages(prompt))
            inputs.append({"prompt": text, "multi_modal_data": {"video": (frames, facts)}})
        done = engine.generate(inputs, wanted, use_tqdm=False)
        engine.reset_prefix_cache()
        if options.only == "vllm":
            engine.llm_engine.reset_mm_cache()
            engine.llm_engine.reset_encoder_cache()
        return [len(sample.token_ids) for request in done for sample in request.outputs]

    return answer


def show(console: Console, options: argparse.Namespace) -> None:
    whole = stored(options.out)
    lines = cast("dict[str, dict[str, float]]", whole.get("lines", {}))
    table = Table(title=f"{options.group} completions a prompt, {options.model}")
    for column in ("engine", "tokens", "prompts", "s", "s a prompt", "tokens/s", "x generate", "of vLLM's speed"):
        table.add_column(column, justify="left" if column == "engine" else "right")
    for engine, tokens, count in (
        (engine, tokens, count) for engine in ENGINES for tokens in options.tokens for count in options.prompts
    ):
        row = lines.get(key(engine, count, tokens), {})
        if "seconds" not in row:
            table.add_row(engine, str(tokens), str(count), str(row.get("error", "not run")))
            continue
        against = "vllm, cached" if engine.endswith("cached") else "vllm"
        others = [lines.get(key(other, count, tokens), {}).get("seconds") for other in ("generate", against)]
        ratios = ["" if other is None else f"{other / row['seconds']:.2f}" for other in others]
        table.add_row(
            engine, str(tokens), str(count), f"{row['seconds']:.2f}", f"{row['seconds_per_prompt']:.3f}",
            f"{row['tokens_per_second']:.0f}", *ratios,
        )  # fmt: skip
    console.print(table)
    for name in (f"{engine}, sync" for engine in ENGINES):
        if name in lines:
            console.print(name, {part: round(value, 4) for part, value in lines[name].items()})
    faster(console, options, lines)
    console.print(whole.get("machine"))


def faster(console: Console, options: argparse.Namespace, lines: dict[str, dict[str, float]]) -> None:
    """Which of our two engines is faster at each point; empty where one is not measured."""
    table = Table(title="rollout=live against rollout=vllm")
    for column in ("tower", "tokens", "prompts", "live s", "vllm s", "faster", "by"):
        table.add_column(column, justify="right")
    for kept, tokens, count in (
        (kept, tokens, count) for kept in ("", ", cached") for tokens in options.tokens for count in options.prompts
    ):
        ours, other = (
            lines.get(key(engine + kept, count, tokens), {}).get("seconds") for engine in ("live", "rollout=vllm")
        )
        said = ["" if each is None else f"{each:.2f}" for each in (ours, other)]
        if ours is not None and other is not None:
            said += ["live" if ours <= other else "vllm", f"{max(ours, other) / min(ours, other):.2f}"]
        table.add_row("kept" if kept else "run", str(tokens), str(count), *said)
    console.print(table)


if __name__ == "__main__":
    main()
