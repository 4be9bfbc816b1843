"""A rendered clip, an empty store, and a loader with the budget of the mini world."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.rendering import render

from kairos.video.budget import PixelBudget
from kairos.video.loader import ClipLoader
from kairos.video.store.clips import ClipStore


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of shared, read-only videos: clip.mp4 is 16 s at 8 frames a second, 64x64."""
    folder = tmp_path_factory.mktemp("clips")
    render(folder / "clip.mp4", frames=128)
    render(folder / "short.mp4", frames=24)
    render(folder / "wide.mp4", frames=16, size=(256, 128))
    return folder


@pytest.fixture
def store(tmp_path: Path) -> ClipStore:
    return ClipStore(tmp_path / "store")


@pytest.fixture
def budget() -> PixelBudget:
    return PixelBudget(factor=32, min_pixels=32 * 32)


@pytest.fixture
def loader(store: ClipStore, budget: PixelBudget) -> ClipLoader:
    return ClipLoader(store, budget=budget)
