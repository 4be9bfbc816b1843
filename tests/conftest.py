"""What every test shares: the option for real data, two threads, no network, and the same random numbers each time."""

from __future__ import annotations

import inspect
import os
import random
import signal
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

# Before anything reads them: a test that reaches for the network or a screen must fail, or do without, at once.
os.environ.update(
    {"HF_HUB_OFFLINE": "1", "WANDB_MODE": "offline", "MPLBACKEND": "agg", "TOKENIZERS_PARALLELISM": "false"}
)

import numpy as np
import pytest
import torch
from hypothesis import settings

settings.register_profile("kairos", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("kairos")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--real-data",
        metavar="FOLDER",
        default=None,
        help="folder of real videos/ and annotations/ with its MANIFEST.tsv; tests that need it skip without it",
    )


def pytest_configure(config: pytest.Config) -> None:
    beside = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    torch.set_num_threads(max(1, min(2, (os.cpu_count() or 1) // beside)))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in the background, and its children, ignore
    folder = config.getoption("--real-data")
    if folder is not None and not (Path(folder) / "MANIFEST.tsv").is_file():
        raise pytest.UsageError(
            f"--real-data={folder}: no MANIFEST.tsv there; name the folder that holds it, or leave the option out"
        )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(scope="session")
def real_data(pytestconfig: pytest.Config) -> Path:
    """The folder of real videos and annotations."""
    folder = pytestconfig.getoption("--real-data")
    if folder is None:
        pytest.skip("needs real videos: pytest --real-data=<folder> (make test REAL_DATA=<folder>)")
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small tokenizer, saved."""
    from helpers.tiny_language import tokenizer_folder  # here: most tests want no transformers

    return tokenizer_folder(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    """Every test starts from the same state of the global generators, whatever ran before it."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - libraries draw from the global generator
    torch.manual_seed(0)
    yield


@pytest.fixture(autouse=True)
def layers_of_transformers_on_a_cpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where packages of GPU kernels are installed, transformers' gated delta nets call them on a CPU too, in vain."""
    if request.node.get_closest_marker("gpu") or not (find_spec("fla") or find_spec("causal_conv1d")):
        return
    module = import_module("transformers.models.qwen3_5.modeling_qwen3_5")
    for name in ("torch_chunk_gated_delta_rule", "torch_recurrent_gated_delta_rule", "causal_conv1d_fn"):
        monkeypatch.setattr(module, name, inspect.unwrap(getattr(module, name)))
