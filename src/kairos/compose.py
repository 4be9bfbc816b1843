"""From overrides to built objects: for scripts, notebooks and tests.

>>> from kairos.compose import build
>>> experiment = build(["policy=toy", "data=toy", "iterations=5"])  # doctest: +SKIP
>>> experiment.trainer.fit(experiment.module, experiment.datamodule)  # doctest: +SKIP
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException, InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf, open_dict

from kairos.credit.rewards.rubric import RewardError

if TYPE_CHECKING:
    import lightning as L

    from kairos.train.datamodule import PromptDataModule
    from kairos.train.grpo import GRPOModule


CONF = str(Path(__file__).parent / "conf")
_NOT_IN_NAME = ("name", "run", "overwrite", "allow_changes", "trainer", "logger")
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
    from kairos.train.quiet import quieten

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


def folder_of(config: DictConfig, overrides: Sequence[str]) -> Path:
    """`runs/<name>`; without a name the sorted overrides, so that the same overrides are always the same folder."""
    return Path(config.run) if config.run else Path("runs") / (config.name or folder_name(overrides))


def folder_name(overrides: Sequence[str]) -> str:
    """The sorted overrides as the name of a folder, those aside that change no method; "default" without any.

    >>> folder_name(["seed=1", "data=toy", "trainer=cpu"])
    'data=toy,seed=1'
    """
    named = sorted(o for o in overrides if o.lstrip("+~").split("=")[0].split(".")[0].split("/")[0] not in _NOT_IN_NAME)
    name = re.sub(r"[^\w.,=+-]", "_", ",".join(named)) or "default"
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[:_LONGEST_NAME]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def resolved(config: DictConfig) -> dict[str, object]:
    """The configuration as plain data, every interpolation resolved; of Hydra's own node nothing is kept."""
    tree = cast("dict[str, object]", OmegaConf.to_container(config, resolve=True))
    tree.pop("hydra", None)
    return tree


def wording(config: DictConfig) -> dict[str, str]:
    """What the configured template says; empty where it cannot tell."""
    template = instantiate(config.template, _convert_="all")
    return template.describe() if isinstance(template, Worded) else {}


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
