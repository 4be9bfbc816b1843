"""The data types that all rooms share: clip, prompt, rollout, group and batch.

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
    """Where a clip comes from: a video file or a folder of frames, or a part of one."""

    path: str
    start: float | None = None
    """Seconds of the source at which the clip begins; None: at its beginning."""
    end: float | None = None
    """Seconds of the source at which the clip ends; None: at its end."""
    fps: float | None = None
    """Frames a second of a folder of frames; unused for a file."""

    def __str__(self) -> str:
        if self.start is None and self.end is None:
            return self.path
        start = 0.0 if self.start is None else self.start
        end = "" if self.end is None else f"{self.end:g}"
        return f"{self.path}[{start:g}:{end}]"


@dataclass(frozen=True)
class VideoClip:
    """Frames of one clip, decoded and resized once."""

    uid: str
    frames_TCHW: Tensor | None
    """uint8; None where only features exist."""
    seconds_T: Tensor
    """Presentation times in seconds from the start of the clip."""
    duration: float
    """Seconds."""
    features: Mapping[str, Tensor] = field(default_factory=dict)
    """Tensors [T, ...] by name, such as an embedding of each frame."""
    content: str | None = None
    """A name that clips share only if their frames are equal; None if unknown."""
    source: VideoSource | None = None
    """Where the clip can be decoded again; None for a clip without a video file."""
    frame_contents: tuple[str, ...] | None = None
    """A name for each frame that frames share only if they are equal; None: known from `content`, or unknown."""

    def __post_init__(self) -> None:
        if self.frames_TCHW is not None and len(self.frames_TCHW) != len(self.seconds_T):
            raise ValueError(f"clip {self.uid}: {len(self.frames_TCHW)} frames but {len(self.seconds_T)} frame times")
        if self.frame_contents is not None and len(self.frame_contents) != len(self.seconds_T):
            raise ValueError(f"clip {self.uid}: {len(self.frame_contents)} names for {len(self.seconds_T)} frames")

    def __len__(self) -> int:
        return len(self.seconds_T)

    def take(self, index_K: Tensor) -> VideoClip:
        """The same clip with only the frames at `index_K`, in that order; the duration stays."""
        names = self.frame_names()
        return replace(
            self,
            frames_TCHW=None if self.frames_TCHW is None else self.frames_TCHW[index_K],
            seconds_T=self.seconds_T[index_K],
            features={name: tensor[index_K] for name, tensor in self.features.items()},
            content=None,
            frame_contents=None if names is None else tuple(names[index] for index in index_K.tolist()),
        )

    def frame_names(self) -> list[str] | None:
        """A name for each frame that frames, of any clips, share only if they are equal; None if unknown."""
        if self.frame_contents is not None:
            return list(self.frame_contents)
        return None if self.content is None else [f"{self.content}:{index}" for index in range(len(self))]


@dataclass(frozen=True)
class Target:
    """The annotation of a prompt. Read only by credit, injections, the annotations engine and evaluation."""

    spans: tuple[Span, ...] = ()
    """The annotated events."""
    choice: str | None = None
    """The letter of the right option."""
    evidence: tuple[Span, ...] = ()
    """When the right option can be seen."""
    highlights: tuple[tuple[float, float], ...] = ()
    """Pairs of (seconds, saliency)."""
    demonstration: str | None = None
    """A written-out reasoning, without the answer."""
    ratings: tuple[tuple[float, ...], ...] = ()
    """Each annotator's rating of every highlight, in the order of `highlights`; empty where only means are known."""

    def reason(self, answer: Answer) -> str | None:
        """Why `answer` lacks what this target has (spans, a choice, or both); None if it lacks nothing."""
        if self.spans and answer.span_reason:
            return answer.span_reason
        return answer.choice_reason if self.choice else None


@dataclass(frozen=True)
class Layout:
    """One prompt as the model sees it."""

    ids_L: Tensor
    """Token ids, one for every vision token included."""
    positions_3L: Tensor
    """Rotary positions: time, height, width."""
    grid_thw_N3: Tensor
    """Patches in time, height and width of each of N video blocks."""
    seconds_per_grid: float | None
    """Seconds between two temporal patches; None if they are not evenly spaced."""
    frames: Tensor | None = None
    """Indices of the clip's frames that the blocks show, padding included; None: all frames in order."""

    def __len__(self) -> int:
        return len(self.ids_L)


@dataclass(frozen=True)
class Prompt:
    """One question about one clip, with its annotation."""

    uid: str
    """Stable across runs: rollouts are a function of it."""
    task: str
    """grounding, choice, grounded_qa, needle, ..."""
    source: str
    """Name of the data set."""
    clip: VideoClip
    question: str
    """The question alone, without options and instructions."""
    target: Target
    options: tuple[str, ...] = ()
    """Texts of the options, without letters."""
    template: Template | None = None
    """How the prompt is worded and how its answers are read."""
    features: Mapping[str, Tensor] = field(default_factory=dict)
    """Tensors by name, such as an embedding of the question."""
    layout: Layout | None = None
    """Written by the loader's workers; None: the policy makes it when it needs it."""


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
    """A prompt that could not be used, and why. Failures are counted and logged, never silently dropped."""

    uid: str
    reason: str
    missed: bool = False
    """Its clip was decoded before the failure, because the clip store lacked it."""


