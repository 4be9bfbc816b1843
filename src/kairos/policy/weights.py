"""Where weights come from: the shipped mini base, a run, a checkpoint of a run, a Hugging Face folder or id."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
import yaml
from torch import Tensor

SHIPPED = "mini_base"


@dataclass(frozen=True)
class Weights:
    """`base` is what `from_pretrained` loads (configuration, tokenizer, weights); `checkpoint` replaces its weights."""

    base: str
    checkpoint: Path | None = None

    def state(self) -> dict[str, Tensor] | None:
        """The policy's tensors of the checkpoint, names without "policy."; None where there is no checkpoint."""
        if self.checkpoint is None:
            return None
        saved = cast(
            "dict[str, Tensor]", torch.load(self.checkpoint, map_location="cpu", weights_only=True)["state_dict"]
        )
        return {name.removeprefix("policy."): value for name, value in saved.items() if name.startswith("policy.")}


def locate(weights: str) -> Weights:
    """`mini_base`, `runs/<name>`, `runs/<name>/checkpoints/<file>.ckpt`, a folder or an id. ValueError says why not."""
    if weights == SHIPPED:
        return Weights(str(Path(__file__).parent / SHIPPED))
    path = Path(weights)
    if path.suffix == ".ckpt":
        if not path.exists():
            raise ValueError(f"policy.weights={weights}: there is no such checkpoint")
        return Weights(_base_of(path.parent.parent), path)
    if not (path / "metrics.jsonl").exists():
        return Weights(weights)
    if (path / "model" / "config.json").exists():
        return Weights(str(path / "model"))
    newest = max((path / "checkpoints").glob("iteration-*.ckpt"), default=None)
    if newest is None:
        raise ValueError(f"policy.weights={weights}: the run has neither model/ nor a checkpoint yet")
    return Weights(_base_of(path), newest)


def _base_of(run: Path) -> str:
    """The folder or id that a run itself was started from, which has the same shapes and tokenizer."""
    if (run / "model" / "config.json").exists():
        return str(run / "model")
    config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    base = config["policy"].get("weights") or config["processor"]["tokenizer"]
    return locate(base).base
