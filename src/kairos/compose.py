"""Composes configurations, builds their objects and runs them, for scripts, notebooks and tests.

>>> from kairos.compose import build, train
>>> experiment = build(["policy=toy", "data=toy", "iterations=5"])  # doctest: +SKIP
>>> experiment.trainer.fit(experiment.module, experiment.datamodule)  # doctest: +SKIP
>>> folder = train(["policy=toy", "data=toy", "iterations=5"])  # doctest: +SKIP
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import InterpolationToMissingValueError, MissingMandatoryValue

from kairos.options.overrides import composed, refuse_new_at_the_top
from kairos.options.values import check_options, check_parts
from kairos.runs.environment import Environment
from kairos.runs.folder import RunError, RunFolder, reworded
from kairos.runs.names import run_folder
from kairos.runs.options import CONF as CONF_FOLDER
from kairos.runs.sessions import begin_session, end_session

if TYPE_CHECKING:
    import lightning as L

    from kairos.evaluation.metrics import Share
    from kairos.policy.network.attention.varlen import Attention
    from kairos.train.feed.datamodule import PromptDataModule
    from kairos.train.grpo import GRPOModule

CONF = str(CONF_FOLDER)


@runtime_checkable
class Worded(Protocol):
    """A template that gives its wording as plain data."""

    def describe(self) -> dict[str, str]: ...


@dataclass(frozen=True)
class Experiment:
    """Everything a run needs, built; weights are loaded only when it is fitted or evaluated."""

    config: DictConfig
    folder: Path
    module: GRPOModule
    datamodule: PromptDataModule
    trainer: L.Trainer


def compose(
    overrides: Sequence[str] = (), config_dir: str | None = None, name: str = "train", stored: bool = False
) -> DictConfig:
    """The configuration of the command line `scripts/train.py <overrides>`.

    `config_dir`: a folder of your own config groups, as `--config-dir`. OverrideError for an override that names no
    option, with what may be meant; overrides that a run has `stored` may add options at the top. ValueRefused for a
    value that an option at the top cannot take.
    """
    GlobalHydra.instance().clear()
    extra = [f"hydra.searchpath=[file://{Path(config_dir).resolve()}]"] if config_dir else []
    folders = [Path(folder) for folder in (CONF, config_dir) if folder is not None]
    with initialize_config_dir(version_base="1.3", config_dir=str(Path(CONF).resolve())):

        def plain(some: Sequence[str]) -> DictConfig:
            return hydra_compose(name, overrides=[*some, *extra])

        config = composed(overrides, plain, folders)
        if not stored:
            refuse_new_at_the_top(overrides, plain, folders)
    check_values(config)
    return config


def build(overrides: Sequence[str] = (), config_dir: str | None = None) -> Experiment:
    """Compose a configuration and build its objects."""
    return assemble(compose(overrides, config_dir), overrides)


def assemble(config: DictConfig, overrides: Sequence[str] = (), folder: Path | None = None) -> Experiment:
    """Build the objects of a composed configuration; the run's folder is `folder`, or named after the overrides.

    ValueError if an option without a default has no value, or if this machine lacks the devices that are asked for;
    ValueRefused for a value that a part does not take.
    """
    if config.enrich.get("sampler") is not None and config.processor is None:
        raise ValueError(
            "sampler= chooses the frames that a language model is shown, and this policy is none: leave sampler=all"
        )
    from kairos.train.console import quieten
    from kairos.train.devices.suits import check_devices, gpus

    quieten()
    check_devices(
        config.trainer.get("accelerator"), config.trainer.get("devices"), config.trainer.get("precision"), gpus()
    )
    folder = folder or run_folder(config.run, config.name, overrides)
    with open_dict(config):
        config.folder = str(folder)
    with values_given(config):
        check_values(config, "callbacks", "logger", "trainer", "module", "datamodule")
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


@contextmanager
def values_given(config: DictConfig) -> Iterator[None]:
    """Context in which parts of `config` are built: ValueError, with its name, for an option that has no value."""
    lacking = list(_without_value(OmegaConf.to_container(config, resolve=False)))  # now: building resolves `${...}`
    try:
        yield
    except (MissingMandatoryValue, InterpolationToMissingValueError) as error:
        keys = lacking or [str(error.full_key)]
        raise ValueError(
            f"no value for {', '.join(keys)}: give one on the command line, such as {keys[0]}=<value>"
        ) from error


def _without_value(node: object, prefix: str = "") -> Iterator[str]:
    """The options that have no value, where they are written: not the nodes that refer to them by `${...}`."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield from [f"{prefix}{name}"] if value == "???" else _without_value(value, f"{prefix}{name}.")


def check_values(config: DictConfig, *names: str) -> None:
    """ValueRefused for a value that an option at the top does not take, or a part at or below one of these nodes."""
    check_options(config, Path(CONF))
    for name in names:
        check_parts(config[name], config, name)


def part(node: DictConfig) -> object:
    """Build one node of a configuration: `part(compose(["shape=log_exp"]).shape)` is a `LogExp`."""
    return instantiate(node, _convert_="all")


