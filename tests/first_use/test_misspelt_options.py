"""What a newcomer mistypes is answered with the word that was meant: a table, a line for each command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kairos.command_line import refuse_misspelt, with_quotes

# command: (what is typed, the word that was meant). The first three of each are its likeliest typos.
TYPOS = {
    "train": [
        ("iteration=3", "did you mean iterations?"),
        ("method=timezer", "did you mean timezero"),
        ("lr=1e-5", "did you mean optimizer.learning_rate?"),
        ("policy=qwen2_5_vl_3", "did you mean qwen2_5_vl_3b"),
        ("polcy=mini", "did you mean policy?"),
        ("policy.adaptor.r=4", "did you mean policy.adapter?"),
        ("data.framse=16", "did you mean frames?"),
        ("batch_size=4", "did you mean prompts?"),
        ("group_size=4", "did you mean sampling.group_size?"),
        ("+iteration=3", "did you mean iterations?"),
        ("experiment=mini/bse", "did you mean mini/base"),
        ("-m method=timezero,timezer", "method=timezer: method has no option timezer"),
        ("a text=1", "a text with spaces, commas or brackets needs quotes"),
    ],
    "evaluate": [("splt=val", "split"), ("template=[answer", "quotes"), ("cuont=3", "did you mean count?")],
    "rollouts": [("iterations=3", "did you mean iteration?"), ("sorted=reward", "did you mean sort?"),
                 ("max_txt=80", "did you mean max_text?")],
    "score": [("inputs=x.jsonl", "did you mean input?"), ("ouput=y.jsonl", "did you mean output?"),
              ("method=timezero_r1", "did you mean timezero or time_r1?")],
    "select_prompts": [("selector=varience", "did you mean variance"), ("repeat=4", "did you mean repeats?"),
                       ("selecter=variance", "did you mean selector")],
    "ground": [("querry=x", "did you mean query?"), ("vedio=x.mp4", "did you mean video?"),
               ("weights=runs/a", "did you mean policy.weights?")],
    "export": [("ouput=x", "did you mean output?"), ("as=hff", "did you mean hf"), ("runs=a", "did you mean run?")],
    "report": [("wacth=true", "did you mean watch?"), ("sweeps=runs/a", "did you mean sweep?"),
               ("base_line=a", "did you mean baseline?")],
    "pick_frames": [("vidoe=x.mp4", "did you mean video?"), ("questions=x", "did you mean question?"),
                    ("sampler=topk", "did you mean top_k")],
    "plan": [("experiment=timezero_charades", "did you mean timezero_charades_7b"),
             ("memory=80", "did you mean memory_gib"), ("trainer=gpus", "did you mean gpu?")],
    "convert": [("data=time_r", "did you mean time_r1"), ("ouput=x", "did you mean output?"),
                ("keep.durations=[5,60]", "did you mean keep.duration?")],
    "cache_videos": [("split=[train]", "did you mean splits?"), ("data=charade", "did you mean charades?"),
                     ("worker=4", "did you mean workers?")],
    "agent_curves": [("runs=a", "did you mean run?"), ("trsut=true", "did you mean trust?"),
                     ("rum=a", "did you mean run?")],
    "mini_clip": [("step=3", "did you mean steps?"), ("lr=1e-3", "did you mean learning_rate?"),
                  ("ouput=x", "did you mean output?")],
}  # fmt: skip


@pytest.mark.parametrize(
    ("command", "typed", "answer"), [(command, *row) for command, rows in TYPOS.items() for row in rows]
)
def test_a_misspelt_option_is_answered_with_the_right_word(command: str, typed: str, answer: str):
    arguments = typed.split(" ", 1) if typed.startswith("-m") else [typed]
    with pytest.raises(SystemExit) as ended:
        refuse_misspelt(command, with_quotes(arguments))
    message = str(ended.value)
    assert message.startswith("error: ") and "\n" not in message
    assert answer in message


@pytest.mark.parametrize(
    "arguments",
    [
        ["+shape.knee=0.5", "shape=log_exp"],
        ["+callbacks.mine={_target_: mine.Callback}", "callbacks.mine._target_=mine.Other"],
        ["data=mixture", "+data@data.parts.mine=jsonl", "+data.weights={mine: 2}"],
        ["-m", "seed=range(0,100)", "shape=glob(*)", "hydra/launcher=joblib", "++iterations=3"],
        ["--help", "iteration=3"],
    ],
)
def test_what_may_be_added_is_let_through(arguments: list[str]):
    refuse_misspelt("train", with_quotes(arguments))


def test_a_group_of_ones_own_may_be_added(tmp_path: Path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "loud.yaml").write_text("# @package _global_\nvolume: 3\n")
    refuse_misspelt("train", ["--config-dir", str(tmp_path), "+mine=loud", "volume=4"])
    with pytest.raises(SystemExit, match="did you mean loud"):
        refuse_misspelt("train", ["--config-dir", str(tmp_path), "+mine=loude"])


def test_the_script_ends_with_that_line(repository: Path, tmp_path: Path):
    done = subprocess.run(
        [sys.executable, str(repository / "scripts" / "train.py"), "iteration=3"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "error: iteration=3: there is no option iteration; did you mean iterations?\n"
    assert not list(tmp_path.iterdir()), "a run that never began leaves nothing"
