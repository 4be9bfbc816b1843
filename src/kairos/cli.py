"""The command line of all scripts: Hydra's entry point and one-line error messages."""

from __future__ import annotations

import functools
import os
import re
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException, HydraException, InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig

from kairos.command_line import with_quotes
from kairos.compose import CONF, check_values
from kairos.core.files import NotWritten
from kairos.core.parent import end_with_launcher
from kairos.core.stop_signals import Stopped, StopSignals
from kairos.credit.rewards.rubric import RewardError
from kairos.options.overrides import OverrideError
from kairos.runs.environment import Environment
from kairos.runs.typed import repeat_to

_END_SECONDS = 1800.0  # in which a script has ended after a signal
_OURS = {"kairos", "hydra_plugins"}
_INSTALLED = tuple(sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib"))
_WORKER_LINE = re.compile(r'^  File "(.+)", line (\d+), in (.+)$', re.MULTILINE)


class UserError(CompactHydraException):
    """An error that a user can fix: only its message is printed, without a stack trace, and the exit code is 1."""

    said_all = False
    """Whether the message says all there is to know; else the line that tells how to see the trace follows it."""


def command(name: str, goes_on: bool = False) -> Callable[[Callable[[DictConfig], None]], Callable[[], None]]:
    """Decorates a command's main function as `hydra.main` does, with `conf/<name>.yaml` and the command line as config.

    Folders and conditions (`run=runs/a=1,b=2`, `where=reason!=null`) need no Hydra quotes. SIGTERM and SIGINT end the
    command in good order, with exit codes 143 and 130 (`StopSignals`). `goes_on`: repeated, it does what is left; then
    a signal also prints the command to repeat.
    """

    def decorate(main: Callable[[DictConfig], None]) -> Callable[[], None]:
        @functools.wraps(main)
        def checked(config: DictConfig) -> None:
            try:
                with user_errors():
                    check_values(config)
                main(config)
            except Stopped:
                if goes_on:
                    print(f"stopped; {repeat_to('to go on')}", file=sys.stderr)
                raise
            except UserError as error:
                job_of_a_sweep = HydraConfig.get().mode == RunMode.MULTIRUN
                if job_of_a_sweep or not error.said_all or os.environ.get("HYDRA_FULL_ERROR") == "1":
                    raise
                print(error, file=sys.stderr)
                raise SystemExit(1) from error

        parsed = hydra.main(version_base="1.3", config_path=CONF, config_name=name)(checked)

        @functools.wraps(main)
        def run() -> None:
            sys.argv[1:] = with_quotes(sys.argv[1:])
            end_with_launcher()
            with StopSignals(_END_SECONDS):
                parsed()

        return run

    return decorate


def config_dir() -> str | None:
    """The folder that `--config-dir` named on the command line of the running script."""
    sources = HydraConfig.get().runtime.config_sources
    return next((source.path for source in sources if source.provider == "command-line"), None)


class user_errors:
    """Context of a script: turns an error that a user can fix into a UserError of one line.

    These are a ValueError that this package raises, a `NotWritten`, and any error in a user's own part, which the line
    names; HYDRA_FULL_ERROR=1 shows its trace. Any other error keeps its trace.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        if isinstance(error, InstantiationException) or (
            isinstance(error, Exception) and not isinstance(error, HydraException)
        ):
            message = _message(error, trace)
            if message is not None:
                told = UserError(f"error: {message}")
                told.said_all = message == str(_root(error)) and not isinstance(_root(error), RewardError)
                raise told from error


class needs_of:
    """Context that adds to an error the --config-dir and PYTHONPATH with which the run began, if they are missing.

    They are never applied automatically: the folder may come from someone else, and reading it must not run code.
    """

    def __init__(self, run: Path, config_dir: str | None) -> None:
        self.run, self.given = run, Environment.given(config_dir)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        if not isinstance(error, HydraException | OverrideError):
            return
        lacking = Environment.read(self.run).lacking(self.given)
        if lacking:
            first = str(error).partition("\n")[0]
            raise UserError(
                f"error: {first}\n{self.run} began with parts of your own; give their place again: {lacking}\n"
                "do so only if those folders are yours"
            ) from error


def _message(error: Exception, trace: TracebackType | None) -> str | None:
    """The one-line message of an error; None if it should keep its stack trace."""
    cause = _root(error)
    if isinstance(cause.__cause__, StopIteration) and not isinstance(cause, RewardError):
        cause = cause.__cause__
    crash = cause.__cause__ if isinstance(cause, RewardError) else None
    if crash is not None:
        where = _user_frame(crash, crash.__traceback__)
        return f"{cause}\nraised in {where}" if where else str(cause)
    if isinstance(cause, NotWritten) or (isinstance(cause, ValueError) and _raised_by_us(cause)):
        return str(cause)
    where = _user_frame(cause, cause.__traceback__ if cause is not error else trace and trace.tb_next)
    if where:
        return f"{where}: {_summary(cause)}"
    target = re.search(r"target '([\w.]+)'", str(error)) if isinstance(error, InstantiationException) else None
    if target and target[1].partition(".")[0] not in _OURS:
        key = re.search(r"full_key: (\S+)", str(error))
        return f"{key[1] if key else 'a part'}: {target[1]}: {_summary(cause)}"
    return None


def _root(error: BaseException) -> BaseException:
    """What Hydra's instantiation, or an import, failed with."""
    while isinstance(error, InstantiationException | ImportError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _summary(error: BaseException) -> str:
    """An error's type and message; of an error in a data loader's worker, the last line of its trace."""
    lines = str(error).strip().splitlines() or [""]
    return lines[-1] if "Original Traceback" in str(error) else f"{type(error).__name__}: {lines[0]}"


def _user_frame(error: BaseException, trace: TracebackType | None) -> str | None:
    """The deepest frame of a trace in a user's own module: `mine.Part.__call__ (file, line 3)`."""
    found = None
    while trace is not None:
        code, module = trace.tb_frame.f_code, str(trace.tb_frame.f_globals.get("__name__"))
        if _of_the_user(code.co_filename, module):
            name = code.co_qualname.partition(".<locals>.<")[0]  # of a comprehension: what it stands in
            found = f"{module}.{name} ({code.co_filename}, line {trace.tb_lineno})"
        trace = trace.tb_next
    for file, line, name in _WORKER_LINE.findall(str(error)):
        if _of_the_user(file, ""):
            found = f"{Path(file).stem}.{name} ({file}, line {line})"
    return found


def _of_the_user(file: str, module: str) -> bool:
    ours = module.partition(".")[0] in _OURS or Path(file).is_relative_to(Path(CONF).parent)
    script = Path(file) == Path(sys.argv[0]).resolve() or module == "__main__"
    return not (ours or script or file.startswith(("<", *_INSTALLED)))


def _raised_by_us(error: ValueError) -> bool:
    """Whether this package or the running script raised the error itself, or defines its type."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    raised_in = "" if trace is None else str(trace.tb_frame.f_globals.get("__name__"))
    return (
        "kairos" in (raised_in.partition(".")[0], type(error).__module__.partition(".")[0]) or raised_in == "__main__"
    )
