"""The protocols of all replaceable parts: signatures and what they promise, without behaviour."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
from torch import Tensor

if TYPE_CHECKING:
    from kairos.core.types import (
        ActionStats,
        Layout,
        Needs,
        Prompt,
        Reply,
        RolloutBatch,
        RolloutGroup,
        Sampling,
        Scores,
        VideoClip,
        VideoSource,
    )


class Scorer(Protocol):
    """Computes the log-probs of given actions: the policy itself, or a frozen reference."""

    def __call__(self, batch: RolloutBatch, entropy: bool = False) -> ActionStats: ...


class Reference(Scorer, Protocol):
    """A configured scorer that is never trained, such as a teacher; every policy is one.

    Constructing one is cheap. `build()` loads weights and is called only if a term of the loss compares with it.
    """

    def build(self) -> None: ...


@runtime_checkable
class ChecksTokens(Protocol):
    """A reference that checks whether it has the same actions (tokens) as the trained policy."""

    def check_tokens(self, trained: Policy) -> None:
        """ValueError that says what differs."""
        ...


@runtime_checkable
class Policy(Protocol):
    """What is trained: an `nn.Module` whose `forward` is `score`. An action is a token, or a frame.

    Constructing one is cheap and touches no network; `build()` loads weights, once. `microbatch_unit` says what a
    micro-batch counts: "group" where a prompt's rows are scored together, else "row".
    """

    @property
    def microbatch_unit(self) -> str: ...

    def build(self) -> None: ...

    def encode(self, text: str) -> Tensor:
        """The actions [A] (int64, end token included) that write `text`. ValueError where actions are not text."""
        ...

    def sample(
        self, prompts: Sequence[Prompt], group_size: int, sampling: Sampling, seed: int
    ) -> list[RolloutGroup]: ...

    def score(self, batch: RolloutBatch, entropy: bool = False) -> ActionStats: ...

    def reference(self) -> Scorer:
        """The frozen scorer to compare with: adapters off, or a frozen copy of the weights as they are now."""
        ...


@runtime_checkable
class PreparesLearning(Protocol):
    """A policy that needs a context around its updates, for example to sum gradients faster."""

    def learning(self, alone: bool) -> AbstractContextManager[None]:
        """Entered around every forward, backward and optimiser step of an iteration.

        `alone`: gradients are not averaged with other processes, so backward may add to `grad` directly.
        """
        ...


class Processor(Protocol):
    """A picklable value that lays a prompt out for a model; it loads its tokenizer at the first call."""

    def __call__(self, prompt: Prompt) -> Layout: ...


class Enrich(Protocol):
    """Adds features to a decoded prompt, in the loader's workers: of its clip's frames [T, ...], or of its question.

    PromptError (`kairos.core.prompt_text`) where this one prompt cannot be used: it becomes a Failure. Any other stops
    the run.
    """

    def __call__(self, prompt: Prompt) -> Prompt: ...


@runtime_checkable
class Embeds(Enrich, Protocol):
    """An `Enrich` that stores what it computes of a clip and of a question: it can be filled before a run."""

    def of_clip(self, clip: VideoClip) -> Tensor:
        """A feature of every frame [T, ...]."""
        ...

    def of_text(self, text: str) -> Tensor:
        """The feature of a question [...]."""
        ...


class RolloutEngine(Protocol):
    """Schedules rollouts. Sampling itself belongs to the policy; `asks_policy` is False where others write the rows."""

    @property
    def asks_policy(self) -> bool: ...

    def setup(self, device: torch.device) -> None: ...

    def sync(self, policy: Policy) -> None: ...

    def generate(
        self, prompts: Sequence[Prompt], group_size: int, sampling: Sampling, seed: int
    ) -> list[RolloutGroup]: ...

    def release(self) -> None: ...


@runtime_checkable
class Foresees(RolloutEngine, Protocol):
    """An engine that samples one iteration ahead. `foresee` is called before `generate`, with what will be asked next.

    Its rows say their `staleness`. `state_dict` holds the rows that are sampled and not yet asked for, as plain numbers
    and text, so that a resumed run learns from the same; `load_state_dict` takes those of all ranks.
    """

    def foresee(self, prompts: Sequence[Prompt], group_size: int, sampling: Sampling, seed: int) -> None: ...

    def state_dict(self) -> dict[str, object]: ...

    def load_state_dict(self, states: Sequence[Mapping[str, object]]) -> None: ...


@runtime_checkable
class Begins(Protocol):
    """An engine whose rows are sampled elsewhere: `begin` asks for them, and what it returns waits for the reply.

    The policy may be trained meanwhile.
    """

    def begin(
        self, prompts: Sequence[Prompt], group_size: int, sampling: Sampling, seed: int
    ) -> Callable[[], list[RolloutGroup]]: ...


class Answerer(Protocol):
    """A frozen video language model that answers prompts from chosen frames; a rollout engine owns it.

    Constructing one is cheap and picklable; `build()` loads weights, once. It is in no state dict and is never sharded.
    """

    def build(self) -> None: ...

    def to(self, device: torch.device) -> object: ...

    def answer(self, prompts: Sequence[Prompt], chosen: Sequence[Sequence[Tensor]]) -> list[list[Reply]]:
        """One reply, greedy, for each set of frames: `chosen[p][s]` holds indices [K] of prompt p's clip, rising.

        Sets may differ in size. Frames keep their own times. ValueError for a prompt that it cannot ask.
        """
        ...


class Reward(Protocol):
    """The rewards of one group: raw terms and their total, each [G]."""

    def __call__(self, group: RolloutGroup) -> Scores: ...


class Shape(Protocol):
    """[G] -> [G], applied to one raw term before it is weighted."""

    def __call__(self, values_G: Tensor) -> Tensor: ...


class Injection(Protocol):
    """Adds or replaces rollouts of a group; `sampled(G)` says how many rows the engine is asked for."""

    def sampled(self, group_size: int) -> int: ...

    def __call__(self, group: RolloutGroup) -> RolloutGroup: ...


class Advantage(Protocol):
    """How much better than expected each rollout of a step was; called once a step with all groups of this rank.

    `rewards` and `on_policy` hold one [G] tensor a group, and so do the pairs (advantages_G, weights_G) that come out,
    in the same order. Weight 0 leaves a row out. Prompts that could not be used are not among the groups, so there may
    be none; a rank without groups is called too, so that a rule may sum over ranks (`core.ranks.total`).

    Two groups of two rollouts, their means subtracted: rewards ([0, 1], [2, 4]) give advantages ([-0.5, 0.5], [-1, 1]).
    """

    def __call__(self, rewards: Sequence[Tensor], on_policy: Sequence[Tensor]) -> Sequence[tuple[Tensor, Tensor]]: ...


class GroupRule(Protocol):
    """An advantage that sees one group alone, see `PerGroup`: (rewards_G, on_policy_G) -> (advantages_G, weights_G)."""

    def __call__(self, rewards_G: Tensor, on_policy_G: Tensor) -> tuple[Tensor, Tensor]: ...


class Gate(Protocol):
    """The weight of a whole group, 0 to leave it out: (rewards_G, on_policy_G) -> weight."""

    def __call__(self, rewards_G: Tensor, on_policy_G: Tensor) -> float: ...


class Term(Protocol):
    """One term of the loss, [B, A] per action; `needs` says what it reads beyond the policy's log-probs."""

    @property
    def needs(self) -> Needs: ...

    def __call__(self, stats: ActionStats, batch: RolloutBatch) -> Tensor: ...


