"""Sweeps over processes: one torchrun a job, joblib, what is skipped, resumed, refused, and what a failure leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
import yaml
from helpers.running import rows
from helpers.scripting import Script
from hydra import compose, initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.types import HydraContext

from hydra_plugins.kairos_torchrun._places import Place, shared, visible
from hydra_plugins.kairos_torchrun.launcher import TorchrunLauncher
from kairos.compose import CONF
from kairos.runs.names import folder_name

TOY = [
    "policy=toy", "data=toy", "template=answer", "trainer=cpu", "callbacks.progress=null", "callbacks.validation=null",
    "callbacks.export=null", "callbacks.checkpoint.every=1",
]  # fmt: skip
TWO = ["hydra/launcher=torchrun", "hydra.launcher.devices_per_job=2", "strategy=ddp"]


@pytest.fixture(autouse=True)
def sources(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the processes of a sweep inherit."""
    monkeypatch.setenv("PYTHONPATH", str(repository / "src"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def test_a_sweep_of_torchruns_is_interrupted_and_repeated(
    script: Script, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    """Two jobs of two processes: ctrl-C leaves no process, repeating does what is left, and then there is nothing."""
    sweep = ["-m", *TWO, *TOY, "prompts=2", "name=s", "+note=1", "seed=0,1"]
    folder, children, before = tmp_path / "runs" / "s", [], set(psutil.Process().children(recursive=True))

    def interrupt() -> None:
        deadline = time.monotonic() + 120
        while not list(folder.glob("*/checkpoints/iteration-*.ckpt")) and time.monotonic() < deadline:
            time.sleep(0.05)
        children.extend(child for child in psutil.Process().children(recursive=True) if child not in before)
        os.kill(os.getpid(), signal.SIGINT)

    watch = threading.Thread(target=interrupt)
    watch.start()
    assert script("train", *sweep, "hydra.launcher.jobs=1", "iterations=2000") == 130
    watch.join()
    said = capfd.readouterr().err
    assert "#0 is stopped; repeat the command to go on with it" in said
    assert "stopped: 2 of 2 jobs are left: repeat the command" in said
    assert len(children) >= 3 and not any(child.is_running() for child in children), "an agent and two workers"
    (begun,) = folder.glob("*/config.yaml")
    assert not list(folder.glob("*/summary.json"))
    done = len(rows(begun.parent / "metrics.jsonl"))
    sweep = [*sweep, f"iterations={done + 2}"]
    asked = yaml.safe_load((begun.parent / "overrides.yaml").read_text())
    asked = [sweep[-1] if override == "iterations=2000" else override for override in asked]
    begun.parent.rename(folder / folder_name(asked))  # as if it had been asked for that few
    assert script("train", *sweep, "hydra.launcher.jobs=2") == 0, capfd.readouterr().err
    said = capfd.readouterr().out
    assert "#0 continues on CPU" in said and "#1 begins on CPU" in said and "2 at once" in said
    jobs = [path for path in folder.iterdir() if path.is_dir()]
    assert len(jobs) == 2 == len(list(folder.glob("*/summary.json")))
    starts = []
    for job in jobs:
        assert [row["iteration"] for row in rows(job / "metrics.jsonl")] == list(range(1, done + 3))
        log = (job / "log.txt").read_text()
        assert "distributed_backend=gloo" in log and "2 processes" in log and "Launching" not in log
        starts.append(log.count("kairos_torchrun.agent"))
    assert sorted(starts) == [1, 2], "one job was resumed, none was done twice"
    assert script("train", *sweep) == 0
    assert capfd.readouterr().out.count("is finished: skipped") == 2
    assert "2 of 2 runs finished" in (folder / "report.html").read_text()


def test_a_failing_job_ends_neither_the_sweep_nor_its_report(
    script: Script, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    """Of 16 prompts no iteration can draw 99."""
    sweep = ["-m", "hydra/launcher=torchrun", "hydra.launcher.jobs=2", *TOY, "iterations=1", "prompts=99,2"]
    assert script("train", *sweep) == 1
    said = capfd.readouterr().err
    assert "1 of 2 jobs failed; what they said is in" in said and "Traceback" not in said
    assert "16 prompts are fewer than one step of 99" in said, "the end of the job's log"
    (folder,) = (tmp_path / "runs").iterdir()
    assert "1 of 2 runs finished" in (folder / "report.html").read_text()


def test_what_cannot_be_told_apart_by_its_name_is_not_swept(script: Script, tmp_path: Path):
    assert script("train", "-m", *TOY, "trainer.precision=32,16", "seed=0,1") == 1
    assert not (tmp_path / "runs").exists()


def test_joblib_runs_jobs_side_by_side(repository: Path, tmp_path: Path):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    sweep = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", *TOY, "prompts=2", "iterations=1", "seed=0,1"]
    command = [sys.executable, str(repository / "scripts" / "train.py"), "-m", *sweep, "name=s"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(list((tmp_path / "runs" / "s").glob("*/summary.json"))) == 2
    assert "2 of 2 runs finished" in (tmp_path / "runs" / "s" / "report.html").read_text()


def test_submitit_runs_jobs_as_it_would_on_slurm(repository: Path, tmp_path: Path):
    """Its local executor pickles a job and starts it in a process of its own, as on a node of a cluster."""
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    sweep = ["hydra/launcher=submitit_local", *TOY, "prompts=2", "iterations=1", "seed=0,1"]
    command = [sys.executable, str(repository / "scripts" / "train.py"), "-m", *sweep, "name=s"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(list((tmp_path / "runs" / "s").glob("*/summary.json"))) == 2


def test_our_launcher_is_found_and_checks_its_options():
    assert TorchrunLauncher.__name__ in {found.__name__ for found in Plugins.instance().discover()}
    with pytest.raises(ValueError, match=r"hydra.launcher.devices_per_job must be >= 1, got 0"):
        TorchrunLauncher(devices_per_job=0)


def test_jobs_share_the_gpus_and_each_sees_its_own():
    found = shared(["0", "1", "2", "3", "4"], 2, 1, None, 16)
    assert [place.devices for place in found] == [("0", "1"), ("2", "3")]
    assert len(shared(["0"], 1, 6, None, 16)) == 6 and len(shared(["0"], 1, 6, 4, 16)) == 4
    inherited = {"CUDA_VISIBLE_DEVICES": "0,1,2,3,4", "RANK": "1", "HOME": "/"}
    assert found[1].environment(inherited) == {"CUDA_VISIBLE_DEVICES": "2,3", "HOME": "/"}
    assert visible("GPU-a,GPU-b", 2) == ["GPU-a", "GPU-b"] and visible(None, 2) == ["0", "1"]
    with pytest.raises(ValueError, match=r"hydra.launcher.devices_per_job=4, but there are 2 GPUs"):
        shared(["0", "1"], 4, 1, None, 16)


@pytest.mark.parametrize(("trainer", "gpus"), [((), ["0", "1"]), (("trainer=cpu",), [""])])
def test_what_a_job_computes_on_decides_where_it_runs(
    trainer: tuple[str, ...], gpus: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    seen: list[str] = []

    def note(jobs: object, room: list[Place], *_: object) -> tuple[list[object], list[object]]:
        seen.extend(sorted({",".join(place.devices) for place in room}))
        return [], []

    monkeypatch.setattr("hydra_plugins.kairos_torchrun._pool.run_all", note)
    monkeypatch.setattr("hydra_plugins.kairos_torchrun._places._count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    hydra_config = ["hydra/launcher=torchrun", "hydra.mode=MULTIRUN", f"hydra.sweep.dir={tmp_path}"]
    with initialize_config_dir(CONF, version_base="1.3"):
        config = compose("train", [*hydra_config, *trainer], return_hydra_config=True)
        launcher = TorchrunLauncher()
        loader = GlobalHydra.instance().config_loader()
        launcher.setup(hydra_context=HydraContext(loader, Callbacks()), task_function=note, config=config)
        launcher.launch([["experiment=mini/grpo", *trainer]], 0)
    assert seen == gpus, "an experiment's own trainer counts, and the command line's before it"


def test_processes_on_a_cpu_share_its_cores():
    (place,) = {*shared([], 2, 1, None, 8)}
    assert len(shared([], 2, 1, None, 8)) == 4 and place.environment({}) == {"OMP_NUM_THREADS": "1"}
    assert shared([], 1, 1, 2, 8)[0].environment({"OMP_NUM_THREADS": "3"}) == {"OMP_NUM_THREADS": "3"}
    assert shared([], 4, 1, None, 2) == [Place(threads=1)], "one job at least"
