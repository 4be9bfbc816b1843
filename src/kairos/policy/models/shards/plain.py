"""Writes a tree of plain values and tensors as JSON and reads it back, equal to the last bit and without any pickle."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

_MARKS = ("$map", "$tuple", "$float", "$tensor")


def packed(tree: object, name_of: Callable[[str, object], str | None], key: str = "") -> object:
    """`tree` as JSON holds it. `name_of` takes a leaf's key and the leaf, and names a tensor; None for a plain value.

    Keys of mappings that are no texts, tuples and floats that are not finite are marked. TypeError, with the key, for
    what is neither plain nor a tensor.

    >>> packed({"betas": (0.9, 0.99), "best": float("-inf")}, lambda key, leaf: None)
    {'betas': {'$tuple': [0.9, 0.99]}, 'best': {'$float': '-inf'}}
    """
    name = name_of(key, tree)
    if name is not None:
        return {"$tensor": name}
    if isinstance(tree, Mapping):
        branches = [(k, packed(branch, name_of, f"{key}/{k}" if key else str(k))) for k, branch in tree.items()]
        if all(isinstance(k, str) and k not in _MARKS for k, _ in branches):
            return dict(branches)
        return {"$map": [[packed(k, name_of, key), branch] for k, branch in branches]}
    if isinstance(tree, list | tuple):
        parts = [packed(part, name_of, f"{key}/{place}") for place, part in enumerate(tree)]
        return {"$tuple": parts} if isinstance(tree, tuple) else parts
    if type(tree) is float and not math.isfinite(tree):
        return {"$float": repr(tree)}
    if tree is None or type(tree) in (bool, int, float, str):
        return tree
    raise TypeError(f"{key}: a {type(tree).__name__} is no plain value, so a sharded checkpoint cannot hold it")


def unpacked(node: object, tensor: Callable[[str], object]) -> object:
    """What `packed` was given; `tensor` takes a tensor's name. ValueError for what `packed` never writes.

    >>> unpacked({"betas": {"$tuple": [0.9, 0.99]}, "best": {"$float": "-inf"}}, str)
    {'betas': (0.9, 0.99), 'best': -inf}
    """
    if isinstance(node, list):
        return [unpacked(part, tensor) for part in node]
    if not isinstance(node, dict):
        return node
    mark = next((mark for mark in _MARKS if mark in node), None)
    if mark is None:
        return {name: unpacked(branch, tensor) for name, branch in node.items()}
    held = node[mark]
    if len(node) == 1:
        if mark == "$tensor" and isinstance(held, str):
            return tensor(held)
        if mark == "$float" and held in ("inf", "-inf", "nan"):
            return float(held)
        if mark == "$tuple" and isinstance(held, list):
            return tuple(unpacked(part, tensor) for part in held)
        if mark == "$map" and isinstance(held, list) and all(isinstance(pair, list) for pair in held):
            return {unpacked(k, tensor): unpacked(branch, tensor) for k, branch in held}
    raise ValueError(f"{mark} must stand alone and hold what it says, got {str(node)[:80]}")
