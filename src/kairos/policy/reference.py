"""Frozen scorers that a policy is compared with: a copy of it, other weights (a teacher), or itself without adapter."""

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
    """What a frozen scorer uses of a language policy, which is an `nn.Module`."""

    processor: LanguageProcessor

    def build(self) -> None: ...

    def train_nothing(self) -> None: ...

    def sizes(self) -> Sizes | None: ...

    def score(self, batch: RolloutBatch, entropy: bool = False) -> ActionStats: ...


class FrozenLanguage(nn.Module):
    """A language policy that only scores, without gradients and in eval mode.

    As a teacher: `FrozenLanguage(LanguagePolicy(processor, weights=...))`, then `build()`, which loads and freezes.
    Constructing one is cheap.
    """

    def __init__(self, policy: LanguageModule) -> None:
        super().__init__()
        self.policy = policy

    def build(self) -> None:
        """Load the weights where there are none yet, all of them frozen."""
        self.policy.build()
        self.policy.train_nothing()

    def sizes(self) -> Sizes | None:
        """Of the weights that `build()` loads, for the memory plan; None where they are not known before."""
        return self.policy.sizes()

    def check_tokens(self, trained: LanguageModule) -> None:
        """ValueError where `trained` has other tokens, or lays prompts out in another way."""
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
        """It stays in eval mode."""
        del mode
        return super().train(False)


class Detachable(Protocol):
    """An adapter that can be switched off: inside `off`, the model computes as without it."""

    def off(self, model: PreTrainedModel) -> AbstractContextManager[None]: ...


class Adapted(Scorer, Protocol):
    """A policy that trains an adapter."""

    @property
    def towers(self) -> Towers: ...


class WithoutAdapter:
    """A language policy that only scores, without gradients and with its adapter off: the same weights, no copy."""

    def __init__(self, policy: Adapted, adapter: Detachable) -> None:
        self.policy, self.adapter = policy, adapter

    @torch.no_grad()
    def __call__(self, batch: RolloutBatch, entropy: bool = False) -> ActionStats:
        with self.adapter.off(self.policy.towers.model):
            return self.policy(batch, entropy)