@runtime_checkable
class MeasuresActions(Protocol):
    """A term that measures more than its own value for the log."""

    def measured(self, stats: ActionStats, batch: RolloutBatch) -> Mapping[str, Tensor]:
        """[B, A] by the metric's name, called without gradient; means over the policy's own actions are logged."""
        ...


class Aggregation(Protocol):
    """(mask_BA, group_of_B, weights_B) -> (weight_BA, denominator): loss = sum(weight * term) / denominator."""

    def __call__(self, mask_BA: Tensor, group_of_B: Tensor, weights_B: Tensor) -> tuple[Tensor, Tensor]: ...


class FrameSampler(Protocol):
    """Which K frames of a prompt's clip to look at, in the order of time: int64 [K], all of them where there are fewer.

    K = `count` is the same for every sampler that is compared.
    """

    def __call__(self, prompt: Prompt, count: int) -> Tensor: ...


class Budget(Protocol):
    """Every parameter that changes a pixel of a stored clip, as text: part of its key, and named in error messages."""

    def describe(self) -> Mapping[str, str]: ...


class ClipStore(Protocol):
    def get(self, source: VideoSource, budget: Budget) -> VideoClip | None: ...

    def put(self, source: VideoSource, budget: Budget, clip: VideoClip) -> None: ...


class FeatureStore(Protocol):
    def get(self, key: str) -> Tensor | None: ...

    def put(self, key: str, tensor: Tensor) -> None: ...
