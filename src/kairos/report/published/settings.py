"""What the configurations of a table's rows differ in, each option once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kairos.runs.keys import dotted, meaning

_WIRING = ("module", "datamodule", "loader", "data", "probes", "callbacks", "references", "processor")
"""Nodes that refer to others, whose own keys say the same."""


def different(configs: Mapping[str, Mapping[str, object]]) -> dict[str, Sequence[str]]:
    """By option, each value with the rows that have it: `0.0 (base)`; options that all rows share are left out.

    >>> different({"base": {"optimizer": {"rate": 0.0}}, "RL": {"optimizer": {"rate": 0.1}}})
    {'optimizer.rate': ['0.0 (base)', '0.1 (RL)']}
    """
    flat = {name: dotted(config) for name, config in configs.items()}
    keys = dict.fromkeys(key for values in flat.values() for key in values)
    found: dict[str, Sequence[str]] = {}
    for key in keys:
        if key.partition(".")[0] in _WIRING or not meaning(key).compared or key.endswith("seed"):
            continue
        part = f"{key.rpartition('.')[0]}._target_"
        if part != key and len({values.get(part) for values in flat.values()}) > 1:
            continue  # another part, with other options
        rows: dict[str, list[str]] = {}
        for name, values in flat.items():
            rows.setdefault(_shown(key, values.get(key)), []).append(name)
        if len(rows) > 1:
            found[key] = [f"{value} ({'; '.join(names)})" for value, names in rows.items()]
    return found


def _shown(key: str, value: object) -> str:
    if value is None or value == {}:
        return "–"
    return str(value).rpartition(".")[2] if key.endswith("_target_") else str(value)
