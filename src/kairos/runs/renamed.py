"""Translates configurations of older runs: renamed modules and members, and keys that did not exist yet."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import kairos
from kairos.runs.keys import key_of

RENAMED = {
    **{
        f"kairos.data.{name}": f"kairos.data.readers.{name}"
        for name in (
            "activitynet", "charades", "jsonl", "multiple_choice", "nextgqa", "qvhighlights", "temporal_r1", "tempsamp",
            "time_r1", "timelens", "timezero",
        )
    },
    **{
        f"kairos.core.answers.{name}": f"kairos.core.grammar.{name}"
        for name in ("Grammar", "STRICT", "STRICT_LIST", "LENIENT", "LENIENT_LIST")
    },
    **{f"kairos.core.patterns.{name}": f"kairos.core.json_patterns.{name}" for name in ("JsonKeys", "JsonList")},
    "kairos.curriculum.draws": "kairos.curriculum.subsampling",
    "kairos.curriculum.filters": "kairos.curriculum.criteria",
    "kairos.data.mini": "kairos.data.mini.world",
    "kairos.data.reading": "kairos.data.readers.annotation_file",
    "kairos.data.choosing": "kairos.data.limits",
    "kairos.policy.adapters": "kairos.policy.models.lora",
    "kairos.policy.architecture": "kairos.policy.models.architecture",
    "kairos.policy.families.base": "kairos.policy.family",
    "kairos.policy.flash4": "kairos.policy.network.attention.flash_attention_4",
    "kairos.policy.gathered": "kairos.policy.network.attention.gathered_sdpa",
    "kairos.policy.mini": "kairos.policy.models.mini_config",
    "kairos.policy.packing": "kairos.policy.scoring.packing",
    "kairos.policy.frame_agent.TemporalAgent": "kairos.policy.frame_agent.agent.TemporalAgent",
    "kairos.policy.temporal_agent": "kairos.policy.frame_agent.agent",
    "kairos.policy.varlen": "kairos.policy.network.attention.varlen",
    "kairos.policy.network.attention.varlen.Automatic": "kairos.policy.network.attention.automatic.Automatic",
    "kairos.train.datamodule": "kairos.train.feed.datamodule",
    "kairos.train.strategies": "kairos.train.devices.strategies",
    "kairos.video.decoders": "kairos.video.decoding.decoders",
    "kairos.video.features": "kairos.video.store.features",
    "kairos.video.store": "kairos.video.store.clips",
    "kairos.video.store.features": "kairos.video.store.feature_stores",
}  # fmt: skip
"""Old dotted names of modules and members, with their successors, which may have been renamed again."""

ADDED: Mapping[str, object] = {
    "answerer": None,
    "enrich": {},
    "*.enrich": {},
    "shown_frames": None,
    "agent": None,
    "picks": None,
    "references": {},
    "module.references": {},
    "*.family.single_frames": False,
    "*frames.shown": None,
    "*loader.budget.shown": None,
    "*.invalid": "error",
    "unlabelled": "error",
    "*.unlabelled": "error",
    "data.invalid": "skip",  # of readers that always left such rows out
    "*records.invalid": "skip",
    "*objective.terms.*.reference": "start",
    "*policy.unused_projection": False,
    "*policy.weights": None,
    "*policy.choice._target_": "kairos.policy.frame_agent.choice.Independent",
}
"""Keys that older configurations lack (patterns), with the value that gives the old behaviour."""

OPTIONS: Mapping[str, tuple[str, ...]] = {
    f"experiment=mini/{row}_{clips}": (f"experiment=mini/{row}", f"data.clips={clips}")
    for row in ("grpo", "sft", "tempsamp_r1")
    for clips in (50, 100, 200)
}
"""Options that had files of their own, and the overrides that compose the same."""

_SWITCHES = ("callbacks.evaluation.before", "callbacks.evaluation.after")
"""What was `evaluate=` before."""

_PER_GROUP = "kairos.credit.advantages.PerGroup"
_RULES = {
    "kairos.credit.annotation_as_rollout.AnnotationAsRollout",
    *(f"kairos.credit.advantages.{n}" for n in ("GroupNormalized", "MeanCentred", "LeaveOneOut", "Anchored", "One")),
}
"""Rules for one group, which older configurations name as the advantage; today `PerGroup` applies them."""

_NAME = re.compile(r"\bkairos(?:\.\w+)+")
_PACKAGE = Path(str(kairos.__file__)).parent


def new_name(name: str) -> str:
    """Today's form of a dotted name; a name that was never renamed is returned unchanged.

    >>> new_name("kairos.video.store.ClipStore"), new_name("kairos.video.store.clips.ClipStore")
    ('kairos.video.store.clips.ClipStore', 'kairos.video.store.clips.ClipStore')
    """
    parts = name.split(".")
    for length in range(len(parts), 1, -1):
        head = ".".join(parts[:length])
        if _is_module(parts[:length]):
            return name
        if head in RENAMED:
            return new_name(".".join([RENAMED[head], *parts[length:]]))
    return name


def renamed(text: str) -> str:
    """A text in which every old dotted name is replaced."""
    return _NAME.sub(lambda match: new_name(match[0]), text)


def new_overrides(overrides: Sequence[str], config: Mapping[str, object]) -> list[str]:
    """The overrides of a run with this configuration, by today's options, names and keys.

    What has become of an option that is no file any more comes first, so that it yields to the run's other overrides.
    """
    options = [new for override in overrides for new in OPTIONS.get(override, ())]
    evaluated = _evaluated(config)
    kept = [o for o in overrides if o not in OPTIONS and not (evaluated and key_of(o) in _SWITCHES)]
    return [*options, *evaluated, *(new_override(override, config) for override in kept)]


def _evaluated(config: Mapping[str, object]) -> list[str]:
    """`evaluate=` of a run that was begun when `callbacks.evaluation` had two switches; nothing for any other run."""
    callbacks = config.get("callbacks")
    if "evaluate" in config or not isinstance(callbacks, Mapping):
        return []
    found = callbacks.get("evaluation")
    before, after = (isinstance(found, Mapping) and bool(found.get(when)) for when in ("before", "after"))
    return [f"evaluate={'both' if before else 'after' if after else 'none'}"]


def new_override(override: str, config: Mapping[str, object]) -> str:
    """An override of an older run, whose configuration is `config`, in today's names and keys."""
    advantage = config.get("advantage")
    inner = advantage.get("advantage") if isinstance(advantage, Mapping) else None
    for key, node in (("advantage.advantage", inner), ("advantage", advantage)):
        if _is_rule(node) and override.lstrip("+~").startswith(f"{key}."):
            override = override.replace(f"{key}.", f"{key}.rule.", 1)
    return renamed(override)


