"""The vocabulary of the project: what a clip, a prompt, a rollout and a batch are.

Axis letters in names: `P` prompts, `G` rollouts per prompt, `B` rows, `A` actions per row, `T` frames, `K` chosen
frames, `L` tokens, `C H W` channels, height, width. All times are seconds from the start of the clip.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Protocol

import torch
from torch import Tensor

from kairos.core.answers import Answer
from kairos.core.carry import carried
from kairos.core.grammar import Grammar
from kairos.core.spans import Span

START = "start"
"""Name of the reference that is the policy before any update; every other reference is configured."""


class Origin(IntEnum):
    """Who wrote a rollout."""

    POLICY = 0
    GROUND_TRUTH = 1
    DEMONSTRATION = 2


@dataclass(frozen=True)
class VideoSource:
    """Where a clip comes from: a video file or a folder of frames, and the part of it that is meant.

    `start` and `end` name a sub-clip in seconds of the source (None: from the beginning, to the end);
    `fps` is the frame rate of a folder of frames, and unused for a file.
    """

    path: str
    start: float | None = None
    end: float | None = None
    fps: float | None = None

    def __str__(self) -> str:
        if self.start is None and self.end is None:
            return self.path
        start = 0.0 if self.start is None else self.start
        end = "" if self.end is None else f"{self.end:g}"
        return f"{self.path}[{start:g}:{end}]"


@dataclass(frozen=True)
class VideoClip:
    """Frames of one clip, decoded and resized once.

    `frames_TCHW` is uint8, or None where only features exist; `seconds_T` are presentation times from the start of
    the clip; `duration` is in seconds; `features` are tensors by name whose first axis is T. `content` is a name that
    only equal frames share, where somebody knows one.
    """

    uid: str
    frames_TCHW: Tensor | None
    seconds_T: Tensor
    duration: float
    features: Mapping[str, Tensor] = field(default_factory=dict)
    content: str | None = None
    source: VideoSource | None = None
    """Where the clip can be decoded again; None where there is no video behind it."""

    def __post_init__(self) -> None:
        if self.frames_TCHW is not None and len(self.frames_TCHW) != len(self.seconds_T):
            raise ValueError(f"clip {self.uid}: {len(self.frames_TCHW)} frames but {len(self.seconds_T)} frame times")

    def __len__(self) -> int:
        return len(self.seconds_T)

    def take(self, index_K: Tensor) -> VideoClip:
        """The same clip with only the frames at `index_K`, in that order; the duration stays."""
        return replace(
            self,
            frames_TCHW=None if self.frames_TCHW is None else self.frames_TCHW[index_K],
            seconds_T=self.seconds_T[index_K],
            features={name: tensor[index_K] for name, tensor in self.features.items()},
            content=None,
        )


@dataclass(frozen=True)
class Target:
    """What is right, as far as the data says. Read only by credit, injections, the annotations engine and evaluation.

    `spans` are the annotated events, `choice` the letter of the right option, `evidence` the spans that prove it,
    `highlights` pairs of (seconds, saliency), `demonstration` the text of a written-out reasoning, without the answer.
    """

    spans: tuple[Span, ...] = ()
    choice: str | None = None
    evidence: tuple[Span, ...] = ()
    highlights: tuple[tuple[float, float], ...] = ()
    demonstration: str | None = None

    def reason(self, answer: Answer) -> str | None:
        """Why `answer` does not answer this target: spans are asked for where it has spans, a choice likewise."""
        if self.spans and answer.span_reason:
            return answer.span_reason
        return answer.choice_reason if self.choice else None


@dataclass(frozen=True)
class Layout:
    """One prompt as the model sees it.

    `ids_L` are token ids with every vision token in place, `positions_3L` the rotary positions (time, height, width),
    `grid_thw_N3` the patch grid of each video block, `seconds_per_grid` the seconds between two temporal patches,
    None where they are not evenly spaced. `frames` says which frames of the clip the blocks show, padding included
    (None: all, in order).
    """

    ids_L: Tensor
    positions_3L: Tensor
    grid_thw_N3: Tensor
    seconds_per_grid: float | None
    frames: Tensor | None = None

    def __len__(self) -> int:
        return len(self.ids_L)


@dataclass(frozen=True)
class Prompt:
    """One question about one clip, and what counts as right. `uid` is stable across runs."""

    uid: str
    task: str
    source: str
    clip: VideoClip
    question: str
    target: Target
    options: tuple[str, ...] = ()
    template: Template | None = None
    features: Mapping[str, Tensor] = field(default_factory=dict)
    layout: Layout | None = None


class Template(Protocol):
    """The wording of a prompt and of an answer, and how an answer is read."""

    @property
    def grammar(self) -> Grammar: ...

    def messages(self, prompt: Prompt) -> list[dict[str, object]]:
        """Chat messages; a content part {"type": "video"} marks where the clip stands."""
        ...

    def answer(self, target: Target) -> str: ...

    def well_formed(self, text: str) -> bool: ...


@dataclass(frozen=True)
class Failure:
    """A prompt that could not be used, and why. It is counted and named, never dropped."""

    uid: str
    reason: str
    missed: bool = False
    """Its clip was decoded all the same, because the clip store lacked it."""


@dataclass(frozen=True)
class PromptBatch:
    """What one Lightning batch is: `weights_P` is 0 for a stand-in of a prompt that failed, else 1.

    `counts` are whole numbers by name that the log sums over ranks as `throughput/<name>`: "misses" are the clips that
    had to be decoded because the clip store lacked them.
    """

    prompts: tuple[Prompt, ...]
    weights_P: Tensor
    failures: tuple[Failure, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.prompts)


@dataclass(frozen=True)
class Sampling:
    """How actions are drawn. `temperature` 0 is the mode; `max_actions` bounds tokens, or is the number of frames K.

    `top_p` 1.0 and `top_k` 0 keep the whole distribution: what is sampled is the policy that is trained.
    `group_size` is G, the rollouts per prompt that a step learns from, injected ones included.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    max_actions: int = 256
    group_size: int = 8

    def __post_init__(self) -> None:
        if self.temperature < 0:
            raise ValueError(f"sampling.temperature must be >= 0 (0 is greedy), got {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"sampling.top_p must lie in (0, 1], got {self.top_p}")
        if self.top_k < 0:
            raise ValueError(f"sampling.top_k must be >= 0 (0 keeps every token), got {self.top_k}")
        if self.max_actions < 1:
            raise ValueError(f"sampling.max_actions must be >= 1, got {self.max_actions}")
        if self.group_size < 1:
            raise ValueError(f"sampling.group_size must be >= 1, got {self.group_size}")

    def at(self, iteration: int, iterations: int) -> Sampling:
        """Plain numbers for one iteration; a schedule overrides this."""
        del iteration, iterations
        return self


@dataclass(frozen=True)
class Rollout:
    """One answer. `text` is empty when actions are frames.

    `actions_A` (int64) are the actions in the order chosen, the end token included when the policy ended; None when
    an injection wrote the text: the policy encodes it when the batch is built. `behavior_logprobs_A` (float32) are the
    log-probabilities under the distribution that was sampled; None when the policy did not sample the row.
    """

    text: str
    actions_A: Tensor | None
    behavior_logprobs_A: Tensor | None = None
    origin: Origin = Origin.POLICY
    truncated: bool = False
    chosen_K: Tensor | None = None
    """Which frames of the clip the policy chose (int64, in time), where its actions are frames and not text."""


@dataclass(frozen=True)
class RolloutGroup:
    """One prompt and its rollouts: the unit that rewards, injections and advantages work on."""

    prompt: Prompt
    rollouts: tuple[Rollout, ...]

    def __len__(self) -> int:
        return len(self.rollouts)

    @property
    def on_policy_G(self) -> Tensor:
        """[G] bool: rows that the policy itself wrote."""
        return torch.tensor([rollout.origin is Origin.POLICY for rollout in self.rollouts], dtype=torch.bool)


@dataclass(frozen=True)
class Scores:
    """Rewards of one group: raw `terms` by name [G], the shaped and weighted `total_G`, the parser's reasons by row."""

    terms: Mapping[str, Tensor]
    total_G: Tensor
    reasons: tuple[str | None, ...]


@dataclass(frozen=True)
class ActionStats:
    """What a policy says of given actions: `logprobs_BA` at the sampling temperature (fp32), `entropy_BA` or None."""

    logprobs_BA: Tensor
    entropy_BA: Tensor | None = None


@dataclass(frozen=True)
class Needs:
    """What a term of the loss reads beyond the policy's log-probs.

    >>> Needs(entropy=True) | Needs(references=frozenset({"teacher"}))
    Needs(entropy=True, references=frozenset({'teacher'}))
    """

    entropy: bool = False
    """The policy's entropy at every action."""
    references: frozenset[str] = frozenset()
    """Names of the frozen scorers that the term compares with, see `START`."""

    def __or__(self, other: Needs) -> Needs:
        return Needs(self.entropy or other.entropy, self.references | other.references)


_ROW_FIELDS = (
    "group_of_B", "actions_BA", "mask_BA", "origin_B", "advantages_B", "weights_B",
    "behavior_logprobs_BA", "old_logprobs_BA",
)  # fmt: skip


@dataclass(frozen=True)
class RolloutBatch:
    """Rows ready to learn from; each prompt is stored once, and `group_of_B` says whose row it is.

    `mask_BA` is 1.0 where an action counts. Behaviour and old log-probs are [B, A] or None; behaviour log-probs are NaN
    in rows that the policy did not sample. `reference_logprobs` holds those of frozen scorers by name, each [B, A].
    """

    prompts: tuple[Prompt, ...]
    group_of_B: Tensor
    actions_BA: Tensor
    mask_BA: Tensor
    origin_B: Tensor
    advantages_B: Tensor
    weights_B: Tensor
    temperature: float = 1.0
    behavior_logprobs_BA: Tensor | None = None
    old_logprobs_BA: Tensor | None = None
    reference_logprobs: Mapping[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.group_of_B)

    def take(self, rows: Sequence[int] | Tensor) -> RolloutBatch:
        """The batch of only these rows, in this order: prompts that no row needs are left out, groups renumbered."""
        index = torch.as_tensor(rows, dtype=torch.long)
        groups = self.group_of_B[index]
        kept, renumbered = torch.unique(groups, return_inverse=True)
        sliced = {name: _rows(value, index) for name in _ROW_FIELDS if (value := getattr(self, name)) is not None}
        references = {name: _rows(value, index) for name, value in self.reference_logprobs.items()}
        sliced["group_of_B"] = renumbered
        prompts = tuple(self.prompts[int(g)] for g in kept)
        return replace(self, prompts=prompts, reference_logprobs=references, **sliced)

    def to(self, device: torch.device | str) -> RolloutBatch:
        """The same batch with its row tensors on `device`; prompts stay where they are, and so does `group_of_B`."""
        moved = {
            name: carried(value, device)
            for name in _ROW_FIELDS
            if name != "group_of_B" and (value := getattr(self, name)) is not None
        }
        references = {name: carried(value, device) for name, value in self.reference_logprobs.items()}
        return replace(self, reference_logprobs=references, **moved)


def _rows(values: Tensor, index: Tensor) -> Tensor:
    return values.index_select(0, index.to(values.device))
