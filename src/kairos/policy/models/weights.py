"""Where weights come from: the shipped mini base, a run, a checkpoint of a run, a Hugging Face folder or id."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
import yaml
from torch import Tensor, nn

from kairos.policy.models.adapter_state import FACTS

SHIPPED = "mini_base"


@dataclass(frozen=True)
class Weights:
    """`base` is what `from_pretrained` loads (configuration, tokenizer, weights); `checkpoint` replaces its weights.

    A checkpoint that holds an adapter alone is added to the weights that it was trained `over`.
    """

    base: str
    checkpoint: Path | None = None
    over: Weights | None = None

    def put_into(self, model: nn.Module) -> None:
        """Give a model, loaded from `base`, the checkpoint's weights; nothing without a checkpoint."""
        if self.over is not None:
            self.over.put_into(model)
        if self.checkpoint is not None:
            state = _policy_state(self.checkpoint)
            named = {name.removeprefix("model."): value for name, value in state.items()}
            if FACTS in named:
                _add(named, model)
            else:
                model.load_state_dict(named)


def locate(weights: str) -> Weights:
    """`mini_base`, `runs/<name>`, `runs/<name>/checkpoints/<file>.ckpt`, a folder or an id. ValueError says why not."""
    if weights == SHIPPED:
        return Weights(str(Path(__file__).parent / SHIPPED))
    path = Path(weights)
    if path.suffix == ".ckpt":
        if not path.exists():
            raise ValueError(f"policy.weights={weights}: there is no such checkpoint")
        return _of(path.parent.parent, path)
    if not (path / "metrics.jsonl").exists():
        return Weights(weights)
    if (path / "model" / "config.json").exists():
        return Weights(str(path / "model"))
    newest = max((path / "checkpoints").glob("iteration-*.ckpt"), default=None)
    if newest is None:
        raise ValueError(f"policy.weights={weights}: the run has neither model/ nor a checkpoint yet")
    return _of(path, newest)


def _of(run: Path, checkpoint: Path) -> Weights:
    if FACTS not in _policy_state(checkpoint):
        return Weights(_base_of(run), checkpoint)
    start = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))["policy"].get("weights")
    if start is None:
        raise ValueError(f"{checkpoint} holds an adapter over random weights: nothing can be started from it")
    over = locate(start)
    return Weights(over.base, checkpoint, over)


def _policy_state(checkpoint: Path) -> dict[str, Tensor]:
    """The policy's tensors, names without "policy."."""
    saved = cast("dict[str, Tensor]", torch.load(checkpoint, "cpu", weights_only=True, mmap=True)["state_dict"])
    return {name.removeprefix("policy."): value for name, value in saved.items() if name.startswith("policy.")}


@torch.no_grad()
def _add(adapter: dict[str, Tensor], model: nn.Module) -> None:
    """W + scaling * B A for every pair of matrices."""
    scaling = float(adapter[FACTS][0])
    for name, a in adapter.items():
        layer, found, _ = name.partition(".lora_A.")
        if found:
            weight = model.get_parameter(f"{layer}.weight")
            weight += scaling * (adapter[name.replace(".lora_A.", ".lora_B.")] @ a).to(weight)


def _base_of(run: Path) -> str:
    """The folder or id that a run itself was started from, which has the same shapes and tokenizer."""
    if (run / "model" / "config.json").exists():
        return str(run / "model")
    config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    base = config["policy"].get("weights") or config["processor"]["tokenizer"]
    return locate(base).base
