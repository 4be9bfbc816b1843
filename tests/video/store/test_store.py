"""The clip store: never a wrong clip, never a half one, and no copy of a frame on the way to the trainer."""

from __future__ import annotations

import json
import logging
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch.utils.data import DataLoader, Dataset

from kairos.core.types import VideoClip, VideoSource
from kairos.video.budget import PixelBudget
from kairos.video.decoding.decoders import Decord
from kairos.video.errors import StoreError, VideoError
from kairos.video.loader import ClipLoader, filled
from kairos.video.store import mapped
from kairos.video.store.clips import ClipStore
from kairos.video.store.mapped import StoredClip


@pytest.fixture
def source(clips: Path) -> VideoSource:
    return VideoSource(str(clips / "clip.mp4"))


def files(store: ClipStore) -> list[Path]:
    return sorted(store.folder.rglob("*.safetensors"))


def test_a_clip_is_decoded_once(loader: ClipLoader, source: VideoSource) -> None:
    first, again = loader.load(source), loader.load(source)
    assert loader.misses == 1
    assert filled(first) and not filled(again)
    assert first.frames_TCHW is not None and again.frames_TCHW is not None
    assert torch.equal(first.frames_TCHW, again.frames_TCHW)
    assert first.uid == again.uid
    assert torch.equal(first.seconds_T, again.seconds_T) and first.duration == again.duration == 16.0


def test_the_store_changes_no_pixel_and_off_leaves_it_alone(loader: ClipLoader, source: VideoSource) -> None:
    off = replace(loader, on_miss="off")
    decoded = off.load(source)
    assert not files(loader.store)
    stored = loader.load(source)
    assert decoded.frames_TCHW is not None and stored.frames_TCHW is not None
    assert torch.equal(decoded.frames_TCHW, stored.frames_TCHW)
    assert decoded.uid == stored.uid


def test_a_file_carries_what_it_is(loader: ClipLoader, source: VideoSource) -> None:
    loader.load(source)
    [path] = files(loader.store)
    with safe_open(path, "pt") as file:
        about = json.loads(file.metadata()["about"])
        assert file.get_tensor("frames").dtype == torch.uint8
        assert file.get_tensor("seconds").tolist() == loader.load(source).seconds_T.tolist()
    assert about["source_fps"] == 8.0
    assert about["duration"] == 16.0
    assert about["decoded_by"].startswith("decord ")
    assert about["key"]["decoder"] == "decord"
    assert about["key"]["max_frames"] == "768"
    assert path.name.startswith(about["key"]["content"])
    assert loader.store.about(source, loader.recipe(source)) == about


def test_content_counts_and_not_the_name(loader: ClipLoader, source: VideoSource, tmp_path: Path) -> None:
    loader.load(source)
    copy = tmp_path / "renamed.mp4"
    copy.write_bytes(Path(source.path).read_bytes())
    assert not filled(loader.load(VideoSource(str(copy))))


