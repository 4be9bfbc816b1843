"""From overrides to built objects and finished runs: for scripts, notebooks and tests.

>>> from kairos.compose import build, train
>>> experiment = build(["policy=toy", "data=toy", "iterations=5"])  # doctest: +SKIP
>>> experiment.trainer.fit(experiment.module, experiment.datamodule)  # doctest: +SKIP
>>> folder = train(["policy=toy", "data=toy", "iterations=5"])  # doctest: +SKIP
"""

from __future__ import annotations

import functools
import gc
import hashlib
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

import hydra
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import CompactHydraException, HydraException, InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf, open_dict

from kairos.credit.rewards.rubric import RewardError

if TYPE_CHECKING:
    import lightning as L

    from kairos.evaluation.metrics import Share
    from kairos.runs.folder import RunFolder
    from kairos.train.feed.datamodule import PromptDataModule
    from kairos.train.grpo import GRPOModule

CONF = str(Path(__file__).parent / "conf")
NOT_IN_NAME = ("name", "run", "overwrite", "allow_changes", "trainer", "logger", "memory_check", "memory_gib")
"""Overrides that change no method, and so are no part of a folder's name."""
_LITERAL = ("run", "sweep", "where", "sort", "input", "output", "baseline", "policy.weights")
_LONGEST_NAME = 200  # characters; file systems allow 255


class UserError(CompactHydraException):
    """What a user can mend: Hydra prints its message alone, without a stack trace, and exits with 1."""


@runtime_checkable
class Worded(Protocol):
    """A template that can say its wording as plain data."""

    def describe(self) -> dict[str, str]: ...


@dataclass(frozen=True)
class Experiment:
    """Everything a run needs, built; weights are loaded only when it is fitted or evaluated."""

    config: DictConfig
    folder: Path
    module: GRPOModule
    datamodule: PromptDataModule
    trainer: L.Trainer


def compose(overrides: Sequence[str] = (), config_dir: str | None = None, name: str = "train") -> DictConfig:
    """The configuration that the command line `scripts/train.py <overrides>` would see.

    `config_dir` is a folder of your own groups, searched like `--config-dir` does.
    """
    GlobalHydra.instance().clear()
    extra = [f"hydra.searchpath=[file://{Path(config_dir).resolve()}]"] if config_dir else []
    with initialize_config_dir(version_base="1.3", config_dir=str(Path(CONF).resolve())):
        return hydra_compose(name, overrides=[*overrides, *extra])


def build(overrides: Sequence[str] = (), config_dir: str | None = None) -> Experiment:
    """Compose and build in one go."""
    return assemble(compose(overrides, config_dir), overrides)


def assemble(config: DictConfig, overrides: Sequence[str] = (), folder: Path | None = None) -> Experiment:
    """Build the objects of a composed configuration; the run's folder is `folder`, or follows from the overrides."""
    from kairos.train.console import quieten

    quieten()
    folder = folder or folder_of(config, overrides)
    with open_dict(config):
        config.folder = str(folder)
    callbacks = _present(config.callbacks)
    loggers = _present(config.logger)
    trainer = instantiate(config.trainer, callbacks=callbacks, logger=loggers or False, _convert_="all")
    return Experiment(
        config=config,
        folder=folder,
        module=instantiate(config.module, _convert_="all"),
        datamodule=instantiate(config.datamodule, _convert_="all"),
        trainer=cast("L.Trainer", trainer),
    )


def part(node: DictConfig) -> object:
    """What one node of a configuration builds: `part(compose(["shape=log_exp"]).shape)` is a `LogExp`."""
    return instantiate(node, _convert_="all")


