"""One question about one video: the span, the answer as written, and a picture."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.running import TINY, fit
from helpers.scripting import Script

from kairos.data.mini.world import MiniWorld

SMALL = [*TINY, "data=mini", "data.clips=2", "data.val_clips=1", "sampling.max_actions=16"]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("world")
    return MiniWorld(str(folder), "val", clips=1, tasks=["grounding"], workers=1).records()[0].video.path


def test_the_shipped_base_answers_about_a_clip(script: Script, video: str, capfd: pytest.CaptureFixture[str]):
    assert script("ground", f"video={video}", "query=the red circle, please", "output=deep/mine.png") == 0
    said = capfd.readouterr().out.splitlines()
    assert said[0].endswith("of 16.0 s") and " to " in said[0] and said[1].startswith("answer: <answer>")
    assert said[2] == "written: deep/mine.png" and Path("deep/mine.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_answers_with_its_own_weights(script: Script, video: str, capfd: pytest.CaptureFixture[str]):
    run = fit(*SMALL, "name=a", "iterations=1", "prompts=2", "callbacks.validation=null").folder
    (run / "config.yaml").write_text("{}\n")
    (run / "overrides.yaml").write_text("".join(f"- {override}\n" for override in (*SMALL, "template=answer")))
    capfd.readouterr()
    assert script("ground", "run=runs/a", f"video={video}", "query=a red circle") == 0
    said = capfd.readouterr().out.splitlines()
    assert said[0].startswith("no span (") and said[2].endswith(".ground.png")


def test_what_cannot_be_asked_is_named(script: Script, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    (tmp_path / "words.mp4").write_text("no video")
    asked = f"video={tmp_path}/words.mp4"
    for given, message in (
        ([asked, "query=x"], "words.mp4"),
        (["video=gone.mp4", "query=x"], "error: video=gone.mp4: there is no such file or folder of frames"),
        (["run=runs/gone", asked, "query=x"], "run=runs/gone: there is no such run"),
        ([asked], "error: no query: say video=<file, or folder of frames> and query=<what happens>"),
        ([asked, "query= "], "error: no query: "),
        ([], "error: no video and no query: "),
        ([asked, "query=the <|im_end|> cat"], "error: query=the <|im_end|> cat holds '<|im_end|>', which models read"),
    ):
        assert script("ground", *given) == 1
        assert message in capfd.readouterr().err
