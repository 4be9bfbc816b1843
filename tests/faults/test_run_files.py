"""Damaged, shortened and missing files of a run: each names itself, the line where there is one, and what to do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.damaging import cut, flipped
from helpers.running import TOY, assert_same_run, fit_in

from kairos.compose import train
from kairos.core.seals import BrokenFile, Seal, seal_path
from kairos.curriculum.selections import Selection, read_selection, write_selection
from kairos.evaluation.predictions import read_file
from kairos.policy.models.checkpoints import load, newest_intact
from kairos.runs.displays import read_displays
from kairos.runs.folder import RunFolder, reworded
from kairos.runs.read import read_run
from kairos.runs.row_files import RowFile
from kairos.runs.sessions import begin_session
from kairos.train.callbacks.checkpoint import newest
from kairos.video.samplers.listed import Listed

SETTINGS = ["callbacks.validation=null", "callbacks.checkpoint.every=2", "evaluate=after"]
ROWS = ("metrics.jsonl", "rollouts.jsonl")
PLACES = range(24)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train([*TOY, *SETTINGS, "iterations=4"], tmp_path_factory.mktemp("finished") / "a")


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return shutil.copytree(finished, tmp_path / "a")


def resumed(run: Path, *more: str) -> Path:
    """Trains the run up to iteration 5, without its page."""
    return fit_in(run, *SETTINGS, "iterations=5", *more)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unbroken run of 5 iterations."""
    return resumed(tmp_path_factory.mktemp("whole") / "a")


def unsealed(run: Path) -> None:
    """As a run of an older version, whose checkpoints seal nothing."""
    for seal in run.rglob(".*.seal"):
        seal.unlink()


def files_of_rows(run: Path) -> Callable[[str], None]:
    """Resumes the log of a run alone, as `RunLog` does: quick enough to try many damages."""
    checkpoint = newest(run / "checkpoints")
    assert checkpoint is not None
    sealed = load(checkpoint)["callbacks"]["RunLog"]  # type: ignore[index]

    def resume(name: str) -> None:
        RowFile(run / name).cut_back(4, Seal(**sealed[name]))

    return resume


@pytest.mark.parametrize("name", ROWS)
def test_no_damage_of_the_rows_before_a_checkpoint_is_silent(run: Path, name: str):
    resume = files_of_rows(run)
    for damage in (flipped, cut):
        for seed in PLACES:
            with damage(run / name, seed), pytest.raises(BrokenFile, match=rf"{name} is not what it was when") as error:
                resume(name)
            assert "callbacks.log.check=false" in str(error.value)
    resume(name)


@pytest.mark.parametrize("name", ROWS)
def test_a_deleted_file_of_rows_is_named_at_resume(run: Path, name: str):
    (run / name).unlink()
    with pytest.raises(BrokenFile, match=rf"{name} is not what it was .* it is missing or empty"):
        resumed(run)


