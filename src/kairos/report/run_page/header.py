"""What stands at the head of a run's page: model, data, method, time, device and commit."""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from kairos.runs.keys import key_of
from kairos.runs.read import Run


def header(run: Run) -> list[tuple[str, str]]:
    """(name, value) of what the run folder says; what it does not say is left out."""
    config, seconds = _mapping(run.config), (run.summary or {}).get("seconds")
    evaluated = run.after or run.before
    given = {
        "model": _model(_below(config, "policy")),
        "data": _data(_below(config, "data", "train"), run.overrides),
        "method": _chosen(run.overrides, "experiment") or _chosen(run.overrides, "method"),
        "iterations": str(run.iterations or ""),
        "evaluated": f"{len(evaluated)} prompts" if evaluated else "",
        "minutes": f"{seconds / 60:.1f}" if isinstance(seconds, int | float) else "",
        "device": _device(run.versions),
        "commit": _version(run.versions, "revision")[:10],
        "seed": str(config.get("seed", "")),
    }
    return [(name, value) for name, value in given.items() if value]


def _model(policy: Mapping[str, object]) -> str:
    weights = policy.get("weights")
    return str(weights) if weights else str(policy.get("_target_", "")).rpartition(".")[2]


def _data(train: Mapping[str, object], overrides: str) -> str:
    """The option that was chosen, or the reader's name."""
    records = _below(train, "records")
    return _chosen(overrides, "data") or str((records or train).get("_target_", "")).rpartition(".")[2]


def _chosen(overrides: str, group: str) -> str:
    listed = yaml.safe_load(overrides) if overrides else None
    found = (
        [str(o).partition("=")[2] for o in listed or () if key_of(str(o)) == group] if isinstance(listed, list) else []
    )
    return found[-1] if found else ""


def _device(versions: str) -> str:
    gpu = _version(versions, "GPU")
    return gpu if gpu and gpu != "none" else _version(versions, "CPU").partition(",")[0]


def _version(versions: str, name: str) -> str:
    lines = (line.partition(" ") for line in versions.splitlines())
    return next((value.strip() for key, _, value in lines if key == name), "")


def _mapping(text: str) -> Mapping[str, object]:
    tree: object = yaml.safe_load(text) if text else None
    return tree if isinstance(tree, Mapping) else {}


def _below(tree: Mapping[str, object], *names: str) -> Mapping[str, object]:
    for name in names:
        branch = tree.get(name)
        tree = branch if isinstance(branch, Mapping) else {}
    return tree
