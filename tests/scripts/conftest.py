"""Scripts run in the process of the test, from an empty folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.mini_agent import AGENT_RUN, beside
from helpers.scripting import Script, load
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

from kairos.compose import train


@pytest.fixture
def script(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    """`script("train", *arguments)` gives its exit code."""
    monkeypatch.chdir(tmp_path)

    def run(name: str, *arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", [str(repository / "scripts" / f"{name}.py"), *arguments])
        GlobalHydra.instance().clear()
        try:
            load(repository, name).main()
        except SystemExit as stopped:
            return stopped.code if isinstance(stopped.code, int) else int(bool(stopped.code))
        return 0

    yield run
    GlobalHydra.instance().clear()
    HydraConfig.instance().cfg = None


@pytest.fixture(scope="session")
def frame_agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run: an agent that learned for two iterations to choose 4 frames, by `experiment=mini/tspo`."""
    folder = tmp_path_factory.mktemp("agents")
    return train([*AGENT_RUN, *beside(folder)], folder / "agent")
