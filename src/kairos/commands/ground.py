"""Ask when something happens in one video.

Prints the span and the answer as written, and draws both below the frames.

Examples:

    kairos ground video=kettle.mp4 query="the kettle boils"       # the mini base, which knows the mini world only
    kairos ground runs/mine video=kettle.mp4 query="the kettle boils"
    kairos ground runs/mine video=kettle.mp4 query="the kettle boils" start=30 end=60 output=kettle.png
    kairos ground runs/mine video=frames fps=2 query="the kettle boils"  # a folder of frames
    kairos ground policy=qwen2_5_vl_3b policy.weights=exported video=kettle.mp4 query="the kettle boils"
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from kairos.cli import UserError, command, config_dir, needs_of, user_errors
from kairos.compose import assemble, compose, part
from kairos.core.prompt_text import shortened, text_fault
from kairos.core.types import Failure, Prompt, Sampling, Target, VideoSource
from kairos.data.dataset import PromptDataset, collate
from kairos.data.records import Record
from kairos.evaluation.predictions import Prediction, answer
from kairos.report.run_page.timeline import timeline
from kairos.report.style import save
from kairos.runs.folder import RunError, RunFolder, find_run
from kairos.runs.strips import save_strips
from kairos.stored import compose_stored
from kairos.train.callbacks.checkpoint import restore
from kairos.train.callbacks.validation import greedy_engine
from kairos.train.devices.place import place

FOLDER = Path("runs/ground")
_LONGEST = 10_000  # bytes of a query


@command("ground")
def main(config: DictConfig) -> None:
    run = find_run(str(config.run)) if config.run else None
    with user_errors(), needs_of(run, config_dir()) if run else nullcontext():
        given = list(HydraConfig.get().overrides.task)
        check_question(config)
        if run is not None and not RunFolder(run).begun:
            raise RunError(f"run={config.run}: there is no such run; leave run= out to ask the shipped mini base")
        if run is None:
            print(asked(compose(given, config_dir(), "ground"), None))
        else:
            composed = compose_stored(RunFolder(run), given, config_dir(), "ground", FOLDER, config.trust)
            print(asked(composed, run))


def check_question(config: DictConfig) -> None:
    """UserError, before anything is loaded, for what is not asked or cannot be asked."""
    lacking = [
        name for name in ("video", "query") if OmegaConf.is_missing(config, name) or not str(config[name]).strip()
    ]
    if lacking:
        raise UserError(
            f"error: no {' and no '.join(lacking)}: say video=<file, or folder of frames> and query=<what happens>"
        )
    if not Path(str(config.video)).exists():
        raise UserError(f"error: video={config.video}: there is no such file or folder of frames")
    if fault := text_fault([str(config.query)], _LONGEST):
        raise UserError(f"error: query={shortened(str(config.query))} {fault}")


def asked(config: DictConfig, run: Path | None) -> str:
    """Answer, draw, and give what is printed."""
    with Console(stderr=True).status("reading the video") as status:
        prompt = prompt_of(config)
        status.update("loading the model")
        module = place(assemble(config, folder=FOLDER).module, config.trainer.accelerator)
        if run is not None:
            restore(module, run, "ask")
        status.update("answering")
        engine = greedy_engine(module.engine)
        engine.setup(module.device)
        engine.sync(module.trained)
        (row,) = answer(engine, [collate([prompt])], Sampling(max_actions=module.sampling.max_actions))
        path = draw(prompt, row, Path(config.output or f"{Path(str(config.video)).stem}.ground.png"))
    spans = ", ".join(f"{span.start:.2f} to {span.end:.2f} s" for span in row.spans)
    found = spans or f"no span ({row.reason or 'the answer names none'})"
    return f"{found}, of {prompt.clip.duration:.1f} s\nanswer: {row.text.strip()}\nwritten: {path}"


def prompt_of(config: DictConfig) -> Prompt:
    """The video and the query as training would make a prompt of them. UserError where the video cannot be used."""
    source = VideoSource(str(config.video), config.start, config.end, config.fps)
    record = Record(str(config.video), "grounding", "video", source, str(config.query), Target())
    parts = [part(config[name]) if config[name] is not None else None for name in ("loader", "template", "processor")]
    (prompt,) = PromptDataset([record], *parts, enrich=part(config.enrich))  # type: ignore[arg-type]
    if isinstance(prompt, Failure):
        raise UserError(f"error: {prompt.reason}")
    return prompt


def draw(prompt: Prompt, row: Prediction, path: Path) -> Path:
    """The answer below the frames."""
    with TemporaryDirectory() as folder:
        save_strips([prompt], Path(folder))
        figure = timeline([], [row], Path(folder), {row.uid: ""})
        assert figure is not None
        return save(figure, path)


if __name__ == "__main__":
    main()
