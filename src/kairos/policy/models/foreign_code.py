"""Refuses a model's folder that asks transformers for code, or for weights, from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

_ADAPTER = "adapter_config.json"
_KERNELS = ("attn_implementation", "experts_implementation")


def check_model_folder(folder: Path) -> None:
    """ValueError for a folder whose config.json names a repository of kernels, or that holds an adapter beside or
    instead of a model. Classes of the folder's own (`auto_map`) are never loaded: `trust_remote_code` is false.
    """
    if (adapter := folder / _ADAPTER).is_file():
        base = _facts(adapter).get("base_model_name_or_path")
        raise ValueError(
            f"{folder} holds an adapter over {base!r} ({_ADAPTER}), which transformers would load from there: name the "
            "folder of a whole model, such as one that scripts/export.py wrote"
        )
    config = folder / "config.json"
    for key, value in _kernels(_facts(config)) if config.is_file() else ():
        raise ValueError(
            f"{config} names kernels from a repository, which would be downloaded and run: {key}: {value!r}; remove "
            "the key"
        )


def _facts(file: Path) -> dict[str, object]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{file} must hold an object with keys, got {type(found).__name__}")
    return found


def _kernels(facts: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """The keys, at any depth, that choose an implementation by the name of a repository."""
    for key, value in facts.items():
        if key.removesuffix("_internal").endswith(_KERNELS) and "/" in str(value):
            yield key, value
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, dict):
                yield from _kernels(inner)