def train(overrides: Sequence[str] = (), folder: Path | None = None, config_dir: str | None = None) -> Path:
    """Train what the overrides compose, as `scripts/train.py` would, in `folder` or the one that follows from them.

    Gives that folder. A finished one is left as it is, a begun one, or one with fewer iterations, goes on; RunError
    where it holds another configuration. `overwrite=true` begins afresh.
    """
    from kairos.runs.folder import RunFolder
    from kairos.train.callbacks.checkpoint import newest

    started = time.time()
    config = compose(overrides, config_dir)
    run = RunFolder(folder or folder_of(config, overrides))
    if config.overwrite:
        run.clear()
    if run.finished and int(str(run.config()["iterations"])) >= config.iterations:
        run.check(resolved(config), config.allow_changes)
    else:
        carry_out(config, overrides, run, newest(run.checkpoints), started)
    return run.path


def carry_out(
    config: DictConfig, overrides: Sequence[str], run: RunFolder, checkpoint: Path | None, started: float
) -> dict[str, object] | None:
    """Run a configuration in its folder, on from `checkpoint` where there is one, and write its page and summary.

    `started` (seconds since the epoch) is when the session began. The summary is None but on the main process.
    """
    import torch

    from kairos.evaluation.metrics import displays
    from kairos.report.run_page.page import write_report
    from kairos.report.run_page.strips import save_strips
    from kairos.runs.displays import write_displays
    from kairos.runs.folder import reworded
    from kairos.runs.sessions import begin_session, end_session
    from kairos.runs.summary import summary_of, write_summary
    from kairos.runs.versions import versions
    from kairos.train.devices.ranks import main_process

    torch.manual_seed(config.seed)
    experiment = assemble(config, overrides, run.path)
    if main_process():
        says = wording(config)
        if changed := reworded(config.policy.get("weights"), says):
            print(changed)
        run.begin(resolved(config), overrides, versions(), config.allow_changes, says)
        write_displays(run.path, displays(metrics_of(config)))
        begin_session(run.path, started)
        if checkpoint is not None:
            print(f"continuing {run.path} from {checkpoint.name}")
    experiment.trainer.fit(
        experiment.module, experiment.datamodule, ckpt_path=checkpoint, weights_only=True if checkpoint else None
    )
    if main_process() and run.predictions.exists():
        save_strips(
            [p for batch in experiment.datamodule.batches("val", 12) for p in batch.prompts], run.path / "strips"
        )
    del experiment
    gc.collect()  # module and trainer hold each other, and so the weights: the next run in this process needs the room
    torch.cuda.empty_cache()
    if not main_process():
        return None
    row = summary_of(run.path, seed=config.seed, iterations=config.iterations)
    write_report(run.path, row)
    return write_summary(run.path, row, end_session(run.path, time.time()))


def folder_of(config: DictConfig, overrides: Sequence[str]) -> Path:
    """`runs/<name>`; without a name the sorted overrides, so that the same overrides are always the same folder."""
    return Path(config.run) if config.run else Path("runs") / (config.name or folder_name(overrides))


def folder_name(overrides: Sequence[str]) -> str:
    """The sorted overrides as the name of a folder, those aside that change no method; "default" without any.

    >>> folder_name(["seed=1", "data=toy", "trainer=cpu"])
    'data=toy,seed=1'
    """
    return _file_name(",".join(sorted(o for o in overrides if in_name(o))) or "default")


def sweep_name(swept: Sequence[str], fixed: Sequence[str]) -> str:
    """The keys that a sweep varies and the overrides that all its jobs share, as the name of its folder.

    >>> sweep_name(["shape", "seed"], ["data=toy", "trainer=cpu"])
    'sweep-seed,shape-data=toy'
    """
    return _file_name("-".join(["sweep", *filter(None, [",".join(sorted(swept)), folder_name(fixed)])]))


def report_name(runs: Sequence[Path]) -> str:
    """The name of a folder for the comparison of these runs."""
    return _file_name("report-" + ",".join(run.name for run in runs))


def in_name(override: str) -> bool:
    """Whether an override, or a key, changes the method and so the folder's name."""
    return override.lstrip("+~").split("=")[0].split(".")[0].split("/")[0] not in NOT_IN_NAME


