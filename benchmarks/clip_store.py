"""Measures the cost of guarded decoding, the gain of the clip store, and the time to open a long and a short clip.

    python benchmarks/clip_store.py [--real-data <folder>] [--out results/clip_store.json]

Measures clips of the mini world and, with `--real-data`, the real videos below `<folder>/videos`:
* decode + resize, through the guarded loader against bare decord with torchvision's resize of the same frames;
* a stored clip into one contiguous uint8 tensor against `torch.load` of the same frames as float32, from a warm and
  from a cold page cache, both in one thread as in a data loader's worker; bytes of both;
* the time to the first frame of a stored 600 s clip against that of a 10 s clip of the same frame size.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import av
import decord
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import resize

from kairos.core.types import VideoSource
from kairos.data.mini.world import MiniWorld
from kairos.video.budget import PixelBudget
from kairos.video.decoding.comparison import Comparison
from kairos.video.loader import ClipLoader
from kairos.video.store import mapped
from kairos.video.store.clips import ClipStore

REAL = PixelBudget(factor=28, min_pixels=16 * 28**2, total_pixels=3584 * 28**2)
MINI = PixelBudget(factor=32, min_pixels=32**2)


def seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def bare(path: str, budget: PixelBudget, threads: int) -> Tensor:
    """The same frames of the same size by decord and torchvision alone."""
    video = decord.VideoReader(path, num_threads=threads)
    index = budget.indices(len(video), video.get_avg_fps())
    frames = torch.from_numpy(video.get_batch(index).asnumpy()).permute(0, 3, 1, 2)
    size = list(budget.size(frames.shape[2], frames.shape[3], len(index)))
    return resize(frames, size, interpolation=InterpolationMode.BICUBIC, antialias=True).contiguous()


def drop_from_cache(path: Path) -> None:
    """Ask the kernel to forget the file's pages."""
    mapped.release()
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def decoding(sources: Sequence[VideoSource], loader: ClipLoader, repeats: int) -> dict[str, float | int]:
    """Median seconds for all `sources`: guarded, the same with every file compared with a decode from the start, bare
    with one thread, bare with decord's default; interleaved."""
    comparing = ClipLoader(loader.store, budget=loader.budget, comparison=Comparison(share=1.0))
    loader.decode(sources[0])  # starts the decoding process, once
    comparing.decode(sources[0])
    for source in sources:
        clip, _ = loader.decode(source)
        assert clip.frames_TCHW is not None
        assert torch.equal(clip.frames_TCHW, bare(source.path, loader.budget, 1)), (
            f"{source}: other pixels than decord's"
        )
    runs: dict[str, list[float]] = {"guarded": [], "all_compared": [], "bare_1_thread": [], "bare_default_threads": []}
    for _ in range(repeats):
        runs["guarded"].append(seconds(lambda: [loader.decode(s) for s in sources]))
        runs["all_compared"].append(seconds(lambda: [comparing.decode(s) for s in sources]))
        runs["bare_1_thread"].append(seconds(lambda: [bare(s.path, loader.budget, 1) for s in sources]))
        runs["bare_default_threads"].append(seconds(lambda: [bare(s.path, loader.budget, 0) for s in sources]))
    median = {name: statistics.median(values) for name, values in runs.items()}
    writes = []
    for source in sources:
        clip, facts = loader.decode(source)
        writes.append(seconds(lambda s=source, c=clip, f=facts: loader.store.put(s, loader.recipe(s), c, f)))
    comparing.close()
    fastest = min(median["bare_1_thread"], median["bare_default_threads"])
    return {
        "clips": len(sources),
        **{f"{name}_seconds": value for name, value in median.items()},
        "speed_against_bare": fastest / median["guarded"],
        "comparing_adds": Comparison().share * (median["all_compared"] / median["guarded"] - 1),
        "write_seconds": sum(writes),
    }


def loading(sources: Sequence[VideoSource], loader: ClipLoader, folder: Path, repeats: int) -> dict[str, float]:
    """Seconds to copy every clip into memory, summed over `sources`: stored uint8 against torch's float32.

    Warm: as in a second epoch, where the process has the clip mapped already; "first" is its first opening.
    """
    torch.set_num_threads(1)
    names = ("stored_warm", "stored_first", "pt_warm", "stored_cold", "pt_cold", "stored_bytes", "pt_bytes")
    total: dict[str, float] = dict.fromkeys(names, 0.0)
    for number, source in enumerate(sources):
        clip = loader.load(source)
        assert isinstance(clip, mapped.StoredClip) and clip.frames_TCHW is not None
        stored, saved = Path(clip.path), folder / f"{number}.pt"
        torch.save(clip.frames_TCHW.float(), saved)
        os.sync()
        total["stored_bytes"] += stored.stat().st_size
        total["pt_bytes"] += saved.stat().st_size
        del clip

        def keep() -> None:
            pass

        for name, work, before in (
            ("stored_warm", lambda s=source: whole(loader, s), keep),
            ("stored_first", lambda s=source: whole(loader, s), mapped.release),
            ("pt_warm", lambda p=saved: torch.load(p, weights_only=True), keep),
            ("stored_cold", lambda s=source: whole(loader, s), lambda p=stored: drop_from_cache(p)),
            ("pt_cold", lambda p=saved: torch.load(p, weights_only=True), lambda p=saved: drop_from_cache(p)),
        ):
            work()
            total[name] += statistics.median(timed(work, before) for _ in range(repeats))
        saved.unlink()
    return {
        **{f"{name}_seconds": total[name] for name in names[:5]},
        "faster_warm": total["pt_warm"] / total["stored_warm"],
        "faster_first": total["pt_warm"] / total["stored_first"],
        "faster_cold": total["pt_cold"] / total["stored_cold"],
        "stored_bytes_per_clip": total["stored_bytes"] / len(sources),
        "float32_bytes_per_clip": total["pt_bytes"] / len(sources),
    }


