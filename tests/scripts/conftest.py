"""Scripts run in the process of the test, from an empty folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.mini_agent import AGENT_RUN, beside
from helpers.scripting import script  # noqa: F401 - a fixture

from kairos.compose import train


@pytest.fixture(scope="session")
def frame_agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run: an agent that learned for two iterations to choose 4 frames, by `experiment=mini/tspo`."""
    folder = tmp_path_factory.mktemp("agents")
    return train([*AGENT_RUN, *beside(folder)], folder / "agent")
