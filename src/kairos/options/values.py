"""Refuses values that an option cannot take, before anything is built from them: one place for every option.

What a part takes is what its signature says; of options that no part takes, `OPTIONS` and the yaml's own values.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, is_dataclass
from functools import cache
from pathlib import Path
from typing import cast, get_type_hints

from hydra.errors import HydraException
from hydra.utils import get_object
from omegaconf import DictConfig, ListConfig, OmegaConf

from kairos.core.spelling import close, did_you_mean
from kairos.options.allowed import allows, shown
from kairos.options.table import OPTIONS


class ValueRefused(ValueError):
    """An option has a value that it cannot take; the message names the option, the value and what is allowed."""


def check_options(config: DictConfig, files: Path) -> None:
    """ValueRefused for an option at the top of a configuration. `files`: the folder of the commands' yaml files."""
    for name, annotation in {**_flags(files), **OPTIONS}.items():
        above, _, key = name.rpartition(".")
        holder = OmegaConf.select(config, above) if above else config
        if isinstance(holder, DictConfig) and key in holder and not OmegaConf.is_missing(holder, key):
            _check(name, _plain(holder[key]), annotation)


def check_parts(node: object, root: DictConfig, place: str) -> None:
    """ValueRefused for a value at or below `node` that the part it is given to does not take.

    `node` stands at `place` in `root`. An option is named by the place where its value is written: `iterations`, not
    the `module.iterations` that refers to it.
    """
    if isinstance(node, ListConfig):
        for index in range(len(node)):
            if not OmegaConf.is_missing(node, index):
                check_parts(node[index], root, f"{place}.{index}")
    if not isinstance(node, DictConfig) or node._is_none():
        return
    written = cast("dict[object, object]", OmegaConf.to_container(node, resolve=False))
    target = written.get("_target_")
    takes = signature_of(str(target)) if target is not None and "${" not in str(target) else Signature()
    for name, raw in written.items():
        if raw == "???" or not isinstance(name, str) or (target is not None and name.startswith("_")):
            continue
        if not takes.any_name and name not in takes.names:
            likely = did_you_mean(close(name, takes.names)) or f"it takes {', '.join(takes.names)}"
            raise ValueRefused(f"{place}.{name}: {target} takes no {name}; {likely}")
        here = _source(str(raw), f"{place}.{name}", root) if isinstance(raw, str) else f"{place}.{name}"
        if OmegaConf.is_missing(node, name):  # refers to an option without a value
            continue
        value = node[name]
        if name in takes.hints:
            _check(here, _plain(value), takes.hints[name])
        check_parts(value, root, here)


def _check(name: str, value: object, annotation: object) -> None:
    if not allows(annotation, value):
        shown_value = "null" if value is None else str(value).lower() if isinstance(value, bool) else value
        raise ValueRefused(f"{name}={shown_value}: {name} must be {shown(annotation)}")


def _plain(value: object) -> object:
    """A node as plain lists and tables; what it refers to stays unresolved, which `allows` takes for any value."""
    return OmegaConf.to_container(value, resolve=False) if OmegaConf.is_config(value) else value


def _source(raw: str, place: str, root: DictConfig) -> str:
    """The place that `${...}` refers to, over any number of steps; `place` for any other value."""
    while raw.startswith("${") and raw.endswith("}") and not set("{}:") & set(raw[2:-1]):
        name = raw[2:-1]
        levels = len(name) - len(name.lstrip("."))
        parts = place.split(".")[:-levels] if levels else []
        place = ".".join([*parts, name[levels:]])
        parent, _, key = place.rpartition(".")
        holder = OmegaConf.select(root, parent) if parent else root
        written = OmegaConf.to_container(holder, resolve=False) if isinstance(holder, DictConfig) else {}
        raw = str(cast("dict[str, object]", written).get(key, ""))
    return place


@cache
def _flags(files: Path) -> dict[str, object]:
    """The options at the top of the commands' files that are true or false there."""
    found: dict[str, object] = {}
    for file in sorted(files.glob("*.yaml")):
        tree = cast("dict[object, object]", OmegaConf.to_container(OmegaConf.load(file), resolve=False))
        found |= {str(name): bool for name, value in tree.items() if isinstance(value, bool)}
    return found


@dataclass(frozen=True)
class Signature:
    """What a target takes."""

    names: tuple[str, ...] = ()
    """Of its parameters."""
    hints: Mapping[str, object] = field(default_factory=dict)
    """Their annotations, where they have one that can be read."""
    any_name: bool = True
    """Takes names beside these, or is not known."""


@cache
def signature_of(target: str) -> Signature:
    """The signature of the class or function that a dotted name says; of one that is not there, an open one."""
    try:
        part = cast("Callable[..., object]", get_object(target))
        parameters = inspect.signature(part).parameters
    except (HydraException, ImportError, AttributeError, ValueError, TypeError):
        return Signature()  # building it says why
    try:
        of_fields = not inspect.isclass(part) or is_dataclass(part)  # a field's type is named in its own class's module
        hints = get_type_hints(part if of_fields else part.__init__, include_extras=True)
    except (NameError, TypeError, AttributeError):
        hints = {}
    names = tuple(name for name, one in parameters.items() if one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL))
    return Signature(names, hints, any(one.kind == one.VAR_KEYWORD for one in parameters.values()))
