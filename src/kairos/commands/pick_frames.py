r"""Choose which frames to look at, of one video or of a whole split.

Of one video it draws the frames, and the answer if an answerer is named. Of a split it lists them in a JSON file, for
`sampler=file picks=<file>` and for other programs.

Examples:

    kairos pick_frames runs/agent video=kettle.mp4 question="What boils?"
    kairos pick_frames runs/agent video=kettle.mp4 question="What boils?" options=[kettle,egg] answerer=mini
    kairos pick_frames runs/agent split=val output=picks.json
    kairos pick_frames sampler=top_k enrich=clip frames=candidates_1fps shown_frames=16 \
        video=kettle.mp4 question="What boils?"                  # without an agent: by CLIP
    kairos pick_frames sampler=uniform shown_frames=8 data=mini_needles output=picks.json
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import cast

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig
from rich.console import Console
from torch import Tensor

from kairos.cli import UserError, command, config_dir, needs_of, user_errors
from kairos.compose import check_values, compose, values_given
from kairos.core.answers import read
from kairos.core.files import write_whole
from kairos.core.protocols import Answerer, Enrich
from kairos.core.types import Failure, Prompt, Reply, Target, Template, VideoSource
from kairos.data.dataset import size_of
from kairos.data.templates.answer import AnswerOnly
from kairos.options.quoting import literal
from kairos.policy.frame_agent.scores import AgentScores
from kairos.progress import showing_progress
from kairos.report.picked_frames import Picked, clock, draw_picked
from kairos.runs.folder import RunError, RunFolder, find_run
from kairos.runs.keys import key_of
from kairos.stored import compose_stored
from kairos.video.samplers.pick_rows import pick_row
from kairos.video.samplers.scores import ChoosesByScores
from kairos.video.samplers.shown import Shown, features_and_frames

BARE = "++processor=null", "++enrich.sampler=null"
"""Whole clips, and no tokens."""


@command("pick_frames")
def main(config: DictConfig) -> None:
    run = find_run(str(config.run)) if config.run else None
    with user_errors(), needs_of(run, config_dir()) if run else nullcontext():
        given = list(HydraConfig.get().overrides.task)
        chosen = composed(run, given, config.trust)
        named = [override for override in given if key_of(override).partition(".")[0] == "answerer"]
        check_values(chosen, "enrich", "loader", "answerer")
        with values_given(chosen):
            if chosen.video:
                print(of_video(chosen, named not in ([], ["answerer=none"])))
            else:
                print(of_split(chosen, composed(run, [*given, *BARE], config.trust)))


def composed(run: Path | None, given: Sequence[str], trust: bool) -> DictConfig:
    """The configuration of the command line, with what a run of an agent implies, if one is named."""
    if run is None:
        return compose(["template=answer", *given], config_dir(), "pick_frames")
    typed = [*implied_by(run, given), *given]
    return compose_stored(RunFolder(run), typed, config_dir(), "pick_frames", trust=trust)


def implied_by(run: Path, given: Sequence[str]) -> list[str]:
    """What a run of an agent implies beside its options: its scores, and as many frames as it chose."""
    folder, named = RunFolder(run), {key_of(override) for override in given}
    if not folder.begun:
        raise RunError(f"run={run}: there is no such run; train an agent with policy=frame_agent")
    implied = []
    if "sampler" not in named:
        _ = AgentScores(str(run)).loaded  # an error now, and not after the video was read
        implied += ["sampler=agent"]
    if "agent" not in named:
        implied += [literal("agent", str(run))]
    if "shown_frames" not in named:
        count = cast("Mapping[str, object]", folder.config()["sampling"])["max_actions"]
        if not isinstance(count, int):
            raise RunError(f"{run / 'config.yaml'}: sampling.max_actions must be a number of frames, got {count!r}")
        implied += [f"shown_frames={count}"]
    return implied


def of_video(config: DictConfig, answers: bool) -> str:
    """Draw the frames of one video, and the answer if an answerer is named; gives what is printed."""
    if config.question is None:
        raise UserError('error: say question="..." about the video')
    adding, shown = parts_of(config)
    template = instantiate(config.template, _convert_="all") if config.options else AnswerOnly(choice="{question}")
    with Console(stderr=True).status("reading the video") as status:
        clip = instantiate(config.loader, _convert_="all").load(VideoSource(str(config.video), fps=config.fps))
        options = tuple(str(option) for option in config.options)
        prompt = Prompt(
            str(config.video), "choice", "video", clip, str(config.question), Target(), options, template=template
        )
        status.update(f"computing features of {len(clip)} frames")
        for add in adding:
            prompt = add(prompt)
        status.update("choosing frames")
        index_K = shown.choose(prompt)
        reply = None
        if answers:
            status.update("answering")
            reply = answered(instantiate(config.answerer, _convert_="all"), prompt, index_K)
        path = Path(config.output or f"{Path(str(config.video)).stem}.frames.png")
        draw_picked(picked(prompt, shown, index_K, reply), path)
    seconds = ", ".join(clock(second, clip.duration) for second in clip.seconds_T[index_K].tolist())
    said = [] if reply is None else [f"answer: {reply.text.strip()}"]
    return "\n".join([f"{len(index_K)} of {len(clip)} frames, at {seconds}", *said, f"written: {path}"])


def picked(prompt: Prompt, shown: Shown, index_K: Tensor, reply: Reply | None) -> Picked:
    """What the picture shows."""
    clip, sampler = prompt.clip, shown.sampler
    scores = sampler.scores if isinstance(sampler, ChoosesByScores) else None
    frames = clip.take(index_K).frames_TCHW
    assert frames is not None
    probabilities = None if reply is None else reply.option_probs_O
    return Picked(
        question=prompt.question,
        duration=clip.duration,
        seconds_T=clip.seconds_T.tolist(),
        scores_T=None if scores is None else scores(prompt).tolist(),
        index_K=index_K.tolist(),
        frames_KHWC=frames.permute(0, 2, 3, 1).numpy(),
        options=prompt.options,
        answer=None if reply is None else reply.text.strip(),
        letter=None if reply is None else letter_of(reply, prompt.template),
        probabilities=() if probabilities is None else probabilities.tolist(),
        by=type(sampler).__name__,
        agent=scores.agent if isinstance(scores, AgentScores) else None,
    )


def letter_of(reply: Reply, template: Template | None) -> str | None:
    return None if template is None else read(reply.text, template.grammar).choice


def answered(answerer: Answerer, prompt: Prompt, index_K: Tensor) -> Reply:
    """What a frozen answerer says of the chosen frames."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with device:
        answerer.build()
    answerer.to(device)
    ((reply,),) = answerer.answer([prompt], [[index_K]])
    return reply


