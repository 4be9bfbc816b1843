"""What a `vllm serve` process can do for a training run beyond answering: take weights, positions and video features.

`vllm serve --worker-extension-cls kairos.rollout.vllm.servers.worker.Worker` (`kairos serve` says it) gives vLLM's
worker the methods of `Worker`; a trainer calls them by `/collective_rpc`. This module is imported before the model is
made, and prepares vLLM for it as `starting.start` does in a training process.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from safetensors import safe_open
from torch import Tensor

from kairos.rollout.vllm.hooks import Hooks, continued
from kairos.rollout.vllm.servers.channel import Channel
from kairos.rollout.vllm.servers.wire import FEATURES, POSITIONS
from kairos.rollout.vllm.starting import prepare
from kairos.rollout.vllm.theirs import Model, Video
from kairos.rollout.vllm.weights import take

prepare()


class Held(Protocol):
    """A tensor of a video block that came with a request."""

    data: Tensor


class SentVideo(Video, Protocol):
    """A video block of a request, with what came with it."""

    data: dict[str, Held] | None


@dataclass
class Served(Hooks):
    """`Hooks` whose positions and features come with each request: a server keeps nothing for a trainer."""

    def positions(self, input_tokens: list[int], mm_features: list[SentVideo]) -> tuple[Tensor, int]:
        if not mm_features:
            return super().positions(input_tokens, [])
        parts = [video.data[POSITIONS].data for video in mm_features if video.data is not None]
        return continued(torch.cat(parts, dim=1).long().cpu(), len(input_tokens))

    def embed(self, **fields: object) -> tuple[Tensor, ...]:
        features = fields[FEATURES]
        assert isinstance(features, Tensor | list)
        return tuple(block.to(self.dtype) for block in features)


class Worker:
    """Methods that vLLM's worker gets. What goes in and out is JSON."""

    def kairos_holds(self) -> dict[str, object]:
        """The version of the weights that it holds (None: random ones), their dtype, and the longest row in tokens."""
        return {
            "version": getattr(self, "_kairos_version", None),
            "dtype": str(_dtype(self._kairos_model())).removeprefix("torch."),
            "context": self.model_config.max_model_len,  # type: ignore[attr-defined]
            "device": next(iter(self._kairos_model().named_parameters()))[1].device.type,
        }

    def kairos_load(self, folder: str, version: str, banned: list[int]) -> dict[str, object]:
        """Load the safetensors files of `folder`; the sum of the bits that the model holds then."""
        return self._kairos_take(_files(Path(folder)), version, banned)

    def kairos_join(self, host: str, port: int, first: int, size: int, seconds: float) -> None:
        """Meet the trainer, for `kairos_receive`; `first` is the number of this server's first worker."""
        device = next(iter(self._kairos_model().named_parameters()))[1].device
        rank = first + self.rank  # type: ignore[attr-defined]
        self._kairos_channel = Channel.joined(host, port, rank, size, device, seconds)

    def kairos_receive(self, listed: list[tuple[str, list[int]]], version: str, banned: list[int]) -> dict[str, object]:
        """As `kairos_load`, for weights that the trainer passes on by the channel."""
        channel: Channel | None = getattr(self, "_kairos_channel", None)
        if channel is None:
            raise ValueError("this server has not met the trainer: it was started anew")
        return self._kairos_take(channel.incoming(listed, _dtype(self._kairos_model())), version, banned)

    def _kairos_take(self, named: Iterable[tuple[str, Tensor]], version: str, banned: list[int]) -> dict[str, object]:
        model = self._kairos_model()
        self._kairos_version = None  # until all are written
        if not getattr(model, "kairos_hooks", False):
            Served(tuple(banned), _dtype(model)).install(model)
            model.kairos_hooks = True  # type: ignore[attr-defined]
        for buffer in getattr(model, "deepstack_input_embeds", []):
            buffer.zero_()
        arrived = take(model, named, _dtype(model))
        self._kairos_version = version
        return {"sum": str(arrived)}

    def _kairos_model(self) -> Model:
        return self.get_model()  # type: ignore[attr-defined, no-any-return]


def _dtype(model: Model) -> torch.dtype:
    return next(parameter.dtype for _, parameter in model.named_parameters())


def _files(folder: Path) -> Iterator[tuple[str, Tensor]]:
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        raise ValueError(f"{folder} has no weights, or this server cannot see it: rollout.exchange is a folder of both")
    for path in paths:
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118
                yield name, file.get_tensor(name)
