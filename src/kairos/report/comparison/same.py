"""What of several groups of runs may be compared: rewards of one definition, and scores on the same prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kairos.report.comparison.groups import Group
from kairos.runs.series import TOTAL_REWARD, reward_terms

_PLACES = ("reward", "module.reward")
_SCALES = ("shape", "weight")
"""What makes a part of the total of a term, and leaves its raw value as it is."""
_READING = ("template", "loader", "processor", "enrich", "progress", "folder", "workers", "_partial_")
"""What says how the prompts of a split are worded and read, not which they are."""


def rewards(groups: Sequence[Group]) -> list[str]:
    """The logged rewards that mean the same in all groups.

    The total where all groups have one reward, with its weights and shapes; otherwise the raw terms that every run logs
    and that are defined alike. A group without a configuration says nothing against it.
    """
    known = [group.config for group in groups if group.config]
    if all(_below(config, _PLACES) == _below(known[0], _PLACES) for config in known):
        return [TOTAL_REWARD]
    logged = [run.metrics.keys() for group in groups for run in group.runs.values()]
    terms = reward_terms(dict.fromkeys(name for names in logged for name in names))
    return [name for name in terms if all(name in names for names in logged) and _defined_alike(name, known)]


def one_validation_set(groups: Sequence[Group]) -> bool:
    """Whether all groups are known to validate on the same prompts while they train: same data, as many of them.

    How prompts are worded and how clips are read may differ. A group without a configuration says nothing against it.
    """
    known = [_validated(group.config) for group in groups if group.config]
    return all(each == known[0] for each in known)


def another_set(mine: Mapping[str, float], theirs: Mapping[str, float]) -> bool:
    """Whether two scores by prompt are known to be over different prompts."""
    return bool(mine) and bool(theirs) and mine.keys() != theirs.keys()


def _validated(config: Mapping[str, object]) -> dict[str, object]:
    records = _below(config, ["data.val.records"])
    asked = records or _below(config, ["data.val"])
    counted = _below(config, ["data.seed", "callbacks.validation.count", "callbacks.validation.split"])
    return counted | {key: value for key, value in asked.items() if not set(key.split(".")) & set(_READING)}


def _defined_alike(logged: str, configs: Sequence[Mapping[str, object]]) -> bool:
    term = logged.removeprefix("reward/")
    found = [_raw(_below(config, [f"{place}.terms.{term}" for place in _PLACES])) for config in configs]
    return all(each == found[0] for each in found)


def _below(config: Mapping[str, object], keys: Sequence[str]) -> dict[str, object]:
    return {key: value for key, value in config.items() if any(key == k or key.startswith(f"{k}.") for k in keys)}


def _raw(term: Mapping[str, object]) -> dict[str, object]:
    """A term without what scales it: `reward.terms.iou.shape...`, `reward.terms.iou.weight`."""
    place = {key: key.partition("terms.")[2].split(".")[1:2] for key in term}
    return {key: value for key, value in term.items() if not set(place[key]) & set(_SCALES)}