def of_split(config: DictConfig, bare: DictConfig) -> str:
    """Write the frames of every prompt of a split as JSON; gives what is printed. `bare`: the same with `BARE`."""
    _, shown = parts_of(config)
    if config.output is None:
        raise UserError("error: say output=<picks.json> for a split of data=, or video=<file> question=... for one")
    loader = instantiate(bare.loader, _convert_="all")
    rows: list[dict[str, object]] = []
    failures: list[Failure] = []
    data = instantiate(bare.datamodule, _convert_="all")
    prompts = size_of(data.dataset(config.split))
    with showing_progress("choosing", min(prompts, config.count or prompts)) as advance:
        for batch in data.batches(config.split, config.count, config.size):
            for prompt, weight in zip(batch.prompts, batch.weights_P.tolist(), strict=True):
                if weight:
                    rows.append(pick_row(prompt, shown.choose(prompt), loader))
            failures += batch.failures
            advance(len(batch))
    text = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    path = write_whole(Path(config.output), f"[\n{text}\n]\n")
    lines = [f"failed: {failure.uid}: {failure.reason}" for failure in failures[:3]]
    lines.append(f"{len(rows)} prompts, {len(failures)} failed; written: {path}")
    return "\n".join([*lines, f"to show them: sampler=file picks={path} shown_frames={shown.count}"])


def parts_of(config: DictConfig) -> tuple[list[Enrich], Shown]:
    """What adds features to prompts, and what chooses frames. UserError without a sampler."""
    adding, showing = features_and_frames(instantiate(config.enrich, _convert_="all"))
    if not showing:
        raise UserError("error: nothing says how to choose: say run=runs/<agent>, or sampler=<option> shown_frames=<K>")
    return adding, showing[0]


if __name__ == "__main__":
    main()
