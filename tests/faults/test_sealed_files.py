"""Damaged clips and features are found, also where a copy has kept the file's time."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers.damaging import cut, flipped
from torch import Tensor

from kairos.core.types import VideoClip, VideoSource
from kairos.video.budget import PixelBudget
from kairos.video.store import sealed
from kairos.video.store.clips import ClipStore
from kairos.video.store.feature_stores import FeatureFiles

BUDGET = PixelBudget(factor=32, min_pixels=32**2)
KEY = "tower/0123456789"
PLACES = range(40)


@pytest.fixture
def clip(tmp_path: Path) -> tuple[ClipStore, VideoSource]:
    """A store that holds one clip, of a source that is never decoded."""
    source = VideoSource(str(tmp_path / "source.mp4"))
    Path(source.path).write_bytes(b"never decoded")
    os.utime(source.path, (1, 1))
    store = ClipStore(tmp_path / "store")
    frames = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    store.put(source, BUDGET, VideoClip("a", frames, torch.arange(4).double(), 4.0))
    return store, source


@pytest.fixture
def features(tmp_path: Path) -> FeatureFiles:
    files = FeatureFiles(tmp_path / "features")
    files.put(KEY, torch.randn(8, 16).bfloat16())
    return files


def keeping_its_time(path: Path) -> None:
    """As `rsync -t`, `tar` and `cp -p` leave a damaged copy: with the modification time of the intact file."""
    os.utime(path, ns=(path.stat().st_atime_ns, int(path.with_suffix(".time").read_text())))


def silent(path: Path, read: Callable[[], Tensor | None], damage: Callable) -> list[int]:
    """The damaged places that were read as if nothing had happened."""
    path.with_suffix(".time").write_text(str(path.stat().st_mtime_ns))
    whole, passed = read(), []
    assert whole is not None
    whole = whole.clone()
    for seed in PLACES:
        with damage(path, seed) as place:
            keeping_its_time(path)
            found = read()
            if found is not None and not torch.equal(found, whole):
                passed.append(place)
        keeping_its_time(path)
        found = read()
        assert found is not None and torch.equal(found, whole), "the restored file is read again"
        time.sleep(0.015)  # a tick of the file system's clock
    return passed


@pytest.mark.parametrize("damage", [flipped, cut])
def test_no_damage_of_a_clip_is_silent_although_its_time_is_the_writers(
    clip: tuple[ClipStore, VideoSource], damage: Callable
):
    store, source = clip
    (path,) = store.folder.glob("*/*.safetensors")

    def frames() -> Tensor | None:
        found = store.get(source, BUDGET)
        return None if found is None or found.frames_TCHW is None else found.frames_TCHW

    assert silent(path, frames, damage) == []


@pytest.mark.parametrize("damage", [flipped, cut])
def test_no_damage_of_features_is_silent_although_its_time_is_the_writers(features: FeatureFiles, damage: Callable):
    assert silent(features.path(KEY), lambda: features.get(KEY), damage) == []


def test_a_damaged_clip_is_named_with_the_reason_and_stored_again(clip: tuple[ClipStore, VideoSource]):
    store, source = clip
    (path,) = store.folder.glob("*/*.safetensors")
    with flipped(path, 1):
        assert store.get(source, BUDGET) is None
        assert store.explain(source, BUDGET).startswith(f"the stored file {path.name} is broken: its checksum is wrong")


def test_a_copy_of_the_whole_store_is_checked_anew(clip: tuple[ClipStore, VideoSource], tmp_path: Path):
    store, source = clip
    assert store.get(source, BUDGET) is not None
    subprocess.run(["cp", "-rp", str(store.folder), str(tmp_path / "copy")], check=True)
    (path,) = (tmp_path / "copy").glob("*/*.safetensors")
    stat = path.stat()
    with flipped(path, 2):
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        assert ClipStore(tmp_path / "copy").get(source, BUDGET) is None


def test_a_process_checks_a_file_once(clip: tuple[ClipStore, VideoSource], monkeypatch: pytest.MonkeyPatch):
    from kairos.video.store import mapped

    store, source = clip
    sums: list[int] = []
    computed = sealed.checksum
    monkeypatch.setattr(sealed, "checksum", lambda *given: sums.append(1) or computed(*given))
    for _ in range(3):
        mapped.release()
        assert store.get(source, BUDGET) is not None
    assert len(sums) == 1


def test_another_process_checks_for_itself(clip: tuple[ClipStore, VideoSource]):
    store, source = clip
    assert store.get(source, BUDGET) is not None
    reading = (
        "import sys; from kairos.core.types import VideoSource; from kairos.video.budget import PixelBudget\n"
        "from kairos.video.store.clips import ClipStore\n"
        "store, source = ClipStore(sys.argv[1]), VideoSource(sys.argv[2])\n"
        "print(store.get(source, PixelBudget(factor=32, min_pixels=32**2)) is None)"
    )
    (path,) = store.folder.glob("*/*.safetensors")
    stat = path.stat()
    with flipped(path, 3):
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        done = subprocess.run(
            [sys.executable, "-c", reading, str(store.folder), source.path], capture_output=True, text=True, check=True
        )
    assert done.stdout == "True\n"
