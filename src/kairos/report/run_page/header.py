"""What stands at the head of a run's page: model, data, method, time, device and commit."""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from kairos.runs.folder import PlainLoader
from kairos.runs.options import option
from kairos.runs.read import Run


def header(run: Run) -> list[tuple[str, str]]:
    """(name, value) of what the run folder says; what it does not say is left out."""
    config, seconds = _mapping(run.config), (run.summary or {}).get("seconds")
    listed = yaml.load(run.overrides, PlainLoader) if run.overrides else None
    overrides = [str(override) for override in listed] if isinstance(listed, list) else None
    evaluated = run.after or run.before
    given = {
        "model": _model(_below(config, "policy")),
        "data": (overrides is not None and option("data", overrides)) or _reader(_below(config, "data", "train")),
        "method": option("method", overrides) if overrides is not None else "",
        "experiment": next((o.partition("=")[2] for o in overrides or () if o.startswith("experiment=")), ""),
        "iterations": str(run.iterations or ""),
        "evaluated": f"{len(evaluated)} prompts" if evaluated else "",
        "minutes": f"{seconds / 60:.1f}" if isinstance(seconds, int | float) else "",
        "device": _device(run.versions, str(_below(config, "trainer").get("accelerator", ""))),
        "commit": (_version(run.versions, "kairos commit") or _version(run.versions, "revision"))[:10],
        "seed": str(config.get("seed", "")),
    }
    return [(name, value) for name, value in given.items() if value]


def _model(policy: Mapping[str, object]) -> str:
    weights = policy.get("weights")
    return str(weights) if weights else str(policy.get("_target_", "")).rpartition(".")[2]


def _reader(train: Mapping[str, object]) -> str:
    records = _below(train, "records")
    return str((records or train).get("_target_", "")).rpartition(".")[2]


def _device(versions: str, accelerator: str) -> str:
    """Its GPUs, or the CPU where it has none or was not to use them."""
    gpus = [
        text.strip().partition(" ")[2].strip()
        for key, _, text in _lines(versions)
        if key == "GPU" and "none" not in text
    ]
    if not gpus or accelerator == "cpu":
        return _version(versions, "CPU").partition(",")[0]
    return gpus[0] if len(gpus) == 1 else f"{len(gpus)} x {gpus[0]}"


def _version(versions: str, name: str) -> str:
    return next((line[len(name) :].strip() for line in versions.splitlines() if line.startswith(f"{name} ")), "")


def _lines(versions: str) -> list[tuple[str, str, str]]:
    return [line.partition(" ") for line in versions.splitlines()]


def _mapping(text: str) -> Mapping[str, object]:
    tree: object = yaml.load(text, PlainLoader) if text else None
    return tree if isinstance(tree, Mapping) else {}


def _below(tree: Mapping[str, object], *names: str) -> Mapping[str, object]:
    for name in names:
        branch = tree.get(name)
        tree = branch if isinstance(branch, Mapping) else {}
    return tree
