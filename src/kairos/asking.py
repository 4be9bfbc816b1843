"""Asks a model about clips: `from kairos import ground`, the command of that name, and its page.

>>> from kairos import ground
>>> (answer,) = ground("kettle.mp4", "the kettle boils", run="runs/mine")  # doctest: +SKIP
>>> answer.spans, answer.text, answer.save("kettle.png")  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from omegaconf import DictConfig

from kairos.compose import assemble, compose, part
from kairos.core.prompt_text import shortened, text_fault
from kairos.core.spans import Span
from kairos.core.types import Failure, Prompt, Sampling, Target, VideoSource
from kairos.data.dataset import PromptDataset, collate
from kairos.data.records import Record
from kairos.evaluation.predictions import Prediction, answer
from kairos.report.run_page.timeline import timeline
from kairos.report.style import save
from kairos.runs.folder import RunError, RunFolder
from kairos.runs.strips import save_strips
from kairos.stored import compose_stored
from kairos.train.callbacks.checkpoint import restore
from kairos.train.callbacks.validation import greedy_engine
from kairos.train.devices.place import place

FOLDER = Path("runs/ground")
VIDEOS = frozenset({".mp4", ".m4v", ".mkv", ".webm", ".mov", ".avi", ".mpg", ".mpeg", ".ts", ".flv", ".wmv", ".gif"})
"""Suffixes of what counts as a video in a folder of them."""
_LONGEST = 10_000  # bytes of a query


class CannotAsk(ValueError):
    """A clip or a query cannot be used; the message says why."""


@dataclass(frozen=True)
class Question:
    """What is asked about one clip."""

    video: str
    """A file, or a folder of frames."""
    query: str
    """What happens; or a question, with `options`."""
    options: tuple[str, ...] = ()
    """Texts without letters, of which the model is to choose one."""
    start: float | None = None
    """Second of the video where the clip begins."""
    end: float | None = None
    fps: float | None = None
    """Of a folder of frames."""

    def __post_init__(self) -> None:
        for text in (self.query, *self.options):
            if not text.strip():
                raise CannotAsk("a query, or an option, without words")
            if fault := text_fault([text], _LONGEST):
                raise CannotAsk(f"query={shortened(text)} {fault}")


@dataclass(frozen=True)
class Answered:
    """One answer."""

    question: Question
    spans: tuple[Span, ...]
    """Stated spans, in seconds from the start of the clip."""
    choice: str | None
    """Stated letter."""
    text: str
    """The answer as written."""
    reason: str | None
    """Why nothing could be read from it; None if something could."""
    duration: float
    """Seconds of the clip."""
    shown: tuple[float, ...]
    """Times of the frames that the model saw."""
    prompt: Prompt
    prediction: Prediction

    def save(self, path: str | Path) -> Path:
        """Write the answer below the frames as a PNG."""
        with TemporaryDirectory() as folder:
            save_strips([self.prompt], Path(folder))
            figure = timeline([], [self.prediction], Path(folder), {self.prompt.uid: ""})
            assert figure is not None
            return save(figure, Path(path))


class Asker:
    """A model that answers questions about clips, one after another. `run`: whose newest weights it takes."""

    def __init__(self, config: DictConfig, run: Path | None = None) -> None:
        self.config = config
        module = place(assemble(config, folder=FOLDER).module, config.trainer.accelerator)
        if run is not None:
            restore(module, run, "ask")
        self._engine = greedy_engine(module.engine)
        self._engine.setup(module.device)
        self._engine.sync(module.trained)
        self._sampling = Sampling(max_actions=module.sampling.max_actions)

    def ask(self, question: Question) -> Answered:
        """CannotAsk where the clip cannot be used."""
        prompt = prompt_of(question, self.config)
        (row,) = answer(self._engine, [collate([prompt])], self._sampling)
        chosen = self.config.enrich.get("sampler") is not None
        shown = tuple(prompt.clip.seconds_T.tolist())
        row = replace(row, frames=shown) if chosen else row
        return Answered(
            question, row.spans, row.choice, row.text, row.reason, float(prompt.clip.duration), shown, prompt, row
        )


def prompt_of(question: Question, config: DictConfig) -> Prompt:
    """The clip and the query as training would make a prompt of them; CannotAsk where the clip cannot be used."""
    source = VideoSource(question.video, question.start, question.end, question.fps)
    task = "choice" if question.options else "grounding"
    uid = f"{question.video} {question.query}"
    record = Record(uid, task, "video", source, question.query, Target(), question.options)
    parts = [part(config[name]) if config[name] is not None else None for name in ("loader", "template", "processor")]
    (prompt,) = PromptDataset([record], *parts, enrich=part(config.enrich))  # type: ignore[arg-type]
    if isinstance(prompt, Failure):
        raise CannotAsk(prompt.reason)
    return prompt


def videos_in(path: Path) -> list[Path]:
    """The videos that a path names: itself, or those of a folder by name; a folder of frames is one video."""
    found = sorted(file for file in path.iterdir() if file.suffix.lower() in VIDEOS) if path.is_dir() else []
    return found or [path]


def composed(
    run: Path | None, overrides: Sequence[str], config_dir: str | None = None, trust: bool = False
) -> DictConfig:
    """The configuration of a run, or of the shipped mini base, with `overrides`; RunError if there is no such run."""
    if run is None:
        return compose(overrides, config_dir, "ground")
    if not RunFolder(run).begun:
        raise RunError(f"run={run}: there is no such run; leave run= out to ask the shipped mini base")
    return compose_stored(RunFolder(run), overrides, config_dir, "ground", FOLDER, trust)


def ground(
    video: str | Path | Sequence[str | Path],
    query: str | Sequence[str],
    run: str | Path | None = None,
    options: Sequence[str] = (),
    overrides: Sequence[str] = (),
    trust: bool = False,
) -> list[Answered]:
    """When something happens in clips: an answer to each query about each video, a folder standing for all of its own.

    `run`: a run's folder, whose newest weights and wording are taken; None: the shipped mini base, or what `overrides`
    say, as `kairos ground` takes them (`policy=qwen2_5_vl_3b`, `sampler=agent`). `options`: texts to choose among.
    CannotAsk for a clip or a query that cannot be used; RunError if there is no such run.
    """
    paths = [video] if isinstance(video, str | Path) else video
    queries = [query] if isinstance(query, str) else query
    videos = [str(file) for path in paths for file in videos_in(Path(path))]
    questions = [Question(file, text, tuple(options)) for file in videos for text in queries]
    folder = None if run is None else Path(run)
    asker = Asker(composed(folder, overrides, trust=trust), folder)
    return [asker.ask(question) for question in questions]