def test_a_changed_video_is_another_clip(loader: ClipLoader, clips: Path, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes((clips / "clip.mp4").read_bytes())
    os.utime(path, (1, 1))
    before = loader.load(VideoSource(str(path)))
    path.write_bytes((clips / "short.mp4").read_bytes())
    required = replace(loader, on_miss="require")
    with pytest.raises(VideoError, match="its file has changed since it was cached"):
        required.load(VideoSource(str(path)))
    after = loader.load(VideoSource(str(path)))
    assert (before.duration, after.duration) == (16.0, 3.0)


def test_another_budget_is_a_miss_that_says_which_parameter_differs(loader: ClipLoader, source: VideoSource) -> None:
    loader.load(source)
    other = replace(loader, budget=replace(loader.budget, fps=1.0), on_miss="require")
    with pytest.raises(
        VideoError, match=r"as required by .*: stored with fps=2.0 \(asked for 1.0\); run scripts/cache"
    ):
        other.load(source)
    assert len(replace(other, on_miss="fill").load(source)) == 16
    assert len(loader.load(source)) == 32


def test_another_decoder_is_a_miss(loader: ClipLoader, source: VideoSource) -> None:
    loader.load(source)

    class Newer(Decord):
        def describe(self) -> dict[str, str]:
            return {"decoder": "decord", "decoder_version": "9.9"}

    with pytest.raises(VideoError, match=r"stored with decoder_version=.* \(asked for 9.9\)"):
        replace(loader, decoder=Newer(), on_miss="require").load(source)


def test_require_lists_the_count_the_first_five_and_why(loader: ClipLoader, clips: Path, tmp_path: Path) -> None:
    stored = VideoSource(str(clips / "clip.mp4"))
    loader.load(stored)
    parts = [VideoSource(stored.path, float(i), float(i + 4)) for i in range(6)]
    required = replace(loader, on_miss="require")
    required.check([stored, stored])
    with pytest.raises(StoreError) as caught:
        required.check([stored, VideoSource(str(tmp_path / "none.mp4")), *parts])
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("7 of 8 clips are not in the clip store")
    assert "none.mp4: there is no such file" in lines[1]
    assert lines[2].endswith("clip.mp4[0:4]: stored with end=none (asked for 4.0), start=none (asked for 0.0)")
    assert len(lines) == 1 + 5 + 2 and lines[6] == "  and 2 more"
    loader.check(parts)  # fill asks for nothing ahead


@pytest.mark.parametrize("share", [0.0, 0.0005, 0.5, 0.999])
def test_a_half_written_file_is_a_miss_that_names_itself(
    loader: ClipLoader, source: VideoSource, share: float, caplog: pytest.LogCaptureFixture
) -> None:
    whole = loader.load(source)
    [path] = files(loader.store)
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(VideoError, match=f"the stored file {path.name} is broken: .*; run scripts/cache_videos.py"):
        replace(loader, on_miss="require").load(source)
    assert list(loader.store.broken) == [str(path)]
    with caplog.at_level(logging.WARNING):
        ClipStore(loader.store.folder).get(source, loader.recipe(source))
    assert f"{path.name}: not used" in caplog.text
    again = loader.load(source)
    assert filled(again) and whole.frames_TCHW is not None and again.frames_TCHW is not None
    assert torch.equal(whole.frames_TCHW.clone(), again.frames_TCHW)
    assert not loader.store.broken


@pytest.mark.parametrize("where", [3, 100, 700, -1, -200_000])
def test_a_corrupt_file_is_a_miss(loader: ClipLoader, source: VideoSource, where: int) -> None:
    loader.load(source)
    [path] = files(loader.store)
    data = bytearray(path.read_bytes())
    data[where] ^= 0x40
    path.write_bytes(data)
    assert loader.store.get(source, loader.recipe(source)) is None
    assert str(path) in loader.store.broken


def test_a_corrupt_pixel_is_found_by_its_checksum(loader: ClipLoader, source: VideoSource) -> None:
    loader.load(source)
    [path] = files(loader.store)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(VideoError, match="broken: its checksum is wrong"):
        replace(loader, on_miss="require").load(source)


def test_a_touched_file_is_still_good(loader: ClipLoader, source: VideoSource) -> None:
    loader.load(source)
    os.utime(files(loader.store)[0])
    assert not filled(loader.load(source))


def test_a_file_under_another_clips_name_is_not_used(loader: ClipLoader, source: VideoSource) -> None:
    other = replace(loader, budget=replace(loader.budget, fps=1.0))
    loader.load(source)
    [mine] = files(loader.store)
    other.load(source)
    [theirs] = set(files(loader.store)) - {mine}
    theirs.replace(mine)
    assert loader.store.get(source, loader.recipe(source)) is None
    assert "it holds another clip: fps=1.0 (asked for 2.0)" in loader.store.broken[str(mine)]


def test_a_safetensors_file_of_someone_else_is_not_used(loader: ClipLoader, source: VideoSource) -> None:
    from safetensors.torch import save_file

    loader.load(source)
    [path] = files(loader.store)
    save_file({"frames": torch.zeros(2, 3, 4, 4, dtype=torch.uint8), "seconds": torch.zeros(2)}, path)
    assert loader.store.get(source, loader.recipe(source)) is None
    assert "it is no 'kairos clip 1' file" in loader.store.broken[str(path)]


def test_frames_are_mapped_not_read(loader: ClipLoader, source: VideoSource) -> None:
    clip = loader.load(source)
    assert clip.frames_TCHW is not None
    assert files(loader.store)[0].name in Path("/proc/self/maps").read_text()
    assert clip.frames_TCHW.is_contiguous()


def test_a_clip_crosses_processes_as_a_name(loader: ClipLoader, source: VideoSource) -> None:
    clip = replace(loader.load(source), features={"depth": torch.ones(32)})
    packed = pickle.dumps(clip)
    assert len(packed) < 3000
    again = pickle.loads(packed)
    assert isinstance(again, StoredClip)
    assert torch.equal(again.frames_TCHW, clip.frames_TCHW)
    assert torch.equal(again.seconds_T, clip.seconds_T)
    assert (again.uid, again.duration, again.filled) == (clip.uid, clip.duration, True)
    assert torch.equal(again.features["depth"], torch.ones(32))


def test_a_view_crosses_as_a_name_and_a_choice_of_frames_by_value(loader: ClipLoader, source: VideoSource) -> None:
    clip = loader.load(source)
    assert clip.frames_TCHW is not None
    view = replace(clip, frames_TCHW=clip.frames_TCHW[4:12:2], seconds_T=clip.seconds_T[4:12:2])
    assert len(pickle.dumps(view)) < 2000
    assert torch.equal(pickle.loads(pickle.dumps(view)).frames_TCHW, clip.frames_TCHW[4:12:2])
    taken = clip.take(torch.tensor([9, 3]))
    again = pickle.loads(pickle.dumps(taken))
    assert type(again) is VideoClip
    assert torch.equal(again.frames_TCHW, clip.frames_TCHW[[9, 3]])


def test_a_stored_clip_that_went_away_says_so(loader: ClipLoader, source: VideoSource) -> None:
    packed = pickle.dumps(loader.load(source))
    files(loader.store)[0].unlink()
    mapped.release()
    with pytest.raises(VideoError, match="the stored clip went away while in use"):
        pickle.loads(packed)


class _Clips(Dataset[VideoClip]):
    def __init__(self, loader: ClipLoader, sources: list[VideoSource]) -> None:
        self.loader, self.sources = loader, sources

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, index: int) -> VideoClip:
        return self.loader.load(self.sources[index])


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_workers_of_a_data_loader_decode_and_hand_over_names(
    loader: ClipLoader, source: VideoSource, clips: Path, context: str
) -> None:
    loader.load(source)  # a decoding process of this process, that a forked worker must not use
    sources = [source, VideoSource(str(clips / "short.mp4")), VideoSource(source.path, 2.0, 6.0)]
    batches = DataLoader(
        _Clips(loader, sources), batch_size=1, num_workers=2, collate_fn=list, multiprocessing_context=context
    )
    loaded = [clip for [clip] in batches]
    assert [filled(clip) for clip in loaded] == [False, True, True]
    for clip, wanted in zip(loaded, sources, strict=True):
        here = loader.load(wanted)
        assert not filled(here)
        assert clip.frames_TCHW is not None and here.frames_TCHW is not None
        assert clip.frames_TCHW.data_ptr() == here.frames_TCHW.data_ptr()  # the same map
        assert clip.uid == here.uid


