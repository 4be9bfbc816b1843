"""The other decoder part: the same frames and times as decord where it can be loaded, a remedy where it cannot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from kairos.core.types import VideoSource
from kairos.video.decoding.decoders import Torchcodec
from kairos.video.decoding.guard import Guard
from kairos.video.errors import DecoderError
from kairos.video.loader import ClipLoader


def loadable() -> bool:
    try:
        import torchcodec.decoders  # noqa: F401
    except (ImportError, RuntimeError, OSError):
        return False
    return True


needs_torchcodec = pytest.mark.skipif(not loadable(), reason="torchcodec needs FFmpeg's shared libraries")


@pytest.mark.skipif(loadable(), reason="torchcodec works here")
def test_a_torchcodec_that_cannot_be_loaded_names_the_remedy(loader: ClipLoader, clips: Path) -> None:
    other = replace(loader, decoder=Torchcodec())
    with pytest.raises(DecoderError, match=r"torchcodec .*; install FFmpeg's shared libraries|pip install torchcodec"):
        other.load(VideoSource(str(clips / "clip.mp4")))


@needs_torchcodec
def test_torchcodec_and_decord_give_the_same_clip(loader: ClipLoader, clips: Path) -> None:
    other = replace(loader, decoder=Torchcodec())
    source = VideoSource(str(clips / "clip.mp4"), 2.0, 9.0)
    mine, theirs = loader.load(source), other.load(source)
    assert mine.frames_TCHW is not None and theirs.frames_TCHW is not None
    assert (mine.frames_TCHW.int() - theirs.frames_TCHW.int()).abs().max() <= 2  # two builds of FFmpeg
    assert torch.allclose(mine.seconds_T, theirs.seconds_T, atol=1e-6)
    assert mine.uid != theirs.uid


@needs_torchcodec
def test_torchcodec_is_bit_equal_to_the_golden_frame(real_data: Path) -> None:
    guard = Guard(Torchcodec())
    opened = guard.open(VideoSource(str(real_data / "videos/nasa_13013.mp4")))
    [(_, frames)] = list(guard.frames([15]))
    golden = torch.load(real_data / "videos/golden/nasa_13013.mp4.stream3.frame000015.pt", weights_only=True)
    assert np.array_equal(frames[0], golden.numpy())
    assert opened.probe.frames == len(opened.seconds_N) == 390
    assert abs(opened.seconds_N[15] - 0.5005) < 1e-6
    guard.close()
