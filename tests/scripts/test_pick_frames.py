"""scripts/pick_frames.py: the frames of one video as a picture with the answer, and those of a split as a JSON file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.mini_agent import NEEDLES, beside
from helpers.scripting import Script
from PIL import Image

from kairos.evaluation.predictions import read_file

TOP_K = ["sampler=top_k", "shown_frames=3", "frames=mini_candidates", "enrich=mini_clip"]
TWO = ["sampler=uniform", "shown_frames=2"]


@pytest.fixture(scope="session")
def video(frame_agent: Path) -> str:
    """A clip of 64 s, 128 candidates."""
    return str(sorted((frame_agent.parent / "mini").rglob("*.mp4"))[0])


def test_an_agent_picks_the_frames_of_a_video_and_an_answerer_answers(
    script: Script, frame_agent: Path, video: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    asked = [f"run={frame_agent}", f"video={video}", "question=Which object appears last?",
             'options=["green star","red circle"]', "answerer=mini"]  # fmt: skip
    assert script("pick_frames", *asked) == 0
    said = capfd.readouterr().out
    name = Path(video).stem
    assert "\nanswer: <answer>" in said and f"\nwritten: {name}.frames.png" in said
    assert said.startswith("4 of ") and said.partition("\n")[0].count(" s") == 4, "as many as the agent chose"
    with Image.open(tmp_path / f"{name}.frames.png") as picture:
        assert picture.width > 1200 and picture.height > 500


def test_a_sampler_without_an_agent_will_do_and_nobody_needs_to_answer(
    script: Script, frame_agent: Path, video: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    place = beside(frame_agent.parent)
    for options, path in (([*TOP_K, place[-1]], "a/top.png"), (["sampler=uniform", "shown_frames=3"], "b.png")):
        arguments = [f"video={video}", "question=what?", f"output={path}", place[1], *options]
        assert script("pick_frames", *arguments) == 0
        said = capfd.readouterr().out
        assert said.startswith("3 of ") and "answer" not in said and (tmp_path / path).stat().st_size > 10_000


def test_the_picks_of_a_split_are_shown_by_a_file_as_by_the_agent(
    script: Script, frame_agent: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    """The agent by itself, through command lines alone, and through the file: the same frames and answers."""
    assert script("pick_frames", f"run={frame_agent}", "count=6", "output=picks.json") == 0
    assert "6 prompts, 0 failed; written: picks.json" in (said := capfd.readouterr().out)
    assert "sampler=file picks=picks.json shown_frames=4" in said
    rows = {row["uid"]: row for row in json.loads((tmp_path / "picks.json").read_text())}
    answering = [*NEEDLES, *beside(frame_agent.parent), "policy.weights=mini_answerer", "template=answer",
                 "sampling.max_actions=8", "count=6", "shown_frames=4", "trainer=cpu"]  # fmt: skip
    for name, sampler in (("file", ["sampler=file", "picks=picks.json"]),
                          ("agent", ["sampler=agent", f"agent={frame_agent}"])):  # fmt: skip
        assert script("evaluate", *answering, *sampler, f"output={name}.json") == 0
    by_file, by_agent = (read_file(tmp_path / "predictions" / f"{name}.default.jsonl") for name in ("file", "agent"))
    assert by_file == by_agent and len(by_agent) == len(rows) == 6
    assert [list(row.frames or ()) for row in by_agent] == [rows[row.uid]["seconds"] for row in by_agent]


def test_rows_name_the_file_and_its_frame_numbers_where_there_is_one(script: Script, frame_agent: Path, tmp_path: Path):
    arguments = ["data=mini", "data.clips=1", "data.val_clips=1", "data.tasks=[choice]", "sampler=uniform",
                 "shown_frames=3", "count=1", "output=deep/picks.json", *beside(frame_agent.parent)[:2]]  # fmt: skip
    assert script("pick_frames", *arguments) == 0
    (row,) = json.loads((tmp_path / "deep" / "picks.json").read_text())
    assert Path(row["video"]).is_file() and row["frames"] == [0, 16, 31]
    assert [number / 4 for number in row["frame_idx"]] == row["seconds"], "the file has four frames a second"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "error: nothing says how to choose: say run=runs/<agent>, or sampler=<option> shown_frames=<K>"),
        (TWO, "error: say output=<picks.json> for a split of data=, or video=<file>"),
        ([*TWO, "video=gone.mp4"], 'error: say question="..." about the video'),
        ([*TWO, "video=gone.mp4", "question=x"], "error: gone.mp4: there is no such file"),
        (["run=gone", "video=gone.mp4", "question=x"], "error: run=gone: there is no such run; train an agent"),
        (["sampler=agent", "shown_frames=2", "output=x"], "scores of an agent need agent=<run of policy=frame_agent"),
        (["sampler=uniform", "output=x.json"], "a sampler needs shown_frames=<K>"),
    ],
)
def test_what_is_missing_is_named(
    arguments: list[str], message: str, script: Script, capfd: pytest.CaptureFixture[str]
):
    assert script("pick_frames", *arguments) == 1
    assert message in capfd.readouterr().err


def test_a_run_that_is_no_agent_is_named(script: Script, video: str, capfd: pytest.CaptureFixture[str]):
    assert script("train", "policy=toy", "data=toy", "iterations=1", "prompts=2", "name=words") == 0
    assert script("pick_frames", "run=words", f"video={video}", "question=what?") == 1
    assert "agent=runs/words: the policy of this run chooses no frames" in capfd.readouterr().err


def test_features_that_nobody_makes_are_named(script: Script, video: str, capfd: pytest.CaptureFixture[str]):
    assert script("pick_frames", f"video={video}", "question=what?", "sampler=top_k", "shown_frames=2") == 1
    assert "add them with an option of enrich=" in capfd.readouterr().err
