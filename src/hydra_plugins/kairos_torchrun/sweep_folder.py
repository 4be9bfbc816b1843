"""Names a sweep's folder: `runs/<name>`, or `runs/sweep-<swept keys>-<other overrides>` without a name."""

from __future__ import annotations

from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, open_dict, read_write


class SweepFolder(Callback):
    """Sets `hydra.sweep.dir` before a sweep starts, for every launcher.

    The same sweep gets the same folder, so repeating the command resumes it. `hydra.sweep.dir=` on the command line has
    priority. A sweep is refused if two of its jobs would get the same folder.
    """

    def on_multirun_start(self, config: DictConfig, **kwargs: object) -> None:
        if any(override.startswith("hydra.sweep.dir=") for override in config.hydra.overrides.hydra):
            return
        folder = _folder(list(config.hydra.overrides.task))
        with read_write(config), open_dict(config):
            config.hydra.sweep.dir = str(folder)
            config.hydra.overrides.hydra.append(_literal("hydra.sweep.dir", str(folder)))


def _folder(overrides: list[str]) -> Path:
    from kairos.runs.names import in_name, sweep_name  # here: Hydra imports every plugin in every script

    parsed = OverridesParser.create().parse_overrides(overrides)
    swept = [override.get_key_element() for override in parsed if override.is_sweep_override()]
    if hidden := [key for key in swept if not in_name(key)]:
        raise SystemExit(
            f"error: a sweep cannot vary {', '.join(hidden)}: it is no part of a run's name, so the jobs would share "
            "a folder; start one sweep a value, each with a name= of its own"
        )
    names = [str(override.value()) for override in parsed if override.key_or_group == "name"]
    return Path("runs") / (
        names[-1] if names else sweep_name(swept, [o.input_line or "" for o in parsed if not o.is_sweep_override()])
    )


def _literal(key: str, value: str) -> str:
    from kairos.cli import literal

    return literal(key, value)