_WRITER = """
import resource, signal, sys
from kairos.core.types import VideoSource
from kairos.video.budget import PixelBudget
from kairos.video.loader import ClipLoader
from kairos.video.store.clips import ClipStore
folder, path, limit = sys.argv[1], sys.argv[2], int(sys.argv[3])
loader = ClipLoader(ClipStore(folder), budget=PixelBudget(factor=32, min_pixels=1024))
if limit:
    loader.probe(VideoSource(path))  # start the decoding process first: the limit is inherited
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
from kairos.video.errors import StoreError
try:
    print(len(loader.load(VideoSource(path))))
except StoreError as error:
    print(error)
    sys.exit(3)
"""


def writer(store: ClipStore, path: Path, limit: int = 0) -> subprocess.Popen[str]:
    source = Path(mapped.__file__).parents[3]
    return subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import sys; sys.path.insert(0, {str(source)!r})\n{_WRITER}",
            str(store.folder),
            str(path),
            str(limit),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_full_disk_is_said_and_leaves_the_store_readable(loader: ClipLoader, clips: Path) -> None:
    loader.load(VideoSource(str(clips / "short.mp4")))
    process = writer(loader.store, clips / "clip.mp4", limit=100_000)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 3
    assert "the clip store cannot be written (File too large; 39" in said
    assert "what is stored stays readable: free space or choose another folder" in said
    assert not list(loader.store.folder.rglob("*.partial"))
    assert len(files(loader.store)) == 1
    fresh = replace(loader, store=ClipStore(loader.store.folder), on_miss="require")
    assert len(fresh.load(VideoSource(str(clips / "short.mp4")))) == 6