def whole(loader: ClipLoader, source: VideoSource) -> Tensor:
    """The clip's frames, found by its source, copied out of the map: one contiguous uint8 tensor."""
    frames = loader.load(source).frames_TCHW
    assert frames is not None
    return frames.clone()


def timed(work: Callable[[], object], before: Callable[[], object]) -> float:
    before()
    return seconds(work)


def first_frame(folder: Path, repeats: int) -> dict[str, float | list[int]]:
    """Median seconds from a source to a copy of the first frame, map closed before each, warm page cache."""
    budget = replace(MINI, total_pixels=768 * 320 * 256)
    loader = ClipLoader(ClipStore(folder / "lengths"), budget=budget)
    medians, shapes = {}, {}
    sources = {length: VideoSource(str(render(folder / f"{length}.mp4", length))) for length in (10, 600)}
    for length, source in sources.items():
        frames = loader.load(source).frames_TCHW
        assert frames is not None
        shapes[length] = list(frames.shape)
        frames.clone()
    runs: dict[int, list[float]] = {10: [], 600: []}
    for _ in range(repeats):
        for length, source in sources.items():
            runs[length].append(timed(lambda s=source: first(loader, s), mapped.release))
    medians = {length: statistics.median(values) for length, values in runs.items()}
    return {
        "shape_10_s": shapes[10],
        "shape_600_s": shapes[600],
        "seconds_10_s": medians[10],
        "seconds_600_s": medians[600],
        "ratio": medians[600] / medians[10],
    }


def first(loader: ClipLoader, source: VideoSource) -> Tensor:
    frames = loader.load(source).frames_TCHW
    assert frames is not None
    return frames[0].clone()


def render(path: Path, length: int) -> Path:
    """A video of `length` seconds, 320x256 at 2 frames a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=2, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 320, 256, "yuv420p"
        for number in range(2 * length):
            image = np.full((256, 320, 3), 60, dtype=np.uint8)
            image[:, number % 300 : number % 300 + 20] = 220
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    os.utime(path, (1, 1))  # long settled, so that its content is hashed once
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--real-data", type=Path, default=None, help="folder with videos/; mini clips only without it")
    parser.add_argument("--out", type=Path, default=Path("results/clip_store.json"))
    parser.add_argument("--clips", type=int, default=24, help="mini clips to measure")
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=arguments.out.parent) as name:
        folder = Path(name)
        records = MiniWorld(str(folder / "mini"), "val", arguments.clips).records()
        sets = {"mini": (list(dict.fromkeys(record.video for record in records)), MINI)}
        if arguments.real_data is not None:
            videos = sorted(p for p in (arguments.real_data / "videos").iterdir() if p.suffix in (".mp4", ".mkv"))
            sets["real"] = ([VideoSource(str(path)) for path in videos], REAL)
        time.sleep(2.5)  # contents of files younger than two seconds are not remembered
        report: dict[str, dict[str, object]] = {}
        for kind, (sources, budget) in sets.items():
            torch.set_num_threads(min(2, os.cpu_count() or 1))
            loader = ClipLoader(ClipStore(folder / f"store-{kind}"), budget=budget)
            report[kind] = {
                "decoding": decoding(sources, loader, arguments.repeats),
                "loading": loading(sources, loader, folder, arguments.repeats),
            }
        report["first_frame"] = dict(first_frame(folder, 50))
    report["machine"] = {
        "cpu": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "decord": decord.__version__,
        "command": "python benchmarks/clip_store.py" + (" --real-data <folder>" if arguments.real_data else ""),
    }
    arguments.out.write_text(json.dumps(report, indent=2) + "\n")
    show(report)


def show(report: dict[str, dict[str, object]]) -> None:
    table = Table("measure", "value", "wanted", title="clip store")
    for kind in ("mini", "real"):
        if kind in report:
            decode, load = report[kind]["decoding"], report[kind]["loading"]
            assert isinstance(decode, dict) and isinstance(load, dict)
            table.add_row(
                f"{kind}: decode + resize against bare decord", f"{decode['speed_against_bare']:.2f}", ">= 0.9"
            )
            share = f"{kind}: comparing {Comparison().share:.0%} of the files adds"
            table.add_row(share, f"{decode['comparing_adds']:.1%}", "")
            table.add_row(f"{kind}: write, seconds a clip", f"{decode['write_seconds'] / decode['clips']:.4f}", "")
            table.add_row(f"{kind}: load against float32, warm", f"{load['faster_warm']:.1f}x", ">= 4x")
            table.add_row(f"{kind}: the same, first opening", f"{load['faster_first']:.1f}x", "")
            table.add_row(f"{kind}: load against float32, cold", f"{load['faster_cold']:.1f}x", ">= 2x")
            sizes = f"{load['stored_bytes_per_clip'] / 1e6:.2f} MB, {load['float32_bytes_per_clip'] / 1e6:.2f} MB"
            table.add_row(f"{kind}: bytes a clip, stored and float32", sizes, "")
    table.add_row("first frame, 600 s against 10 s", f"{report['first_frame']['ratio']:.2f}", "<= 1.5")
    Console().print(table)


if __name__ == "__main__":
    main()