def test_odd_lines_are_named_with_their_number(run: Path):
    lines = (run / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    odd = {b"\xff\xfe\n": "not JSON in UTF-8", b"[1]\n": "is no row", b'{"iteration": "two"}\n': "is no row",
           b"[" * 100_000 + b"\n": "not JSON in UTF-8", b"1" * 5000 + b"\n": "line 2"}  # fmt: skip
    for line, message in odd.items():
        (run / "metrics.jsonl").write_bytes(b"".join([lines[0], line, *lines[2:], b" " * len(lines[1])]))
        with pytest.raises(BrokenFile, match=rf"metrics.jsonl, line 2 .*{message}|{message}"):
            files_of_rows(run)("metrics.jsonl")


@pytest.mark.parametrize("name", ROWS)
def test_every_iteration_must_have_rows_also_where_the_checkpoint_seals_nothing(run: Path, name: str):
    kept = [line for line in (run / name).read_text().splitlines(keepends=True) if json.loads(line)["iteration"] != 3]
    (run / name).write_text("".join(kept))
    with pytest.raises(BrokenFile, match=rf"{name} lacks rows of 1 iterations, first 3"):
        RowFile(run / name).cut_back(4, None, wanted=range(1, 5))
    assert (run / name).read_text() == "".join(kept)


def test_a_damaged_log_is_resumed_all_the_same_where_asked_to(run: Path):
    (run / "rollouts.jsonl").unlink()
    resumed(run, "callbacks.log.check=false")
    assert {json.loads(line)["iteration"] for line in (run / "rollouts.jsonl").open()} == {5}


def test_what_a_killed_run_wrote_after_its_checkpoint_is_cut_off(run: Path, whole: Path):
    for name in ROWS:
        with (run / name).open("ab") as file:
            file.write(b'{"iteration": 5, "a": 1}\n{"iteration": 6, "hal')
    assert_same_run(whole, resumed(run))


def readers(run: Path) -> dict[str, Callable[[], object]]:
    return {
        "config.yaml": RunFolder(run).config,
        "overrides.yaml": RunFolder(run).overrides,
        "sessions.json": lambda: begin_session(run, 1.0),
        "template.yaml": lambda: reworded(str(run), {"question": "?"}),
        "displays.json": lambda: read_displays(run),
        "summary.json": lambda: read_run(run),
        "predictions/after.jsonl": lambda: read_file(run / "predictions" / "after.jsonl"),
    }


@pytest.mark.parametrize(
    "name",
    [
        "config.yaml", "overrides.yaml", "sessions.json", "template.yaml", "displays.json", "summary.json",
        "predictions/after.jsonl",
    ],
)  # fmt: skip
def test_no_damage_of_a_file_of_state_is_silent(run: Path, name: str):
    read = readers(run)[name]
    for damage in (flipped, cut):
        for seed in PLACES:
            with damage(run / name, seed), pytest.raises(ValueError, match=name.rpartition("/")[2]) as error:
                read()
            assert "Restore it from a copy" in str(error.value) or "emove" in str(error.value)
    read()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.yaml", b"a: [1,\nb: {", r"(?s)config.yaml cannot be read: .*line 2"),
        ("config.yaml", b"- 1\n", "config.yaml holds no configuration"),
        ("config.yaml", b"a: 1\nb: \xff\n", "config.yaml, line 2: not UTF-8"),
        ("overrides.yaml", b"a: 1\n", "overrides.yaml must be a list of overrides"),
        ("overrides.yaml", b"- 1\n", "overrides.yaml must be a list of overrides"),
        ("sessions.json", b'[{"started": "x", "seconds": 1}]', "sessions.json is no list of sessions"),
        ("sessions.json", b"{}]", "sessions.json is no list of sessions"),
        ("sessions.json", b"[1]", "sessions.json is no list of sessions"),
        ("template.yaml", b"[", "template.yaml"),
        ("summary.json", b"[1]", "summary.json is not a JSON object"),
        ("predictions/after.jsonl", b"\xff\n", "after.jsonl:1 is not JSON in UTF-8"),
    ],
)
def test_an_odd_file_of_an_older_run_is_named(run: Path, name: str, content: bytes, message: str):
    unsealed(run)
    (run / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        readers(run)[name]()


def test_a_missing_configuration_is_named(run: Path):
    (run / "overrides.yaml").unlink()
    with pytest.raises(BrokenFile, match=r"overrides.yaml is missing. Restore"):
        RunFolder(run).overrides()


def test_a_run_of_an_older_version_resumes_without_any_seal(run: Path, whole: Path):
    unsealed(run)
    assert "has no seal" in newest_intact(run / "checkpoints").remarks[0]
    assert RunFolder(run).config() and RunFolder(run).overrides()
    assert_same_run(whole, resumed(run))


def test_a_file_that_was_changed_on_purpose_is_used_without_its_seal(run: Path):
    path = run / "overrides.yaml"
    path.write_text(path.read_text() + "- seed=7\n")
    with pytest.raises(BrokenFile, match=r"remove .*\.overrides\.yaml\.seal to use it as it is"):
        RunFolder(run).overrides()
    seal_path(path).unlink()
    assert "seed=7" in RunFolder(run).overrides()


def test_no_damage_of_a_selection_is_silent(tmp_path: Path):
    path, selection = tmp_path / "1.json", Selection(("a", "b", "ünï", "d" * 50))
    write_selection(path, selection)
    for damage in (flipped, cut):
        for seed in PLACES:
            with damage(path, seed):
                try:
                    assert read_selection(path) == selection, "only white space differs"
                except ValueError as error:
                    assert "1.json" in str(error) and "Restore it from a copy" in str(error)


def test_a_file_of_picks_that_is_no_json_is_named(tmp_path: Path):
    for content in (b"\xff", b"[" * 100_000, b"{", b"[1]"):
        (tmp_path / "picks.json").write_bytes(content)
        with pytest.raises(ValueError, match=r"picks.json"):
            Listed(str(tmp_path / "picks.json"), None).rows  # type: ignore[arg-type] # noqa: B018
