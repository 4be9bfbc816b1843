"""Ask when something happens in a video, or in every video of a folder.

Prints the spans and the answer as written, and draws both below the frames. A folder of frames (fps=2) is a video too.
With sampler=agent agent=runs/<agent> shown_frames=16 the model sees the frames that a trained agent chooses.

Examples:

    kairos ground video=kettle.mp4 query="the kettle boils"       # the mini base, which knows the mini world only
    kairos ground runs/mine video=clips "queries=[the kettle boils,a cup breaks]" output=answers
    kairos ground runs/mine video=kettle.mp4 query="What boils?" options=[kettle,egg] start=30 end=60
    kairos ground policy=qwen2_5_vl_3b policy.weights=exported video=kettle.mp4 query="the kettle boils"
    kairos ground runs/mine serve=true                            # a page on this machine: drop a clip, ask
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from kairos.asking import Answered, Asker, CannotAsk, Question, composed, videos_in
from kairos.asking_page import ask_server
from kairos.cli import UserError, command, config_dir, needs_of, user_errors
from kairos.core.files import json_line, write_whole
from kairos.core.stop_signals import Stopped
from kairos.report.loopback import address
from kairos.report.picked_frames import clock
from kairos.runs.folder import RunError, RunFolder, find_run


@command("ground")
def main(config: DictConfig) -> None:
    run = find_run(str(config.run)) if config.run else None
    with user_errors(), needs_of(run, config_dir()) if run else nullcontext():
        given = list(HydraConfig.get().overrides.task)
        questions = [] if config.serve else questions_of(config)
        if run is not None and not RunFolder(run).begun:
            raise RunError(f"run={config.run}: there is no such run; leave run= out to ask the shipped mini base")
        with Console(stderr=True).status("loading the model"):
            asker = Asker(composed(run, given, config_dir(), config.trust), run)
        if config.serve:
            serve(asker, config.port)
        elif len(questions) == 1:
            print(asked(asker, questions[0], config.output))
        else:
            ask_all(asker, questions, Path(config.output or f"{Path(str(config.video)).stem}.ground"))


def questions_of(config: DictConfig) -> list[Question]:
    """UserError, before anything is loaded, for what is not asked or cannot be asked."""
    queries = [str(query) for query in config.queries]
    if not OmegaConf.is_missing(config, "query") and str(config.query).strip():
        queries = [str(config.query), *queries]
    video = "" if OmegaConf.is_missing(config, "video") else str(config.video).strip()
    lacking = [name for name, given in (("video", video), ("query", queries)) if not given]
    if lacking:
        raise UserError(
            f"error: no {' and no '.join(lacking)}: say video=<file, or folder of frames> and query=<what happens>"
        )
    if not Path(video).exists():
        raise UserError(f"error: video={config.video}: there is no such file or folder of frames")
    options = tuple(str(option) for option in config.options)
    clip = (config.start, config.end, config.fps)
    return [Question(str(file), query, options, *clip) for file in videos_in(Path(video)) for query in queries]


def asked(asker: Asker, question: Question, output: str | None) -> str:
    """Answer, draw, and give what is printed."""
    with Console(stderr=True).status("answering"):
        found = asker.ask(question)
        path = found.save(output or f"{Path(question.video).stem}.ground.png")
    return f"{said(found)}\nanswer: {found.text.strip()}\nwritten: {path}"


def ask_all(asker: Asker, questions: list[Question], folder: Path) -> None:
    """Answer one after another; pictures and answers.jsonl go into a folder. UserError if none could be answered."""
    rows: list[dict[str, object]] = []
    for number, question in enumerate(questions, start=1):
        row: dict[str, object] = {"video": question.video, "query": question.query}
        try:
            found = asker.ask(question)
        except CannotAsk as error:
            rows.append({**row, "failed": str(error)})
            print(f"{question.video}: {question.query}: failed: {error}", flush=True)
            continue
        path = found.save(folder / f"{number:03d}-{Path(question.video).stem}.png")
        rows.append({**row, "spans": [list(span) for span in found.spans], "choice": found.choice, "text": found.text,
                     "reason": found.reason, "duration": found.duration, "picture": path.name})  # fmt: skip
        print(f"{question.video}: {question.query}: {said(found)}", flush=True)
    write_whole(folder / "answers.jsonl", b"".join(map(json_line, rows)))
    failed = sum("failed" in row for row in rows)
    if failed == len(rows):
        raise UserError(f"error: none of {len(rows)} questions could be asked: {rows[0]['failed']}")
    print(f"{len(rows) - failed} answers, {failed} failed; written: {folder}/")


def said(found: Answered) -> str:
    """The answer in a line: spans, or the letter with its option, and the frames where they were chosen."""
    options, reason = found.question.options, found.reason or "the answer names none"
    if options:
        place = ord(found.choice) - ord("A") if found.choice else len(options)
        what = f"{found.choice}: {options[place]}" if place < len(options) else f"no option ({reason})"
    else:
        what = ", ".join(f"{span.start:.2f} to {span.end:.2f} s" for span in found.spans) or f"no span ({reason})"
    frames = [clock(second, found.duration) for second in found.prediction.frames or ()]
    seen = f"; of {len(frames)} frames, at {', '.join(frames)}" if frames else ""
    return f"{what}, of {found.duration:.1f} s{seen}"


def serve(asker: Asker, port: int) -> None:
    """Serve the page until Ctrl-C."""
    with ask_server(asker, port) as served:
        print(f"asking: {address(served)} (this machine only; Ctrl-C ends it)", flush=True)
        try:
            served.serve_forever()
        except Stopped:
            return


if __name__ == "__main__":
    main()
