"""Reads and writes the weights of a temporal agent as TSPO publishes them: safetensors, under one of two prefixes.

The agent lies under `selector.` beside the weights of its CLIP in the merged model, under `multiModal_align.` in a
training checkpoint.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from safetensors import safe_open
from torch import Tensor

PREFIXES = ("selector.", "multiModal_align.")
_ATTENTION = {"q": "query", "k": "key", "v": "value", "o": "projection"}
_ATTENTION_NAMES = {ours: letter for letter, ours in _ATTENTION.items()}


def read_published(path: str, unused_projection: bool = True) -> dict[str, Tensor]:
    """The state dict of a `FrameScorer` from a safetensors file, or a folder whose `*.safetensors` hold it.

    The projections of attention are known by their last letter (`ffn_q`, `ffn_k`, `ffn_v`, `ffn_o`), the two layers of
    the MLP by their order. ValueError, with the names found, where they are not six linear layers of that kind.
    """
    found = _under_a_prefix(Path(path))
    state: dict[str, Tensor] = {}
    others: dict[str, dict[str, Tensor]] = {}
    for name, tensor in found.items():
        layer, _, kind = name.rpartition(".")
        letter = re.search(r"(?:^|[._])([qkvo])(?:_proj)?$", layer)
        if letter is not None:
            state[f"{_ATTENTION[letter[1]]}.{kind}"] = tensor
        else:
            others.setdefault(layer, {})[kind] = tensor
    for ours, layer in zip(("mlp.0", "mlp.2"), sorted(others), strict=False):
        state |= {f"{ours}.{kind}": tensor for kind, tensor in others[layer].items()}
    layers = ["query", "key", "value", "projection", "mlp.0", "mlp.2"]
    if len(others) != 2 or state.keys() != {f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")}:
        raise ValueError(
            f"{path}: a temporal agent has the linear layers q, k, v and o of its attention and two of its MLP, "
            f"each with weight and bias; found {sorted(found)}"
        )
    return {
        name: tensor.float() for name, tensor in state.items() if unused_projection or not name.startswith("projection")
    }


def published_names(state: Mapping[str, Tensor], prefix: str = PREFIXES[0]) -> dict[str, Tensor]:
    """The state dict of a `FrameScorer` under the names that `read_published` reads."""
    named = {}
    for name, tensor in state.items():
        layer, _, kind = name.rpartition(".")
        theirs = f"ffn_{_ATTENTION_NAMES[layer]}" if layer in _ATTENTION_NAMES else layer
        named[f"{prefix}{theirs}.{kind}"] = tensor.contiguous()
    return named


def _under_a_prefix(path: Path) -> dict[str, Tensor]:
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        raise ValueError(f"{path} is neither a safetensors file nor a folder with one: name the agent's weights")
    names: dict[str, Path] = {}
    for file in files:
        with safe_open(file, "pt") as opened:
            names |= dict.fromkeys(opened.keys(), file)
    prefix = next((p for p in PREFIXES if any(name.startswith(p) for name in names)), None)
    if prefix is None:
        raise ValueError(f"{path} holds no temporal agent: no name begins with {' or '.join(PREFIXES)}")
    found: dict[str, Tensor] = {}
    for name, file in names.items():
        if name.startswith(prefix):
            with safe_open(file, "pt") as opened:
                found[name.removeprefix(prefix)] = opened.get_tensor(name)
    return found
