"""Starts a command: `kairos train ...` as installed, `python scripts/train.py ...` in a checkout.

Imported by whatever Python a user has, so it needs only the standard library until it has seen the environment.
"""

from __future__ import annotations

import importlib.util
import os
import runpy
import sys
from pathlib import Path

from kairos.core.spelling import close, did_you_mean
from kairos.entry.described import commands, summary

NEEDED = ("hydra", "lightning", "torch", "transformers", "yaml")
"""Packages without which no command runs: the first that is absent says that this is another Python."""

OLDEST = (3, 11)


def main() -> None:
    """`kairos <command> <overrides>`; alone it lists the commands."""
    name, *rest = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help", "help"):
        width = max(map(len, commands()))
        usage = "usage: kairos <command> [<option>=<value> ...]; kairos <command> --help says which options\n"
        _say("\n".join([usage, *(f"  {command:<{width}}  {summary(command)}" for command in commands())]))
    elif name not in commands():
        meant = did_you_mean(close(name, commands(), 1))
        sys.exit(f"error: there is no command {name}; {meant or '`kairos` lists them'}")
    else:
        _run(name, f"kairos {name}", rest)


def script(file: str) -> None:
    """What the file `scripts/<command>.py` does."""
    _run(Path(file).stem, f"python {sys.argv[0]}", sys.argv[1:])


def _run(name: str, typed: str, arguments: list[str]) -> None:
    """Run a command as the main program, so that processes which it starts can start it too.

    `typed`: how the user began the command line.
    """
    if (wrong := _wrong_python(typed)) is not None:
        sys.exit(f"error: {wrong}")
    from kairos.entry.bare import with_names  # here: they need yaml
    from kairos.entry.help import asks_for_help, help_text

    if asks_for_help(arguments):
        _say(help_text(name, typed, arguments))
        return
    from kairos.entry.table_sweeps import names_table, train_table

    try:
        if name == "train" and names_table(arguments):
            sys.exit(train_table(arguments))
        sys.argv[1:] = with_names(name, arguments)
    except ValueError as error:
        sys.exit(f"error: {error}")
    from kairos.command_line import refuse_misspelt, with_quotes  # needs Hydra

    refuse_misspelt(name, with_quotes(sys.argv[1:]))
    runpy.run_module(f"kairos.commands.{name}", run_name="__main__", alter_sys=True)


def _say(text: str) -> None:
    """Print, also into a pipe that `head` or `less` closes early."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # where Python flushes what is left, at its end


def _wrong_python(typed: str) -> str | None:
    """Which Python to use, on one line, if this one lacks a package; None if it has them."""
    lacking = next((name for name in NEEDED if importlib.util.find_spec(name) is None), None)
    if lacking is None and sys.version_info >= OLDEST:
        return None
    unfit = f"has no package {lacking}" if lacking else f"is Python {sys.version_info.major}.{sys.version_info.minor}"
    checkout = Path(__file__).resolve().parents[3]
    if not (checkout / "Makefile").is_file():
        return f"{sys.executable} {unfit}: Kairos needs Python 3.11 or newer and `pip install kairos-video`"
    folder = checkout / ".venv"
    made = folder if folder != Path.cwd() / ".venv" else Path(".venv")
    first = "" if (folder / "bin" / "python").exists() else f"`make venv` in {checkout} first, then "
    return (
        f"{sys.executable} {unfit} and is not the Python of Kairos's environment: "
        f"{first}`source {made / 'bin' / 'activate'}`, or {typed.replace('python', str(made / 'bin' / 'python'), 1)}"
    )
