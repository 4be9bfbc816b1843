"""Builds a model: from weights, or from a configuration and a seed, then freezes its parts and attaches an adapter."""

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
from kairos.policy.models.weights import locate
from kairos.policy.network.towers import Towers


class Adapter(Protocol):
    """`LoRA`: trained matrices beside frozen ones; `adapts` names the parts of the model that learn through them."""

    @property
    def adapts(self) -> frozenset[str]: ...

    @property
    def scaling(self) -> float: ...

    @property
    def merge(self) -> bool: ...

    def attach(self, towers: Towers) -> None: ...

    def off(self, model: PreTrainedModel) -> AbstractContextManager[None]: ...

    def merged(self, model: PreTrainedModel) -> dict[str, Tensor]: ...

    def save(self, model: PreTrainedModel, folder: Path, base: str | None) -> None: ...


def load_model(family: Family, weights: str) -> Towers:
    """The model that `weights` names, in any of the ways that `locate` knows."""
    found = locate(weights)
    model = family.load(found.base)
    found.put_into(model)
    return family.towers(model)


def draw_model(family: Family, config: Callable[[], PreTrainedConfig], seed: int) -> Towers:
    """Random weights of these sizes, from torch's generators at `seed`."""
    with _seeded(seed):
        return family.towers(family.create(config()))


def choose_trained(towers: Towers, frozen: Sequence[str], adapter: Adapter | None, seed: int) -> None:
    """Freeze the parts that `frozen` names; with an adapter, drawn at `seed`, train its matrices alone."""
    freeze(towers, frozen)
    if adapter is not None:
        with _seeded(seed):
            adapter.attach(towers)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """torch's generators start at `seed` inside: the host's and this process's GPU's, no other's."""
    with torch.random.fork_rng([torch.cuda.current_device()] if torch.cuda.is_available() else []):
        torch.manual_seed(seed)
        yield
