"""The parts of vLLM that are used here, as protocols: what to look at when another release is pinned (0.25 is)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from torch import Tensor, nn


class Video(Protocol):
    """A video of a request."""

    identifier: str


class Model(Protocol):
    """A model with rotary positions of three axes. `Hooks` replaces the first three methods."""

    get_mrope_input_positions: Callable[[list[int], list[Video]], tuple[Tensor, int]]
    embed_multimodal: Callable[..., Sequence[Tensor]]
    compute_logits: Callable[[Tensor], Tensor | None]

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> set[str]:
        """Writes weights under the names of a checkpoint; returns the names of the parameters that it wrote."""
        ...

    def named_parameters(self) -> Iterable[tuple[str, nn.Parameter]]: ...


class LogProbs(Protocol):
    """Of the tokens of one row."""

    logprobs: list[float]


class Row(Protocol):
    """One answer."""

    index: int
    token_ids: Sequence[int]
    logprobs: LogProbs
    finish_reason: str | None


class Reply(Protocol):
    """The answers to one prompt."""

    request_id: str
    prompt_token_ids: list[int] | None
    outputs: list[Row]
    finished: bool


class Core(Protocol):
    """`LLM.llm_engine`."""

    def add_request(self, request_id: str, prompt: Mapping[str, object], params: object) -> object: ...

    def step(self) -> list[Reply]: ...

    def has_unfinished_requests(self) -> bool: ...

    def reset_encoder_cache(self) -> None: ...


class Engine(Protocol):
    """`vllm.LLM`."""

    llm_engine: Core

    def apply_model(self, func: Callable[[Model], Model]) -> list[Model]: ...

    def reset_prefix_cache(self) -> bool: ...

    def reset_mm_cache(self) -> None: ...

    def sleep(self, level: int = 1) -> None: ...

    def wake_up(self, tags: list[str] | None = None) -> None: ...
