"""Tests that run vLLM itself, in an environment of its own: `make test-vllm`. Elsewhere they are skipped."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if find_spec("vllm") is not None:
        return
    for item in items:
        if Path(item.fspath).parent == Path(__file__).parent:
            item.add_marker(pytest.mark.skip(reason="vLLM is not installed here: make test-vllm runs these"))
