"""The mini world: real mp4 clips of moving coloured shapes, rendered on demand, and four kinds of task about them.

Small enough for two CPU cores, and nothing is downloaded. A clip is a function of (seed, split, index), and the name
of its folder holds the version of the recipe, so a file that exists is never out of date.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from kairos.core.seeds import mix
from kairos.core.types import Target, VideoSource
from kairos.data.mini import questions as asking
from kairos.data.mini.corpus import corpus
from kairos.data.mini.render import render, render_job
from kairos.data.mini.scene import FOREIGN, FOREIGN_LONG, FOREIGN_SHORT, LONG, SHORT, SIZE, Scene, draw_scene
from kairos.data.records import TASKS, Record
from kairos.progress import showing_progress

__all__ = ["SPLITS", "MiniCaptions", "MiniWorld", "corpus"]

SPLITS = ("pretrain", "train", "val", "test", "ood", "ood_short")
_RECIPE = "3"  # raise it when a pixel or a scene changes: old files are then left alone, and new ones rendered
_POOL_FROM = 400  # files of the ordinary size; below, starting processes costs more than it saves


@dataclass(frozen=True)
class MiniWorld:
    """One split of the mini world; the reader renders what is missing under `folder`.

    Ordinary clips last 16 s (64 frames of 64x64 at 4 a second) and show three shapes of distinct colours, each once
    for 1.5 to 4 s on a grid of 0.5 s. The task "needle" asks about long clips (32 s, five shapes), so one clip in
    len(tasks) is long. The split "ood" has longer clips (24 s, four shapes), pairs of colour and shape that no other
    split shows, and other backgrounds; "ood_short" has those too, in clips as short as the ordinary ones.

    Each ordinary clip is asked `questions_per_clip` questions (at most three a task), its tasks in turn; a long clip at
    most two. `loosen` (seconds, training splits only) widens every annotated time at both ends by up to that much:
    the loosely timed captions that the mini base learns from. `width` and `height` (pixels, even) enlarge the picture
    and `seconds` sets every clip's duration, to try a budget made for real videos. `workers` render in parallel
    (None: every core).
    """

    folder: str
    split: str
    clips: int
    seed: int = 0
    tasks: Sequence[str] = TASKS
    questions_per_clip: int = 3
    loosen: float = 0.0
    width: int = SIZE
    height: int = SIZE
    seconds: float | None = None
    workers: int | None = None
    progress: bool = False

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise ValueError(f"mini split must be one of {', '.join(SPLITS)}, got {self.split!r}")
        if self.clips < 1:
            raise ValueError(f"mini clips must be >= 1, got {self.clips}")
        unknown = [task for task in self.tasks if task not in TASKS]
        if unknown or not self.tasks or len(set(self.tasks)) < len(self.tasks):
            raise ValueError(f"mini tasks must be distinct and among {', '.join(TASKS)}, got {list(self.tasks)}")
        most = 3 * max(1, len([task for task in self.tasks if task != "needle"]))
        if not 1 <= self.questions_per_clip <= most:
            raise ValueError(f"mini questions_per_clip must lie in 1..{most} here, got {self.questions_per_clip}")
        if self.loosen < 0 or (self.loosen and self.split not in ("pretrain", "train")):
            raise ValueError(f"mini loosen must be >= 0, and 0 for the split {self.split!r}, got {self.loosen}")
        if self.width % 2 or self.height % 2 or min(self.width, self.height) < SIZE:
            raise ValueError(f"mini width and height must be even and >= {SIZE}, got {self.width}x{self.height}")
        if self.seconds is not None and self.seconds < SHORT.seconds:
            raise ValueError(f"mini seconds must be >= {SHORT.seconds:g}, got {self.seconds}")

    def records(self) -> list[Record]:
        """Every question of the split, in a fixed order; renders the clips that are not there yet."""
        return [record for index, scene in enumerate(self.scenes()) for record in self._ask(index, scene)]

    def scenes(self) -> list[Scene]:
        """Every clip's scene; renders the clips that are not there yet."""
        scenes = [self.scene(index) for index in range(self.clips)]
        self._render(scenes)
        return scenes

    def scene(self, index: int) -> Scene:
        """What happens in clip `index`."""
        long = self._long(index)
        foreign = {"ood": (FOREIGN, FOREIGN_LONG), "ood_short": (FOREIGN_SHORT, FOREIGN_LONG)}
        short, longer = foreign.get(self.split, (SHORT, LONG))
        kind = longer if long else short
        kind = replace(kind, width=self.width, height=self.height, seconds=self.seconds or kind.seconds)
        return draw_scene(kind, mix(self.seed, "mini", self.split, index, "long" if long else "short"))

    def path(self, index: int) -> Path:
        """<folder>/<split>-<recipe>/<thousands>/<index>.mp4, `-long` behind the index of a long clip."""
        usual = (self.width, self.height, self.seconds) == (SIZE, SIZE, None)
        picture = () if usual else (self.width, self.height, repr(self.seconds))
        key = f"{mix(self.seed, 'mini', self.split, _RECIPE, *picture):016x}"[-8:]
        name = f"{index:06d}{'-long' if self._long(index) else ''}.mp4"
        return Path(self.folder) / f"{self.split}-{key}" / f"{index // 1000:03d}" / name

    def _long(self, index: int) -> bool:
        return "needle" in self.tasks and index % len(self.tasks) == len(self.tasks) - 1

    def _render(self, scenes: Sequence[Scene]) -> None:
        paths = [self.path(index) for index in range(self.clips)]
        there = {str(path) for folder in {path.parent for path in paths} for path in folder.glob("*.mp4")}
        jobs = [(scene, str(path)) for scene, path in zip(scenes, paths, strict=True) if str(path) not in there]
        if not jobs:
            return
        workers = min(self.workers or os.cpu_count() or 1, len(jobs))
        larger = self.width * self.height / SIZE**2
        counting = showing_progress(f"rendering {self.split}", len(jobs), shown=self.progress)
        if workers < 2 or len(jobs) * larger < _POOL_FROM:
            with counting as advance:
                for scene, path in jobs:
                    render(scene, Path(path))
                    advance()
            return
        with counting as advance, ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            for _ in pool.map(render_job, jobs, chunksize=max(1, min(32, len(jobs) // workers))):
                advance()

    def _ask(self, index: int, scene: Scene) -> Iterator[Record]:
        if scene.kind.needle:
            turns = ["needle"] * min(2, self.questions_per_clip)
        else:
            tasks = [task for task in self.tasks if task != "needle"]
            turns = [tasks[(index + j) % len(tasks)] for j in range(self.questions_per_clip)]
        for task in dict.fromkeys(turns):
            order = np.random.default_rng(mix(self.seed, "order", self.split, index, task))
            chosen = order.permutation(asking.slugs(scene, task))[: turns.count(task)]
            for slug in chosen:
                yield self._record(index, scene, task, str(slug))

    def _record(self, index: int, scene: Scene, task: str, slug: str) -> Record:
        uid = f"mini/{self.split}-{self.seed}/{index:06d}/{task}/{slug}"
        question = asking.ask(scene, task, slug, np.random.default_rng(mix("options", uid)))
        span = question.thing.span
        if self.loosen:
            span = asking.loosened(span, self.loosen, scene.kind.seconds, np.random.default_rng(mix("loosen", uid)))
        return Record(
            uid=uid,
            task=task,
            source="mini",
            video=VideoSource(str(self.path(index))),
            question=question.text,
            target=asking.target(question, task, span),
            options=question.options,
            duration=scene.kind.seconds,
        )


@dataclass(frozen=True)
class MiniCaptions:
    """Two records a clip of `world`: everything that it shows in order of time, without and with lettered options.

    A caption says which shape has which colour and when, all at once, and under which letter it is listed: what a
    question asks for one by one. The tasks are "caption" and, in turn, "lettered" and "letters"; the world's `loosen`
    widens the times.
    """

    world: MiniWorld

    def records(self) -> list[Record]:
        return [record for index, scene in enumerate(self.world.scenes()) for record in self._records(index, scene)]

    def _records(self, index: int, scene: Scene) -> Iterator[Record]:
        uid = f"mini/{self.world.split}-{self.world.seed}/{index:06d}/caption"
        rng = np.random.default_rng(mix("loosen", uid))
        yield self._record(uid, "caption", index, (), asking.caption(scene, self.world.loosen, rng))
        options, behind, before = asking.lettered_caption(scene, self.world.loosen, rng)
        task, text = ("letters", before) if index % 2 else ("lettered", behind)
        yield self._record(f"{uid}/{task}", task, index, options, text)

    def _record(self, uid: str, task: str, index: int, options: tuple[str, ...], text: str) -> Record:
        video = VideoSource(str(self.world.path(index)))
        seconds = self.world.scene(index).kind.seconds
        return Record(uid, task, "mini", video, "", Target(demonstration=text), options, seconds)
