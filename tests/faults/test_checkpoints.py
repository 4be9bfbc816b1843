"""Damaged, missing and half-written checkpoints: each is named, and the one before is taken."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.damaging import cut, flipped
from helpers.running import TOY, assert_same_run, fit, fit_in
from transformers import Qwen3VLForConditionalGeneration

from kairos.compose import train
from kairos.core.seals import BrokenFile, replacing_state_folder, seal_path
from kairos.policy.memory.checkpoint_size import checkpoint_size
from kairos.policy.memory.sizes import of_parameters
from kairos.policy.memory.workload import Workload
from kairos.policy.models.checkpoints import newest_checkpoint, newest_intact, policy_state
from kairos.policy.models.pretrained import pretrained
from kairos.policy.models.weights import locate
from kairos.runs.folder import RunError, RunFolder
from kairos.train.callbacks.checkpoint import newest, restore
from kairos.train.devices.checkpoint_io import SealedCheckpoints

SETTINGS = ["callbacks.checkpoint.every=2", "callbacks.validation=null", "optimizer=adamw"]
PLACES = range(24)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with checkpoints after its iterations 2 and 4."""
    return train([*TOY, *SETTINGS, "iterations=4"], tmp_path_factory.mktemp("finished") / "a")


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of it, which a test may damage."""
    return shutil.copytree(finished, tmp_path / "a")


def last(run: Path, place: int = -1) -> Path:
    return sorted((run / "checkpoints").glob("iteration-*.ckpt"))[place]


def test_every_flipped_bit_is_found_and_the_checkpoint_before_is_named_instead(run: Path):
    for seed in PLACES:
        with flipped(last(run), seed) as place:
            found = newest_intact(run / "checkpoints")
        assert found.path == last(run, 0), f"byte {place} passed"
        assert "iteration-000004.ckpt is not what was written" in found.remarks[0]
        assert "iteration-000002.ckpt, the one before, is used instead" in found.remarks[1]
    assert newest(run / "checkpoints") == last(run)


def test_every_shortened_checkpoint_is_found(run: Path):
    for seed in PLACES:
        with cut(last(run), seed) as length:
            assert newest_intact(run / "checkpoints").path == last(run, 0), f"{length} bytes passed"


def test_a_damaged_seal_is_named_too(run: Path):
    for seed in PLACES:
        with flipped(seal_path(last(run)), seed):
            assert newest_intact(run / "checkpoints").path == last(run, 0)


def test_a_checkpoint_without_a_seal_is_used_with_a_remark_if_its_tensors_are_whole(run: Path):
    """As older versions wrote them. A bit that no tensor and no field depends on may differ."""
    for path in (last(run), last(run, 0)):
        seal_path(path).unlink()
    found = newest_intact(run / "checkpoints")
    assert found.path == last(run) and "has no seal" in found.remarks[0]
    whole = policy_state(last(run))
    for damage in (flipped, cut):
        for seed in PLACES:
            with damage(last(run), seed):
                if newest_intact(run / "checkpoints").path == last(run):
                    kept = policy_state(last(run))
                    assert all(torch.equal(kept[name], whole[name]) for name in whole)


def test_a_run_resumes_from_the_checkpoint_before_a_broken_one_and_ends_the_same(
    run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    whole = fit_in(tmp_path / "whole", *SETTINGS, "iterations=6")
    with flipped(last(run), 3):
        train([*TOY, *SETTINGS, "iterations=6"], run)
        said = capfd.readouterr()
    assert f"continuing {run} from iteration-000002.ckpt" in said.out
    assert "BROKEN CHECKPOINT: iteration-000002.ckpt" in said.err
    assert "the one before" in json.loads((run / "sessions.json").read_text())[-1]["remarks"][1]
    assert_same_run(whole, run)


def test_two_broken_checkpoints_are_an_error_that_names_both(run: Path):
    for place in (0, -1):
        last(run, place).write_bytes(b"")
    with pytest.raises(BrokenFile, match=r"(?s)iteration-000004.ckpt.*iteration-000002.ckpt.*overwrite=true"):
        train([*TOY, *SETTINGS, "iterations=6"], run)


def test_every_reader_of_a_run_passes_over_its_broken_checkpoint(run: Path, caplog: pytest.LogCaptureFixture):
    whole = policy_state(last(run, 0))
    shutil.rmtree(run / "model", ignore_errors=True)
    built = fit("name=other", "iterations=1")
    with cut(last(run), 1):
        assert newest_checkpoint(run) == last(run, 0)
        assert "iteration-000004.ckpt is not what was written" in caplog.text
        restore(built.module, run, "evaluate")
        assert all(torch.equal(value, whole[name]) for name, value in built.module.policy.state_dict().items())
        with pytest.raises(BrokenFile, match=r"iteration-000004.ckpt is not what was written"):
            policy_state(last(run))
        with pytest.raises(BrokenFile, match=r"iteration-000004.ckpt is not what was written"):
            locate(str(last(run)))


def test_a_file_that_is_no_checkpoint_is_named(tmp_path: Path):
    text, archive, code = (tmp_path / f"{name}.ckpt" for name in ("text", "archive", "code"))
    text.write_text("hello")
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a", "b")
    torch.save({"state_dict": {"policy.x": os.system}}, code)
    with pytest.raises(BrokenFile, match=r"text.ckpt is no intact checkpoint"):
        policy_state(text)
    with pytest.raises(ValueError, match=r"archive.ckpt"):
        policy_state(archive)
    with pytest.raises(ValueError, match=r"code.ckpt holds more than tensors"):
        policy_state(code)


def test_a_checkpoint_is_written_beside_its_place_and_nothing_passes_through_the_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))  # nothing can be created there
    folder = fit("name=here", "iterations=2", "callbacks.checkpoint.every=1").folder
    names = sorted(path.name for path in (folder / "checkpoints").iterdir())
    assert [name for name in names if not name.startswith(".")] == ["iteration-000001.ckpt", "iteration-000002.ckpt"]
    assert [name for name in names if name.startswith(".")] == [f".{name}.seal" for name in names[2:]]


def test_no_damage_of_an_exported_model_is_silent(run: Path):
    """Whatever file of the folder is damaged or missing, and before anything of it is read."""
    with replacing_state_folder(run / "model") as folder:
        for name in ("config.json", "model.safetensors", "tokenizer.json"):
            (folder / name).write_text(json.dumps({"a": name * 1000}))
    for path in (run / "model").glob("[!.]*"):
        for damage in (flipped, cut):
            for seed in PLACES:
                with damage(path, seed), pytest.raises(BrokenFile, match=rf"{path.name} is not what was written"):
                    pretrained(Qwen3VLForConditionalGeneration, str(run / "model"))
    assert locate(str(run)).base == str(run / "model")
    with flipped(run / "model" / "tokenizer.json", 0), pytest.raises(BrokenFile, match=r"tokenizer.json"):
        locate(str(run))
    (run / "model" / "model.safetensors").unlink()
    with pytest.raises(BrokenFile, match=r"model.safetensors is missing: restore it"):
        pretrained(Qwen3VLForConditionalGeneration, str(run / "model"))


def test_an_export_that_fails_leaves_the_model_of_before(run: Path):
    (run / "model").mkdir(exist_ok=True)
    (run / "model" / "old").touch()
    with pytest.raises(RuntimeError, match="half way"), replacing_state_folder(run / "model") as folder:
        (folder / "new").touch()
        raise RuntimeError("half way")
    assert (run / "model" / "old").exists() and not list(run.rglob("*.unfinished"))


def test_the_plan_knows_what_a_checkpoint_needs(tmp_path: Path):
    layer = torch.nn.Linear(1000, 1000)
    layer(torch.ones(1000)).sum().backward()
    optimizer = torch.optim.Adam(layer.parameters())
    optimizer.step()
    SealedCheckpoints().save_checkpoint(
        {"state_dict": layer.state_dict(), "optimizer_states": [optimizer.state_dict()]}, tmp_path / "a.ckpt"
    )
    load = Workload(text_tokens=1, vision_tokens=1, completion=1, group=1, at_once=1, prompts=1, rows=1, gpu=False)
    size = checkpoint_size(of_parameters(layer), load)
    assert (tmp_path / "a.ckpt").stat().st_size == pytest.approx(size.disk, rel=0.01) and size.host == 0
    sharded = checkpoint_size(of_parameters(layer), replace(load, gpu=True, shards=2))
    assert sharded.host == sharded.disk == size.disk


def test_a_full_disk_leaves_the_earlier_checkpoint_and_says_what_to_do(run: Path):
    before = last(run).read_bytes()
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, usual[1]))
    try:
        with pytest.raises(RunError, match=r"iteration-000006.ckpt: the checkpoint cannot be written, after \d+ bytes"):
            SealedCheckpoints().save_checkpoint(
                {"a": torch.zeros(10**6)}, run / "checkpoints" / "iteration-000006.ckpt"
            )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert newest(run / "checkpoints") == last(run) and last(run).read_bytes() == before
    assert not list(run.rglob("*.unfinished"))


def test_what_a_killed_writer_left_is_swept_when_the_run_goes_on(run: Path):
    """A writer that lives, such as a report's, keeps its file."""
    killing = (
        "import os, signal, sys; from pathlib import Path; from kairos.core.seals import replacing_state\n"
        "with replacing_state(Path(sys.argv[1])) as file:\n file.write(b'half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", killing, str(run / "checkpoints/iteration-000006.ckpt")], check=False
    )
    assert killed.returncode == -signal.SIGKILL and len(list(run.rglob("*.unfinished"))) == 1
    written = run / f".report.html.{os.getppid()}.unfinished"
    written.touch()
    assert len(RunFolder(run).sweep()) == 1
    assert list(run.rglob("*.unfinished")) == [written]


def test_a_writer_killed_between_the_seal_and_the_file_leaves_both_readable(run: Path):
    """The seal names the new content and the old; either may lie there."""
    path = run / "config.yaml"
    before = path.read_text()
    killing = (
        "import os, signal, sys; from pathlib import Path; from kairos.core import files, seals\n"
        "Path.replace = lambda one, other: os.rename(one, other) if str(other).endswith('.seal') "
        "else os.kill(os.getpid(), signal.SIGKILL)\n"
        "seals.write_state(Path(sys.argv[1]), 'new: 1\\n')"
    )
    subprocess.run([sys.executable, "-c", killing, str(path)], check=False)
    assert len(json.loads(seal_path(path).read_text())) == 2
    assert path.read_text() == before and RunFolder(run).config()
    RunFolder(run).sweep()
