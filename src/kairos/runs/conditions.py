"""What moves a score besides the answers themselves, read from a resolved configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from kairos.evaluation.manifest import digest_of

Tree = Mapping[str, object]


def conditions_of(config: Tree) -> dict[str, object]:
    """Frames, pixels, wording, sampler and length of answers of a resolved configuration, by short names.

    Everything is a number, a text or None, so that two evaluations can be compared name by name.
    """
    frames = _node(config, "frames")
    sampling = _node(config, "sampling")
    policy = _node(config, "policy")
    metrics = _node(config, "metrics")
    return {
        "fps": frames.get("fps"),
        "frames": _frames(frames, config.get("shown_frames")),
        "pixels": _pixels(frames),
        "decoder": _name(config.get("decoder")),
        "sampler": _sampler(config),
        "template": _described(config.get("template")),
        "max tokens": sampling.get("max_actions"),
        "policy": _name(policy),
        "processor": _described(config.get("processor"), without=("tokenizer",)),
        "metrics": digest_of(metrics)[:10] if metrics else None,
    }


def _node(config: Tree, name: str) -> Tree:
    found = config.get(name)
    return cast("Tree", found) if isinstance(found, Mapping) else {}


def _frames(frames: Tree, shown: object) -> str | None:
    if not frames:
        return None
    bounds = f"{frames.get('min_frames', 4)}..{frames.get('max_frames', 768)}"
    return bounds if shown is None else f"{shown} of {bounds}"


def _pixels(frames: Tree) -> str | None:
    if not frames:
        return None
    low, high, total = (frames.get(name) or "default" for name in ("min_pixels", "max_pixels", "total_pixels"))
    return f"{low}..{high} a frame, {total} a clip, factor {frames.get('factor', 28)}"


def _sampler(config: Tree) -> str:
    found = config.get("sampler")
    return "all" if not isinstance(found, Mapping) else _described(found)


def _described(node: object, without: tuple[str, ...] = ()) -> str:
    """The last part of what a node builds, and a hash of its options where it has any."""
    if not isinstance(node, Mapping):
        return "none"
    options = {key: value for key, value in cast("Tree", node).items() if key not in ("_target_", *without)}
    return _name(node) + (f":{digest_of(options)[:6]}" if options else "")


def _name(node: object) -> str:
    target = cast("Tree", node).get("_target_") if isinstance(node, Mapping) else None
    return str(target).rpartition(".")[2] if target else "none"
