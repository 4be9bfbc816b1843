"""The table of what each configuration key means to a run's folder. A key without a row is part of the method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Meaning:
    """What one key means, and every key below it that has no row of its own."""

    named: bool = True
    """Its overrides are part of the name of a run's folder."""
    fixed: bool = True
    """It must not change when a run goes on."""
    kept: bool = True
    """A resumed run gets its overrides again; otherwise they concern one command only."""
    compared: bool = True
    """Runs that differ in it are different methods on a page that compares runs."""
    literal: bool = False
    """Its value on a command line is taken literally, without the quotes that Hydra's grammar requires."""


_COMMAND = Meaning(named=False, fixed=False, kept=False, compared=False)
_PLACE = Meaning(named=False, fixed=False, compared=False)
_BESIDE = Meaning(fixed=False, compared=False)
_TEXT = Meaning(literal=True)

KEYS = {
    # of one command
    "run": Meaning(named=False, fixed=False, kept=False, compared=False, literal=True),
    "overwrite": _COMMAND,
    "allow_changes": _COMMAND,
    "trust": _COMMAND,
    "selector": _COMMAND,  # select_prompts.py: another one reads the same rewards
    "output": Meaning(named=False, fixed=False, kept=False, compared=False, literal=True),
    # where and on what it runs
    "name": _PLACE,
    "logger": _PLACE,
    "trainer": _PLACE,
    "trainer.devices": Meaning(named=False, compared=False),  # the number of processes says how many prompts a step has
    "trainer.num_nodes": Meaning(named=False, compared=False),
    "timeout_minutes": _PLACE,
    "memory_check": _PLACE,
    "memory_gib": _PLACE,
    "callbacks.memory": _BESIDE,
    "callbacks.export": _BESIDE,
    "metrics": _BESIDE,
    "callbacks.validation.metrics": _BESIDE,
    "callbacks.evaluation.metrics": _BESIDE,
    "callbacks.probes.metrics": _BESIDE,
    "folder": _BESIDE,
    "unlabelled": _BESIDE,
    "workers": _BESIDE,
    "datamodule.workers": _BESIDE,
    "store": Meaning(compared=False),
    # how large vLLM may be beside the policy, where its servers are, and what is checked of it
    "rollout.context": _BESIDE,
    "rollout.kv_cache_gib": _BESIDE,
    "rollout.rows": _BESIDE,
    "rollout.sleeps": _BESIDE,
    "rollout.eager": _BESIDE,
    "rollout.tolerance": _BESIDE,
    "rollout.checked_rows": _BESIDE,
    "rollout.servers": _PLACE,
    "rollout.exchange": _PLACE,
    "rollout.weights": _PLACE,
    "rollout.timeout_seconds": _PLACE,
    # how long it runs, and what is done beside the training
    "iterations": Meaning(fixed=False),
    "module.iterations": Meaning(fixed=False),
    "callbacks": Meaning(fixed=False),
    "evaluate": _BESIDE,
    # folders, files and conditions
    "policy.weights": _TEXT,
    "agent": _TEXT,
    "picks": _TEXT,
    "video": _TEXT,
    "question": _TEXT,
    "query": _TEXT,
    "input": _TEXT,
    "predictions": _TEXT,
    "shard": _COMMAND,
    "sweep": _TEXT,
    "baseline": _TEXT,
    "where": _TEXT,
    "sort": _TEXT,
}


def meaning(key: str) -> Meaning:
    """The row of a key, or of the nearest key above it that has one.

    >>> meaning("trainer.precision").fixed, meaning("trainer.devices").fixed, meaning("shape.exponent").fixed
    (False, True, True)
    """
    while key not in KEYS and "." in key:
        key = key.rpartition(".")[0]
    return KEYS.get(key, Meaning())


def dotted(tree: object, above: str = "") -> dict[str, object]:
    """The values of a nested table by dotted key; an empty table is a value.

    >>> dotted({"data": {"clips": 4, "enrich": {}}})
    {'data.clips': 4, 'data.enrich': {}}
    """
    if isinstance(tree, Mapping) and tree:
        return {key: value for name, branch in tree.items() for key, value in dotted(branch, f"{above}{name}.").items()}
    return {above[:-1]: tree}


def key_of(override: str) -> str:
    """The dotted key of an override, or of a key as Hydra writes it.

    >>> key_of("+hydra/launcher=joblib"), key_of("trainer.devices=2"), key_of("~logger")
    ('hydra.launcher', 'trainer.devices', 'logger')
    """
    return override.lstrip("+~").partition("=")[0].replace("/", ".")