@dataclass(frozen=True)
class PromptBatch:
    """One Lightning batch: the prompts of one iteration on one rank."""

    prompts: tuple[Prompt, ...]
    weights_P: Tensor
    """1, or 0 for a prompt that only fills the place of a failed one."""
    failures: tuple[Failure, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    """Counts by name, logged as `throughput/<name>`, summed over ranks. "misses": clips that the store lacked."""
    following: PromptBatch | None = None
    """The next iteration's batch, where the engine asks for it (`Foresees`); None: unknown, or there is none."""

    def __len__(self) -> int:
        return len(self.prompts)


@dataclass(frozen=True)
class Sampling:
    """How actions are drawn. The defaults sample from the policy's whole distribution."""

    temperature: float = 1.0
    """0 is greedy: the likeliest token, or the K highest-scored frames."""
    top_p: float = 1.0
    """Sample from the likeliest tokens that together have this probability; 1.0: from all."""
    top_k: int = 0
    """Sample from this many likeliest tokens; 0: from all."""
    max_actions: int = 256
    """The most tokens of an answer, or the number of frames K."""
    group_size: int = 8
    """G, the rollouts per prompt that a step learns from, injected ones included."""

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
    """One answer to a prompt."""

    text: str
    """The answer; empty if actions are frames and nobody wrote an answer from them."""
    actions_A: Tensor | None
    """int64, in the order chosen, with the end token if the policy ended; None: encoded from `text` for the batch."""
    behavior_logprobs_A: Tensor | None = None
    """float32, under the distribution that was sampled; None if the policy did not sample the row."""
    origin: Origin = Origin.POLICY
    truncated: bool = False
    """The answer ran into `max_actions`."""
    chosen_K: Tensor | None = None
    """Indices of the frames that the policy chose (int64, in order of time), where its actions are frames."""
    option_probs_O: Tensor | None = None
    """fp32: probability of each option's letter, in the options' order, where an answerer scored the letters."""
    staleness: int | None = None
    """Iterations that the policy has learned since it sampled the row; None: none, as with every engine by itself."""


@dataclass(frozen=True)
class Reply:
    """What a frozen answerer says of the frames that it is shown."""

    text: str
    """The answer, as the prompt's template writes it."""
    option_probs_O: Tensor | None = None
    """fp32: probability of each option's letter, in the options' order; None where the text was generated freely."""
    truncated: bool = False
    """The text ran into its limit of tokens."""


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
    """The rewards of one group."""

    terms: Mapping[str, Tensor]
    """Raw terms by name, each [G]: neither shaped nor weighted."""
    total_G: Tensor
    """The sum of the shaped and weighted terms."""
    reasons: tuple[str | None, ...]
    """For each rollout why its answer could not be read; None if it could."""


@dataclass(frozen=True)
class ActionStats:
    """What a policy computes for given actions."""

    logprobs_BA: Tensor
    """fp32, at the sampling temperature."""
    entropy_BA: Tensor | None = None
    """Entropy of the distribution at every action; None unless asked for."""


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
    "behavior_logprobs_BA", "old_logprobs_BA", "staleness_B",
)  # fmt: skip


@dataclass(frozen=True)
class RolloutBatch:
    """The rows (rollouts) of several groups, padded to one length, ready to learn from."""

    prompts: tuple[Prompt, ...]
    """Each prompt once, [P]."""
    group_of_B: Tensor
    """int64: index into `prompts` of each row's prompt."""
    actions_BA: Tensor
    """int64, padded."""
    mask_BA: Tensor
    """1.0 where an action counts, 0.0 at padding."""
    origin_B: Tensor
    """`Origin` of each row."""
    advantages_B: Tensor
    weights_B: Tensor
    """0 removes a row from every term of the loss and from its denominator."""
    temperature: float = 1.0
    """At which the rows were sampled."""
    behavior_logprobs_BA: Tensor | None = None
    """Of the distribution that was sampled; NaN in rows that the policy did not sample."""
    old_logprobs_BA: Tensor | None = None
    """Of the policy before this iteration's updates; None if only one update follows."""
    staleness_B: Tensor | None = None
    """Iterations that were learned since each row was sampled; None where nothing is sampled ahead."""
    reference_logprobs: Mapping[str, Tensor] = field(default_factory=dict)
    """Of frozen scorers by name, each [B, A]."""

    def __len__(self) -> int:
        return len(self.group_of_B)

    def take(self, rows: Sequence[int] | Tensor) -> RolloutBatch:
        """A batch of these rows, in this order, with only the prompts that they need; `group_of_B` is renumbered."""
        index = torch.as_tensor(rows, dtype=torch.long)
        groups = self.group_of_B[index]
        kept, renumbered = torch.unique(groups, return_inverse=True)
        sliced = {name: _rows(value, index) for name in _ROW_FIELDS if (value := getattr(self, name)) is not None}
        references = {name: _rows(value, index) for name, value in self.reference_logprobs.items()}
        sliced["group_of_B"] = renumbered
        prompts = tuple(self.prompts[int(g)] for g in kept)
        return replace(self, prompts=prompts, reference_logprobs=references, **sliced)

    def to(self, device: torch.device | str) -> RolloutBatch:
        """The same batch with its row tensors on `device`; prompts and `group_of_B` stay where they are."""
        moved = {
            name: carried(value, device)
            for name in _ROW_FIELDS
            if name != "group_of_B" and (value := getattr(self, name)) is not None
        }
        references = {name: carried(value, device) for name, value in self.reference_logprobs.items()}
        return replace(self, reference_logprobs=references, **moved)


def _rows(values: Tensor, index: Tensor) -> Tensor:
    return values.index_select(0, index.to(values.device))