def old_names(tree: object) -> dict[str, str]:
    """The old dotted names and options in a configuration or in overrides, each with today's form."""
    if isinstance(tree, Mapping):
        return {old: new for branch in tree.values() for old, new in old_names(branch).items()}
    if isinstance(tree, Sequence) and not isinstance(tree, str):
        return {old: new for branch in tree for old, new in old_names(branch).items()}
    if isinstance(tree, str) and tree in OPTIONS:
        return {tree: " ".join(OPTIONS[tree])}
    names = _NAME.findall(tree) if isinstance(tree, str) else []
    return {name: new_name(name) for name in names if new_name(name) != name}


def with_new_names(tree: object) -> object:
    """A configuration with today's names, and with `PerGroup` around a rule for one group."""
    if isinstance(tree, Mapping):
        found = {key: with_new_names(branch) for key, branch in tree.items()}
        if _is_rule(found.get("advantage")):
            found["advantage"] = {"_target_": _PER_GROUP, "rule": found["advantage"]}
        return found
    if isinstance(tree, list):
        return [with_new_names(branch) for branch in tree]
    return renamed(tree) if isinstance(tree, str) else tree


def added(key: str, value: object) -> bool:
    """Whether this dotted key and value mean the same as an older configuration without the key."""
    return any(fnmatchcase(key, pattern) and value == default for pattern, default in ADDED.items())


def _is_rule(node: object) -> bool:
    return isinstance(node, Mapping) and node.get("_target_") in _RULES


def _is_module(parts: Sequence[str]) -> bool:
    return _PACKAGE.joinpath(*parts[1:]).with_suffix(".py").is_file()
