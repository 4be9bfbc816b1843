"""The command line before anything heavy is imported: values without quotes, options and values that are refused."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from kairos.compose import compose
from kairos.options.overrides import OverrideError, swept
from kairos.options.quoting import literal
from kairos.options.values import ValueRefused
from kairos.runs.keys import KEYS

_ASKS = ("help", "hydra_help", "info", "shell_completion", "config_name", "config_path")
"""Flags that ask for something else than a run, or for another configuration."""


def with_quotes(arguments: Sequence[str]) -> list[str]:
    """The arguments with Hydra's quotes around folders and conditions, such as `where=reason!=null`."""
    multirun = not {"-m", "--multirun"}.isdisjoint(arguments)
    return [_with_quotes(argument, multirun) for argument in arguments]


def refuse_misspelt(name: str, arguments: Sequence[str]) -> None:
    """End the program with one line if the `arguments` of command `name` name no option, or a value that it refuses.

    `arguments` are `with_quotes`. Costs one composition.
    """
    flags = get_args_parser().parse_args([*arguments])
    if any(getattr(flags, asked) for asked in _ASKS):
        return
    try:
        for overrides in swept(flags.overrides) if flags.multirun else [flags.overrides]:
            compose(overrides, flags.config_dir, name)
    except (OverrideError, ValueRefused) as error:
        sys.exit(f"error: {error}")


def _with_quotes(argument: str, multirun: bool) -> str:
    key, _, value = argument.partition("=")
    if key not in KEYS or not KEYS[key].literal:
        return argument
    try:
        readable = multirun or not OverridesParser.create().parse_override(argument).is_sweep_override()
    except HydraException:  # no override, or not even words of Hydra's grammar
        readable = False
    return argument if readable else literal(key, value)
