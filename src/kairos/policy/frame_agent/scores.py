"""A trained temporal agent as the scores of a frame sampler: what any method and evaluation can choose frames by."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import cast

import torch
import yaml
from torch import Tensor

from kairos.core.seals import read_state
from kairos.core.types import Prompt
from kairos.policy.frame_agent.agent import TemporalAgent
from kairos.policy.frame_agent.published import read_published
from kairos.policy.models.checkpoints import newest_checkpoint, policy_state

HEADS, WINDOW = 8, 12  # TSPO's (arXiv 2508.04369): its published weights do not say them
_NEEDED = {"query.weight", "key.weight", "value.weight", "mlp.0.weight", "mlp.2.weight"}


@dataclass(frozen=True)
class AgentScores:
    """The scores of an agent, on the CPU, without gradients: a `FrameScores`.

    The agent is loaded at the first call. Only the fields are pickled: a loader's worker loads its own. ValueError, at
    the first call, where `agent` names no agent; at any, where the features are not those that the agent reads.
    """

    agent: str | None
    """A run of policy=frame_agent (its newest checkpoint), a checkpoint of one, or a published agent's safetensors file
    or folder; None is refused."""
    heads: int | None = None
    """Of published weights. None: what the config.json beside them says (exports write it), or TSPO's 8.
    A run knows its own."""
    window: int | None = None
    """Frames. None: what the config.json beside the weights says, or TSPO's 12. A run knows its own."""

    def __post_init__(self) -> None:
        if self.agent is None:
            raise ValueError(
                "scores of an agent need agent=<run of policy=frame_agent, its checkpoint, or safetensors>"
            )

    def __call__(self, prompt: Prompt) -> Tensor:
        """fp32 [T]."""
        with torch.no_grad():
            return self.loaded.scores_of(prompt)

    @cached_property
    def loaded(self) -> TemporalAgent:
        """The agent, loaded when it is first asked for."""
        assert self.agent is not None
        path = Path(self.agent)
        if path.suffix == ".ckpt":
            return _of_checkpoint(path.parent.parent, path)
        if (path / "config.yaml").is_file():
            newest = newest_checkpoint(path)
            if newest is None:
                raise ValueError(f"agent={self.agent}: the run has no checkpoint yet")
            return _of_checkpoint(path, newest)
        if not path.exists():
            raise ValueError(
                f"agent={self.agent}: there is no such run, checkpoint or safetensors file; train one with "
                "policy=frame_agent"
            )
        said = _said_beside(path)
        heads = said.get("heads", HEADS) if self.heads is None else self.heads
        window = said.get("window", WINDOW) if self.window is None else self.window
        return _filled(read_published(self.agent), heads, window)

    def __getstate__(self) -> dict[str, object]:
        return {name: self.__dict__[name] for name in self.__dataclass_fields__}


def _of_checkpoint(run: Path, checkpoint: Path) -> TemporalAgent:
    if not checkpoint.exists():
        raise ValueError(f"agent={checkpoint}: there is no such checkpoint")
    state = policy_state(checkpoint)
    if not state.keys() >= _NEEDED:
        raise ValueError(f"agent={run}: the policy of this run chooses no frames; name a run of policy=frame_agent")
    config = run / "config.yaml"
    if not config.is_file():
        raise ValueError(f"agent={checkpoint}: {config} is missing, which says how many heads the agent has")
    sizes = cast("Mapping[str, int]", yaml.safe_load(read_state(config))["policy"])
    return _filled(state, sizes.get("heads", HEADS), sizes.get("window", WINDOW))


def _said_beside(weights: Path) -> Mapping[str, int]:
    """What the config.json of an exported agent says of it under `selector`; empty for others."""
    config = (weights if weights.is_dir() else weights.parent) / "config.json"
    if not config.is_file():
        return {}
    try:
        said: object = json.loads(config.read_text(encoding="utf-8")).get("selector", {})
    except (ValueError, AttributeError) as error:
        raise ValueError(f"agent={weights}: {config} is not a JSON object ({error}); export the agent again") from error
    if not isinstance(said, dict) or not all(isinstance(value, int) for value in said.values()):
        raise ValueError(f"agent={weights}: selector in {config} must give whole numbers, got {said}; export it again")
    return said


def _filled(state: Mapping[str, Tensor], heads: int, window: int) -> TemporalAgent:
    width, unused = state["query.weight"].shape[0], "projection.weight" in state
    agent = TemporalAgent(width, heads, window, unused_projection=unused)
    agent.load_state_dict(state)
    return agent.eval()
