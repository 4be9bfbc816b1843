"""What other loggers get beside a run's own files, read back from what they wrote; and what their failure costs."""

from __future__ import annotations

import json
import socket
import struct
from pathlib import Path

import pytest
from helpers.running import TINY, fit
from PIL import Image
from wandb.proto.wandb_internal_pb2 import Record

from kairos.compose import train
from kairos.core.spans import Span
from kairos.core.types import VideoClip
from kairos.runs.group_picture import group_picture

MINI = [*TINY, "data=mini", "data.clips=2", "data.val_clips=1", "data.tasks=[grounding]", "sampling.max_actions=8"]
SOME = ["iterations=2", "prompts=2", "evaluate=after", "callbacks.validation=null", "callbacks.log_groups.every=2"]


def read_offline(folder: Path) -> list[Record]:
    """The records of an offline run: blocks of 32 KiB of pieces with a checksum, a length and a kind, as in LevelDB."""
    (file,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    data, at, found, whole = file.read_bytes(), 7, [], b""
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last piece
            found.append(Record.FromString(whole))
            whole = b""
    return found


def test_an_offline_run_of_wandb_holds_curves_tables_pictures_and_how_it_came_about(tmp_path: Path):
    folder = train([*MINI, *SOME, "logger=wandb"], tmp_path / "runs" / "a")
    records = read_offline(folder)
    rows = [
        {item.key or ".".join(item.nested_key): item.value_json for item in r.history.item}
        for r in records
        if r.history.item
    ]
    rewards = [json.loads(row["reward/total"]) for row in rows if "reward/total" in row]
    log = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert rewards == [row["reward/total"] for row in log if "reward/total" in row] and len(rewards) == 2
    assert all("time/roll_out" in row for row in rows if "reward/total" in row), "seconds of each phase"
    assert any(key.startswith("summary/miou_after") for row in rows for key in row)
    (table,) = [row for row in rows if "rollouts/groups" in row]
    assert json.loads(table["trainer/global_step"]) == 2 and "table-file" in table["rollouts/groups"]
    config = {update.key: update.value_json for r in records for update in r.config.update if update.key}
    assert json.loads(config["iterations"]) == 2 and "_target_" in config["reward"], "the resolved configuration"
    (files,) = folder.glob("wandb/offline-run-*/files")
    (written,) = files.glob("media/table/rollouts/groups_*.table.json")
    data = json.loads(written.read_text())
    assert len(data["data"]) == 2 and data["data"][0][0] == 2 and data["columns"][4] == "picture"
    assert all(Image.open(picture).width > 100 for picture in files.rglob("*.png")) and list(files.rglob("*.png"))
    assert {"config.yaml", "versions.txt"} <= {path.name for path in files.iterdir()}


def test_a_picture_of_a_group_has_a_line_for_the_truth_and_for_each_answer():
    clip = VideoClip("c", None, None, 10.0)  # type: ignore[arg-type]
    picture = group_picture(clip, [Span(0.0, 5.0)], [[Span(5.0, 10.0)], []], [True, False])
    assert picture.size == (640, 1 + 4 + 3 * 12)
    colors = [picture.getpixel((x, y)) for x, y in ((100, 8), (500, 8), (100, 20), (500, 20))]
    green, blue, white = (47, 125, 91), (31, 111, 178), (255, 255, 255)
    assert colors == [green, white, white, blue]


def test_a_server_that_cannot_be_reached_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    with socket.socket() as taken:  # a port at which nobody listens
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("WANDB_BASE_URL", address)
        monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
        monkeypatch.setenv("WANDB_INIT_TIMEOUT", "2")
        monkeypatch.setenv("WANDB_MODE", "online")
        run = fit("name=a", "iterations=2", "logger=wandb")
    assert run.module.iteration == 2
    assert "wandb cannot be reached, so its run is written offline" in capfd.readouterr().err
    assert list(run.folder.glob("wandb/offline-run-*/run-*.wandb"))


@pytest.mark.parametrize("name", ["tensorboard", "mlflow"])
def test_another_logger_gets_curves_and_pictures(name: str, tmp_path: Path):
    pytest.importorskip({"tensorboard": "tensorboardX"}.get(name, name), reason=f"needs the extra {name}")
    folder = train([*MINI, *SOME, f"logger={name}"], tmp_path / "runs" / "a")
    if name == "tensorboard":
        (events,) = (folder / "tensorboard").glob("events.out.tfevents.*")
        data = events.read_bytes()
        assert all(word in data for word in (b"reward/total", b"rollouts/groups/0", b"summary/iterations"))
        return
    found = {path.name for path in (folder / "mlruns").rglob("*")}
    assert {"total", "000002-0.png", "config.yaml"} <= found


@pytest.mark.parametrize("name", ["tensorboard", "mlflow"])
def test_a_missing_package_is_named_with_its_remedy(name: str, tmp_path: Path):
    module = {"tensorboard": "tensorboardX"}.get(name, name)
    try:
        __import__(module)
    except ImportError:
        with pytest.raises(Exception, match=f"logger={name} needs the package {name}.*install.*{name}"):
            train([*TINY, "iterations=1", f"logger={name}"], tmp_path / "runs" / "a")
    else:
        pytest.skip(f"{module} is installed")