def _file_name(name: str) -> str:
    name = re.sub(r"[^\w.,=+-]", "_", name)
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[:_LONGEST_NAME]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def resolved(config: DictConfig) -> dict[str, object]:
    """The configuration as plain data, every interpolation resolved; of Hydra's own node nothing is kept."""
    tree = cast("dict[str, object]", OmegaConf.to_container(config, resolve=True))
    tree.pop("hydra", None)
    return tree


def metrics_of(config: DictConfig) -> dict[str, Share]:
    """The configured metrics by name; ValueError for a part that is no `Share`."""
    from kairos.evaluation.metrics import Share

    metrics: dict[str, Share] = {}
    for name, metric in instantiate(config.metrics, _convert_="all").items():
        if not isinstance(metric, Share):
            raise ValueError(f"metrics.{name} must be a kairos.evaluation.metrics.Share, got {type(metric).__name__}")
        metrics[name] = metric
    return metrics


def wording(config: DictConfig) -> dict[str, str]:
    """What the configured template says; empty where it cannot tell."""
    template = instantiate(config.template, _convert_="all")
    return template.describe() if isinstance(template, Worded) else {}


def command(name: str) -> Callable[[Callable[[DictConfig], None]], Callable[[], None]]:
    """`hydra.main` for a script: `conf/<name>.yaml` and the command line become the config of the decorated function.

    Folders and conditions (`run=runs/a=1,b=2`, `where=reason!=null`) need no quotes of Hydra's grammar.
    """

    def decorate(main: Callable[[DictConfig], None]) -> Callable[[], None]:
        parsed = hydra.main(version_base="1.3", config_path=CONF, config_name=name)(main)

        @functools.wraps(main)
        def run() -> None:
            multirun = not {"-m", "--multirun"}.isdisjoint(sys.argv)
            sys.argv[1:] = [_literal(argument, multirun) for argument in sys.argv[1:]]
            parsed()

        return run

    return decorate


def literal(key: str, value: str) -> str:
    """The override that gives `key` exactly this text.

    >>> literal("run", "runs/a=1,b=2")
    "run='runs/a=1,b=2'"
    """
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"{key}='{escaped}'"


def _literal(argument: str, multirun: bool) -> str:
    key, _, value = argument.partition("=")
    if key not in _LITERAL:
        return argument
    try:
        readable = multirun or not OverridesParser.create().parse_override(argument).is_sweep_override()
    except HydraException:  # no override, or not even words of Hydra's grammar
        readable = False
    return argument if readable else literal(key, value)


@contextmanager
def user_errors() -> Iterator[None]:
    """For scripts: a ValueError that this package raises becomes its message; any other error keeps its stack trace.

    So does a crash inside a reward, which may be the user's own.
    """
    try:
        yield
    except (InstantiationException, ValueError) as error:
        cause: BaseException | None = error
        while isinstance(cause, InstantiationException):
            cause = cause.__cause__
        crash = isinstance(cause, RewardError) and cause.__cause__ is not None
        if isinstance(cause, ValueError) and not crash and _ours(cause):
            raise UserError(f"error: {cause}") from error
        raise


def config_dir() -> str | None:
    """The folder that `--config-dir` named on the command line of the running script."""
    sources = HydraConfig.get().runtime.config_sources
    return next((source.path for source in sources if source.provider == "command-line"), None)


def _ours(error: ValueError) -> bool:
    """Whether this package or the running script raised it, and did not only pass it on; or named it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    raised_in = "" if trace is None else str(trace.tb_frame.f_globals.get("__name__"))
    return (
        "kairos" in (raised_in.partition(".")[0], type(error).__module__.partition(".")[0]) or raised_in == "__main__"
    )


def _present(nodes: Mapping[str, DictConfig | None]) -> list[object]:
    return [instantiate(nodes[name], _convert_="all") for name in nodes if nodes[name] is not None]
