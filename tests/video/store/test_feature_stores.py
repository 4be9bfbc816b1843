"""Feature stores: what is kept comes back bit for bit, what is damaged is a miss, and nothing grows forever."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from kairos.video.errors import StoreError
from kairos.video.store import feature_stores
from kairos.video.store.feature_stores import FeatureFiles, MemoryAndFiles, MemoryFeatures

KEY = "tower/0123abcd-77"


def values(seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(seed)).to(dtype)


def test_memory_forgets_what_was_used_longest_ago() -> None:
    store = MemoryFeatures(gigabytes=3 * 320e-9)
    for number in range(3):
        store.put(str(number), values(number))
    assert torch.equal(store.get("0"), values(0))
    store.put("3", values(3))
    assert store.get("1") is None
    assert [len(store), store.used] == [3, 960]
    assert all(torch.equal(store.get(str(number)), values(number)) for number in (0, 2, 3))
    store.put("3", values(4))
    assert torch.equal(store.get("3"), values(4)) and store.used == 960


def test_memory_keeps_a_copy_and_nothing_too_large() -> None:
    store = MemoryFeatures(gigabytes=400e-9)
    tensor = values().requires_grad_()
    store.put("a", tensor)
    store.put("large", torch.zeros(101))
    with torch.no_grad():
        tensor.zero_()
    assert torch.equal(store.get("a"), values()) and not store.get("a").requires_grad
    assert store.get("large") is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_files_give_back_what_another_process_would_have_written(tmp_path: Path, dtype: torch.dtype) -> None:
    FeatureFiles(tmp_path).put(KEY, values(dtype=dtype))
    found = FeatureFiles(tmp_path).get(KEY)
    assert found.dtype == dtype and torch.equal(found, values(dtype=dtype))
    assert FeatureFiles(tmp_path).path(KEY) == tmp_path / "tower" / "01" / "0123abcd-77.safetensors"
    assert "0123abcd-77" in Path("/proc/self/maps").read_text(), "mapped, not read"
    assert FeatureFiles(tmp_path).get(KEY + "8") is None


@pytest.mark.parametrize("harm", ["short", "bit", "empty", "header", "foreign", "moved"])
def test_a_harmed_or_foreign_file_is_a_miss_with_a_reason_and_written_anew(tmp_path: Path, harm: str) -> None:
    store = FeatureFiles(tmp_path)
    store.put(KEY, values())
    path = store.path(KEY)
    data = path.read_bytes()
    if harm == "moved":
        store.put("tower/0199", values(1))
        store.path("tower/0199").replace(path)
    elif harm == "foreign":
        save_file({"features": values()}, path)
    else:
        path.write_bytes({"short": data[:-7], "bit": data[:-1] + b"\1", "empty": b"", "header": data[:20]}[harm])
    assert store.get(KEY) is None
    reasons = {"bit": "checksum", "foreign": "is no 'kairos features 1' file", "moved": "the features of tower/0199"}
    assert reasons.get(harm, "") in store.broken[str(path)]
    store.put(KEY, values())
    assert torch.equal(store.get(KEY), values()) and not store.broken


def test_a_folder_that_cannot_be_written_is_said_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "tower").write_text("a file where a folder should be")
    store = FeatureFiles(tmp_path)
    assert store.get(KEY) is None
    with pytest.raises(StoreError, match=r"features\.files\.folder=<folder>"):
        store.put(KEY, values())


def test_files_stop_growing_at_their_bound_and_say_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    FeatureFiles(tmp_path).put("tower/00", values())
    store = FeatureFiles(tmp_path, gigabytes=1e-6)
    for number in range(3):
        store.put(f"tower/1{number}", values(number))
    assert len(list(tmp_path.rglob("*.safetensors"))) == 2
    assert sum("no more features are written" in record.message for record in caplog.records) == 1
    assert torch.equal(store.get("tower/00"), values())


def test_memory_is_asked_before_files_and_learns_from_them(tmp_path: Path) -> None:
    first = MemoryAndFiles(MemoryFeatures(), FeatureFiles(tmp_path))
    first.put(KEY, values())
    second = MemoryAndFiles(MemoryFeatures(), FeatureFiles(tmp_path))
    assert torch.equal(second.get(KEY), values())
    FeatureFiles(tmp_path).path(KEY).unlink()
    assert torch.equal(second.get(KEY), values())
    assert MemoryAndFiles(MemoryFeatures(), FeatureFiles(tmp_path)).get(KEY) is None


def test_two_processes_may_write_one_entry(tmp_path: Path) -> None:
    code = (
        "import sys, torch; from kairos.video.store.feature_stores import FeatureFiles\n"
        "store = FeatureFiles(sys.argv[1])\n"
        f"for _ in range(20): store.put({KEY!r}, torch.full((2, 5, 8), 3.0))"
    )
    source = str(Path(feature_stores.__file__).parents[3])
    writers = [
        subprocess.Popen([sys.executable, "-c", f"import sys; sys.path.insert(0, {source!r})\n{code}", str(tmp_path)])
        for _ in range(2)
    ]
    reader, read = FeatureFiles(tmp_path), 0
    while any(writer.poll() is None for writer in writers):
        found = reader.get(KEY)
        read += found is not None
        assert found is None or bool((found == 3).all())
    assert [writer.returncode for writer in writers] == [0, 0]
    assert read and not reader.broken
    assert len(list(tmp_path.rglob("*.*"))) == 1, "nothing half-written is left"


@pytest.mark.parametrize("make", [lambda: MemoryFeatures(0), lambda: MemoryFeatures(device="disk")])
def test_stores_check_themselves(make: type[MemoryFeatures]) -> None:
    with pytest.raises((ValueError, RuntimeError)):
        make()
    with pytest.raises(ValueError, match="gigabytes must be positive"):
        FeatureFiles("nowhere", gigabytes=-1)
