"""Groups runs that differ only in their seed, and lists the configuration keys in which groups differ."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import yaml

from kairos.runs.folder import PlainLoader
from kairos.runs.keys import dotted, key_of, meaning
from kairos.runs.names import digest, in_name
from kairos.runs.read import Run
from kairos.runs.renamed import added, with_new_names

_WIRING = ("module", "datamodule", "loader")


@dataclass(frozen=True)
class Group:
    """Runs of one configuration."""

    name: str
    runs: Mapping[str, Run]
    """By seed."""
    config: Mapping[str, object]
    """Values by dotted key, without seeds and without keys that only name the run."""


def grouped(runs: Sequence[Run]) -> list[Group]:
    """Groups in the order of their first runs. A run without config.yaml is grouped by its folder's name."""
    together: dict[str, list[Run]] = {}
    for run in runs:
        config = comparable(run)
        key = json.dumps(config, sort_keys=True, default=str) if config else without_seed(run.name)
        together.setdefault(key, []).append(run)
    members = list(together.values())
    names = _unique(_names([group[0] for group in members]), members)
    return [Group(name, _by_seed(group), comparable(group[0])) for name, group in zip(names, members, strict=True)]


def comparable(run: Run) -> dict[str, object]:
    """A run's configuration by dotted keys, without those that name or place the run; empty without config.yaml."""
    tree = _config(run)
    if not tree:
        return {}
    folder, seed = str(tree.get("folder")), tree.get("seed")
    found: dict[str, object] = {}
    for key, value in dotted(tree).items():
        if not meaning(key).compared or key.split(".")[-1] == "seed" or added(key, value):
            continue
        if isinstance(value, str):
            value = re.sub(rf"seed([=_-]?){seed}\b", r"seed\1*", value.replace(folder, "<folder>"))
        found[key] = value
    for override in _overrides(run):
        key, _, value = override.partition("=")
        if key != "seed" and key.endswith("seed"):
            found[key] = value
    return found


def config_difference(groups: Sequence[Group]) -> dict[str, list[object]]:
    """The keys in which the groups differ, with each group's value (None where it has none).

    A slot that other nodes such as `module` refer to is listed once, by its shortest key.
    """
    keys = {key: None for group in groups for key in group.config}
    values = {key: [group.config.get(key) for group in groups] for key in keys}
    different = {key: found for key, found in values.items() if any(value != found[0] for value in found)}
    shortest: dict[str, str] = {}
    for key in sorted(different, key=lambda key: (key.split(".")[0] in _WIRING, key.count("."), key)):
        shortest.setdefault(f"{key.split('.')[-1]} {different[key]!r}", key)
    return {key: different[key] for key in different if key in shortest.values()}


def without_seed(name: str) -> str:
    """A job's folder name without its seed.

    >>> without_seed("seed=1,shape=log_exp")
    'shape=log_exp'
    """
    return re.sub(r"(^|(?<=,))seed=[^,]*,?", "", name).strip(",") or "all seeds"


def _names(firsts: Sequence[Run]) -> list[str]:
    """Names of groups: the overrides that they do not share; a run that was given a name keeps it."""
    parts = [_parts(run) for run in firsts]
    shared = set(parts[0]).intersection(*parts) if len(parts) > 1 else set()
    return [",".join(p for p in mine if p not in shared) or "otherwise the same" for mine in parts]


def _parts(run: Run) -> list[str]:
    if "=" not in run.name and not run.name.endswith(f"-{digest(_overrides(run))}"):
        return [run.name]
    overrides = [o for o in _overrides(run) if in_name(o) and key_of(o) != "seed"]
    return sorted(overrides) or without_seed(run.name).split(",")


def _unique(names: Sequence[str], members: Sequence[Sequence[Run]]) -> list[str]:
    return [
        name if names.count(name) == 1 else f"{name} ({group[0].name})"
        for name, group in zip(names, members, strict=True)
    ]


def _by_seed(runs: Sequence[Run]) -> dict[str, Run]:
    """Runs by seed; several runs of one seed are told apart by their folders' names."""
    found: dict[str, Run] = {}
    for run in runs:
        stated = _config(run).get("seed")
        in_name = re.search(r"(?:^|,)seed=([^,]*)", run.name)
        seed = str(stated) if stated is not None else in_name[1] if in_name else run.name
        found[seed if seed not in found else f"{seed} ({run.name})"] = run
    return found


def _config(run: Run) -> dict[str, object]:
    tree = with_new_names(yaml.load(run.config, PlainLoader)) if run.config else None
    return tree if isinstance(tree, dict) else {}


def _overrides(run: Run) -> list[str]:
    listed = yaml.load(run.overrides, PlainLoader) if run.overrides else None
    return [str(item) for item in listed] if isinstance(listed, list) else []
