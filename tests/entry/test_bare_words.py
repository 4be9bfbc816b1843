"""A run's folder may be given bare; a word that is none says what was expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from kairos.entry.bare import with_names


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("mine", "other", "data=toy,seed=1", "it's"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    (tmp_path / "rows.jsonl").touch()


@pytest.mark.parametrize(
    ("command", "typed", "meant"),
    [
        ("rollouts", ["runs/mine", "iteration=last"], ["iteration=last", "run=runs/mine"]),
        ("rollouts", ["mine"], ["run=runs/mine"]),
        ("train", ["runs/mine/", "iterations=40"], ["iterations=40", "run=runs/mine"]),
        ("evaluate", ["--config-dir", "runs/other", "runs/mine"], ["--config-dir", "runs/other", "run=runs/mine"]),
        ("export", ["runs/data=toy,seed=1"], ["run='runs/data=toy,seed=1'"]),
        ("plan", ["runs/it's"], ["run='runs/it\\'s'"]),
        ("report", ["runs/mine", "runs/other"], ["runs=[runs/mine,runs/other]"]),
        ("report", ["runs/mine", "runs/data=toy,seed=1"], ["runs=[runs/mine,'runs/data=toy,seed=1']"]),
        ("train", ["-m", "seed=0,1", "+a/b=c", "~logger"], ["-m", "seed=0,1", "+a/b=c", "~logger"]),
    ],
)
def test_a_bare_folder_is_the_run(command: str, typed: list[str], meant: list[str]):
    assert with_names(command, typed) == meant


@pytest.mark.parametrize(
    ("command", "typed", "said"),
    [
        ("rollouts", ["runs/mien"], "no run folder runs/mien; did you mean runs/mine?"),
        ("rollouts", ["mien"], "no run folder mien; did you mean mine?"),
        ("report", ["runs/mine", "runs/oter"], "no run folder runs/oter; did you mean runs/other?"),
        ("train", ["quickstart"], "no run folder quickstart; name one as runs/<name>, and options as <option>=<value>"),
        ("train", ["iterations", "3"], "iterations is an option: say iterations=<value>"),
        ("evaluate", ["runs/mine", "runs/other"], "one run at a time, got runs/mine and runs/other"),
        ("evaluate", ["runs/mine", "run=runs/other"], "'runs/mine' beside run=: name the runs once"),
        ("ground", ["rows.jsonl"], "rows.jsonl is no folder of a run; a file is named by its option, such as input="),
        ("convert", ["charades"], "'charades' is no option: say <option>=<value>; --help lists the options"),
    ],
)
def test_another_bare_word_says_what_was_expected(command: str, typed: list[str], said: str):
    with pytest.raises(ValueError) as error:
        with_names(command, typed)
    assert str(error.value) == said
