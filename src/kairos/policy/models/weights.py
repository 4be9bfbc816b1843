"""Finds weights by name: the shipped mini models, a run, its checkpoint, a Hugging Face folder or id."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import yaml
from torch import Tensor, nn

from kairos.policy.models.adapter_state import FACTS
from kairos.policy.models.checkpoints import newest_checkpoint, policy_state

SHIPPED = "mini_base"
SHIPPED_ANSWERER = "mini_answerer"
SHIPPED_CLIP = "mini_clip"


@dataclass(frozen=True)
class Weights:
    """Where a model's weights are."""

    base: str
    """Folder or id for `from_pretrained`: configuration, tokenizer, weights."""
    checkpoint: Path | None = None
    """A checkpoint of ours, whose weights replace those of `base`."""
    over: Weights | None = None
    """Where `checkpoint` holds an adapter only: the weights that it was trained over, and is added to."""

    def put_into(self, model: nn.Module) -> None:
        """Load the checkpoint's weights into a model that was loaded from `base`; do nothing without a checkpoint."""
        if self.over is not None:
            self.over.put_into(model)
        if self.checkpoint is not None:
            state = policy_state(self.checkpoint)
            named = {name.removeprefix("model."): value for name, value in state.items()}
            if FACTS in named:
                _add_adapter(named, model)
            else:
                model.load_state_dict(named)


def locate(weights: str) -> Weights:
    """Find shipped weights (`mini_base`, `mini_answerer`, `mini_clip`), `runs/<name>`, a run's .ckpt, a folder, an id.

    ValueError when a checkpoint does not exist, or a run has none.
    """
    if weights in (SHIPPED, SHIPPED_ANSWERER, SHIPPED_CLIP):
        return Weights(str(Path(__file__).parent / "shipped" / weights))
    path = Path(weights)
    if path.suffix == ".ckpt":
        if not path.exists():
            raise ValueError(f"policy.weights={weights}: there is no such checkpoint")
        return _of_checkpoint(path.parent.parent, path)
    if not (path / "metrics.jsonl").exists():
        return Weights(weights)
    if (path / "model" / "config.json").exists():
        return Weights(str(path / "model"))
    newest = newest_checkpoint(path)
    if newest is None:
        raise ValueError(f"policy.weights={weights}: the run has neither model/ nor a checkpoint yet")
    return _of_checkpoint(path, newest)


def _of_checkpoint(run: Path, checkpoint: Path) -> Weights:
    if FACTS not in policy_state(checkpoint):
        return Weights(_base_of(run), checkpoint)
    start = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))["policy"].get("weights")
    if start is None:
        raise ValueError(f"{checkpoint} holds an adapter over random weights: nothing can be started from it")
    over = locate(start)
    return Weights(over.base, checkpoint, over)


@torch.no_grad()
def _add_adapter(adapter: dict[str, Tensor], model: nn.Module) -> None:
    """Add scaling * B A to the weight of every adapted layer."""
    scaling = float(adapter[FACTS][0])
    for name, a in adapter.items():
        layer, found, _ = name.partition(".lora_A.")
        if found:
            weight = model.get_parameter(f"{layer}.weight")
            weight += scaling * (adapter[name.replace(".lora_A.", ".lora_B.")] @ a).to(weight)


def _base_of(run: Path) -> str:
    """The folder or id with a run's configuration and tokenizer: its own model/, or what it was started from."""
    if (run / "model" / "config.json").exists():
        return str(run / "model")
    config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    base = config["policy"].get("weights") or config["processor"]["tokenizer"]
    return locate(base).base
