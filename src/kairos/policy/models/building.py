"""Builds a model from weights, or from a configuration and a seed; freezes parts and attaches an adapter."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel

from kairos.policy.family import Family
from kairos.policy.models.freezing import freeze
from kairos.policy.models.weights import check_reachable, locate
from kairos.policy.network.towers import Towers


class Adapter(Protocol):
    """Trained matrices beside frozen ones: `LoRA`."""

    @property
    def adapts(self) -> frozenset[str]:
        """Names of the parts of the model that it trains."""
        ...

    @property
    def scaling(self) -> float:
        """Factor of the trained matrices' product."""
        ...

    @property
    def merge(self) -> bool:
        """Whether an export also holds the merged weights."""
        ...

    def attach(self, towers: Towers) -> None:
        """Add the matrices to the model in place and freeze every other parameter."""
        ...

    def off(self, model: PreTrainedModel) -> AbstractContextManager[None]:
        """Inside this context the model computes without the adapter."""
        ...

    def merged(self, model: PreTrainedModel) -> dict[str, Tensor]:
        """The state of an equivalent model without an adapter."""
        ...

    def save(self, model: PreTrainedModel, folder: Path, base: str | None) -> None:
        """Write the adapter alone, in peft's form."""
        ...


def load_model(family: Family, weights: str) -> Towers:
    """Load the model that `weights` names; `locate` says what it may be."""
    found = locate(weights)
    check_reachable(found.base)
    model = family.load(found.base)
    found.put_into(model)
    return family.towers(model)


def draw_model(family: Family, config: Callable[[], PreTrainedConfig], seed: int) -> Towers:
    """Create a model of the sizes of `config()`, with weights drawn at `seed`."""
    with _seeded(seed):
        return family.towers(family.create(config()))


def choose_trained(towers: Towers, frozen: Sequence[str], adapter: Adapter | None, seed: int) -> None:
    """Freeze the parts that `frozen` names. With an adapter, whose matrices are drawn at `seed`, freeze all others."""
    freeze(towers, frozen)
    if adapter is not None:
        with _seeded(seed):
            adapter.attach(towers)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Inside this context torch's generators (of the CPU and of this process's GPU) start at `seed`."""
    with torch.random.fork_rng([torch.cuda.current_device()] if torch.cuda.is_available() else []):
        torch.manual_seed(seed)
        yield
