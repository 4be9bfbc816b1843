"""Names a sweep's folder: `runs/<name>`, or `runs/sweep-<swept keys>-<data>-<hash>` without a name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, open_dict, read_write

from kairos.options.quoting import literal, quoted


class SweepFolder(Callback):
    """Sets `hydra.sweep.dir` before a sweep starts, for every launcher, and the keys that all jobs share.

    The same sweep gets the same folder, so repeating the command resumes it. `hydra.sweep.dir=` on the command line has
    priority. A sweep is refused if two of its jobs would get the same folder.
    """

    def on_multirun_start(self, config: DictConfig, **kwargs: object) -> None:
        from kairos.runs.keys import key_of  # here: Hydra imports every plugin in every script

        parsed = OverridesParser.create().parse_overrides(list(config.hydra.overrides.task))
        fixed = [key_of(o.get_key_element()) for o in parsed if not o.is_sweep_override()]
        given = any(override.startswith("hydra.sweep.dir=") for override in config.hydra.overrides.hydra)
        folder = None if given else _folder(parsed)
        with read_write(config), open_dict(config):
            said = config.hydra.overrides.hydra
            config.hydra.job.config.override_dirname.exclude_keys = fixed
            listed = ",".join(map(quoted, fixed))
            said.append(f"hydra.job.config.override_dirname.exclude_keys=[{listed}]")
            if folder is not None:
                config.hydra.sweep.dir = str(folder)
                said.append(literal("hydra.sweep.dir", str(folder)))


def _folder(parsed: Sequence[Override]) -> Path:
    from kairos.runs.names import in_name, sweep_folder

    swept = [override.get_key_element() for override in parsed if override.is_sweep_override()]
    if hidden := [key for key in swept if not in_name(key)]:
        raise SystemExit(
            f"error: a sweep cannot vary {', '.join(hidden)}: it is no part of a run's name, so the jobs would share "
            "a folder; start one sweep a value, each with a name= of its own"
        )
    names = [str(override.value()) for override in parsed if override.key_or_group == "name"]
    if names:
        return Path("runs") / names[-1]
    return sweep_folder(swept, [o.input_line or "" for o in parsed if not o.is_sweep_override()])