def train(overrides: Sequence[str] = (), folder: Path | None = None, config_dir: str | None = None) -> Path:
    """Train as `scripts/train.py <overrides>` does, in `folder` or one named after the overrides; returns the folder.

    A finished run is left unchanged; an unfinished one, or one with fewer iterations, is resumed. RunError if the
    folder holds another configuration, or another process is writing there. `overwrite=true` starts again.
    """
    from kairos.train.callbacks.checkpoint import newest

    started = time.time()
    config = compose(overrides, config_dir)
    run = RunFolder(folder or run_folder(config.run, config.name, overrides))
    with alone(run):
        if config.overwrite:
            run.clear()
        if run.finished and int(str(run.config()["iterations"])) >= config.iterations:
            run.check(resolved(config), config.allow_changes)
        else:
            carry_out(config, overrides, run, newest(run.checkpoints), started, config_dir)
    return run.path


def alone(run: RunFolder) -> AbstractContextManager[object]:
    """Context in which no other process trains in the run's folder: RunError, which says who does, if one does.

    The main process holds the lock, for all processes of the run.
    """
    from kairos.runs.lock import locked
    from kairos.train.devices.ranks import main_process

    return locked(run.path) if main_process() else nullcontext()


def carry_out(
    config: DictConfig,
    overrides: Sequence[str],
    run: RunFolder,
    checkpoint: Path | None,
    started: float,
    config_dir: str | None = None,
) -> dict[str, object] | None:
    """Run a configuration in its folder, from `checkpoint` if given, and write its page and summary.

    `started`: when the session began (seconds since the epoch). `config_dir`: the folder of a user's config groups.
    Returns the summary on the main process, None on others.
    """
    import torch

    from kairos.evaluation.metrics import displays
    from kairos.policy.language import LanguagePolicy
    from kairos.policy.models.checkpoints import newest_intact
    from kairos.report.ends import opening
    from kairos.report.run_page.chosen import chosen_in
    from kairos.report.run_page.page import try_report
    from kairos.runs.displays import write_displays
    from kairos.runs.strips import save_strips
    from kairos.runs.summary import summary_of, write_summary
    from kairos.runs.versions import versions
    from kairos.train.devices.ranks import main_process
    from kairos.train.devices.suits import check_kernels, check_strategy
    from kairos.train.loggers import conclude, describe

    torch.manual_seed(config.seed)
    experiment = assemble(config, overrides, run.path)
    check_strategy(experiment.trainer)
    if isinstance(experiment.module.policy, LanguagePolicy):
        check_kernels(cast("Attention", part(config.attn)), experiment.trainer.strategy.root_device)
    fresh = False
    if main_process():
        says = wording(config)
        if changed := reworded(config.policy.get("weights"), says):
            print(changed)
        if run.begun and (outdated := run.outdated()):
            print(outdated)
        fresh = not run.begun
        print(opening(resolved(config), overrides, run.path))
        run.begin(resolved(config), overrides, versions(), config.allow_changes, says)
        write_displays(run.path, displays(metrics_of(config)))
        Environment.given(config_dir).write(run.path)
        run.sweep()
        remarks = newest_intact(run.checkpoints).remarks if checkpoint is not None else ()
        begin_session(run.path, started, remarks)
        for remark in remarks:
            print(remark, file=sys.stderr)
        if checkpoint is not None:
            print(f"continuing {run.path} from {checkpoint.name}")
        describe(experiment.trainer.loggers, resolved(config))
    loggers = experiment.trainer.loggers
    with run.withdrawn_unless_started() if fresh else nullcontext():
        experiment.trainer.fit(
            experiment.module, experiment.datamodule, ckpt_path=checkpoint, weights_only=True if checkpoint else None
        )
    done, asked = experiment.module.iteration, experiment.module.iterations
    if done < asked and not experiment.trainer.should_stop:
        raise RunError(f"{run.path}: the training ended after iteration {done} of {asked} and nothing says why")
    if main_process() and run.predictions.exists():
        save_strips(experiment.datamodule.named("val", chosen_in(run.predictions)), run.path / "strips")
    del experiment
    gc.collect()  # module and trainer hold each other, and so the weights: the next run in this process needs the room
    torch.cuda.empty_cache()
    if not main_process():
        return None
    row = summary_of(run.path, seed=config.seed, iterations=config.iterations)
    conclude(loggers, row, run.path)
    try_report(run.path, {**row, "seconds": end_session(run.path, time.time())})
    return write_summary(run.path, row, end_session(run.path, time.time()))


def resolved(config: DictConfig) -> dict[str, object]:
    """The configuration as plain data with interpolations resolved, without Hydra's own node."""
    tree = cast("dict[str, object]", OmegaConf.to_container(config, resolve=True))
    tree.pop("hydra", None)
    return tree


def metrics_of(config: DictConfig) -> dict[str, Share]:
    """The configured metrics by name; ValueError for an object that is not a `Share`."""
    from kairos.evaluation.metrics import Share

    metrics: dict[str, Share] = {}
    for name, metric in instantiate(config.metrics, _convert_="all").items():
        if not isinstance(metric, Share):
            raise ValueError(f"metrics.{name} must be a kairos.evaluation.metrics.Share, got {type(metric).__name__}")
        metrics[name] = metric
    return metrics


def wording(config: DictConfig) -> dict[str, str]:
    """The wording of the configured template; empty if it cannot give it."""
    template = instantiate(config.template, _convert_="all")
    return template.describe() if isinstance(template, Worded) else {}


def _present(nodes: Mapping[str, DictConfig | None]) -> list[object]:
    return [instantiate(nodes[name], _convert_="all") for name in nodes if nodes[name] is not None]
