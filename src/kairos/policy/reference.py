"""Frozen reference policies: a copy of the trained policy, a teacher, or the trained policy with its adapter off."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

import torch
from torch import nn
from transformers import PreTrainedModel

from kairos.core.protocols import Scorer
from kairos.core.types import ActionStats, RolloutBatch
from kairos.policy.memory.sizes import Sizes
from kairos.policy.network.towers import Towers
from kairos.policy.processor import LanguageProcessor


class LanguageModule(Protocol):
    """The part of a language policy's interface that a frozen scorer uses; it is an `nn.Module`, too."""

    processor: LanguageProcessor

    def build(self) -> None: ...

    def train_nothing(self) -> None: ...

    def sizes(self) -> Sizes | None: ...

    def score(self, batch: RolloutBatch, entropy: bool = False) -> ActionStats: ...


class FrozenLanguage(nn.Module):
    """A language policy that only scores, without gradients and in eval mode.

    A teacher is `FrozenLanguage(LanguagePolicy(processor, weights=...))`. Constructing one is cheap; `build()` loads
    its weights and freezes them.
    """

    def __init__(self, policy: LanguageModule) -> None:
        super().__init__()
        self.policy = policy

    def build(self) -> None:
        """Load the weights, unless they are loaded already, and freeze all of them."""
        self.policy.build()
        self.policy.train_nothing()

    def sizes(self) -> Sizes | None:
        """Sizes of the model that `build()` loads, for the memory plan; None where no `Architecture` states them."""
        return self.policy.sizes()

    def check_tokens(self, trained: LanguageModule) -> None:
        """ValueError where `trained` has another tokenizer or another family, which lays prompts out otherwise."""
        ours, theirs = self.policy.processor, trained.processor
        if ours.family != theirs.family:
            raise ValueError(
                f"the reference reads prompts as {ours.family}, the trained policy as {theirs.family}: take reference "
                "weights of the same family"
            )
        if ours.end != theirs.end or ours.loaded.get_vocab() != theirs.loaded.get_vocab():
            raise ValueError(
                f"the reference's tokenizer {ours.tokenizer} has other tokens than the trained policy's "
                f"{theirs.tokenizer}: take reference weights with the same tokens"
            )

    @torch.no_grad()
    def forward(self, batch: RolloutBatch, entropy: bool = False) -> ActionStats:
        return self.policy.score(batch, entropy)

    def train(self, mode: bool = True) -> FrozenLanguage:
        """Stay in eval mode, whatever `mode` is."""
        del mode
        return super().train(False)


class Detachable(Protocol):
    """An adapter that can be switched off: inside the context `off(model)` the model computes without it."""

    def off(self, model: PreTrainedModel) -> AbstractContextManager[None]: ...


class Adapted(Scorer, Protocol):
    """A policy that trains an adapter."""

    @property
    def towers(self) -> Towers: ...


class WithoutAdapter:
    """Scores with a language policy's own weights, adapter off, without gradients; nothing is copied."""

    def __init__(self, policy: Adapted, adapter: Detachable) -> None:
        self.policy, self.adapter = policy, adapter

    @torch.no_grad()
    def __call__(self, batch: RolloutBatch, entropy: bool = False) -> ActionStats:
        with self.adapter.off(self.policy.towers.model):
            return self.policy(batch, entropy)