def test_two_processes_may_cache_the_same_clip(loader: ClipLoader, source: VideoSource) -> None:
    both = [writer(loader.store, Path(source.path)) for _ in range(2)]
    assert [process.communicate(timeout=120)[0].strip() for process in both] == ["32", "32"]
    [path] = files(loader.store)
    clip = replace(loader, on_miss="require").load(source)
    off = replace(loader, on_miss="off").load(source)
    assert clip.frames_TCHW is not None and off.frames_TCHW is not None
    assert torch.equal(clip.frames_TCHW, off.frames_TCHW)
    assert not list(path.parent.glob(".*"))


def test_opening_again_hashes_nothing(
    loader: ClipLoader, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes((clips / "clip.mp4").read_bytes())
    os.utime(path, (1, 1))  # settled long ago
    loader.load(VideoSource(str(path)))
    monkeypatch.setattr("kairos.video.store.content.content_hash", lambda *_: pytest.fail("hashed again"))
    assert not filled(replace(loader, store=ClipStore(loader.store.folder)).load(VideoSource(str(path))))


def test_a_damaged_index_of_contents_is_no_harm(loader: ClipLoader, clips: Path, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes((clips / "clip.mp4").read_bytes())
    os.utime(path, (1, 1))
    loader.load(VideoSource(str(path)))
    index = loader.store.folder / "sources.jsonl"
    index.write_text(index.read_text()[:-9] + "\n[1, 2]\n\n{}\n7\n")
    assert not filled(replace(loader, store=ClipStore(loader.store.folder)).load(VideoSource(str(path))))


@pytest.mark.parametrize(
    ("fields", "message"), [({"on_miss": "maybe"}, "fill, require or off"), ({"time_limit": 0}, "time_limit")]
)
def test_a_loader_checks_itself(store: ClipStore, fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClipLoader(store, **fields)  # type: ignore[arg-type]


def test_a_budget_cannot_be_forgotten_in_the_key(store: ClipStore, source: VideoSource) -> None:
    names = {
        ClipLoader(store, budget=PixelBudget(**changed)).store.name(
            source, ClipLoader(store, budget=PixelBudget(**changed)).recipe(source)
        )
        for changed in ({}, {"fps": 1.0}, {"factor": 32}, {"max_frames": 8}, {"min_pixels": 5}, {"total_pixels": 9})
    }
    assert len(names) == 6
