"""From overrides to built objects: for scripts, notebooks and tests.

>>> from kairos.compose import build
>>> experiment = build(["policy=toy", "data=toy", "iterations=5"])  # doctest: +SKIP
>>> experiment.trainer.fit(experiment.module, experiment.datamodule)  # doctest: +SKIP
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf, open_dict

if TYPE_CHECKING:
    import lightning as L

    from kairos.train.datamodule import PromptDataModule
    from kairos.train.grpo import GRPOModule


CONF = str(Path(__file__).parent / "conf")
_NOT_IN_NAME = ("name", "run", "overwrite", "allow_changes", "trainer", "logger")


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
    if config.run:
        return Path(config.run)
    named = sorted(o for o in overrides if o.lstrip("+~").split("=")[0].split(".")[0] not in _NOT_IN_NAME)
    name = config.name or re.sub(r"[^\w.,=+-]", "_", ",".join(named)) or "default"
    return Path("runs") / name


def resolved(config: DictConfig) -> dict[str, object]:
    """The configuration as plain data, every interpolation resolved; of Hydra's own node nothing is kept."""
    tree = cast("dict[str, object]", OmegaConf.to_container(config, resolve=True))
    tree.pop("hydra", None)
    return tree


def config_dir() -> str | None:
    """The folder that `--config-dir` named on the command line of the running script."""
    sources = HydraConfig.get().runtime.config_sources
    return next((source.path for source in sources if source.provider == "command-line"), None)


def _present(nodes: Mapping[str, DictConfig | None]) -> list[object]:
    return [instantiate(nodes[name], _convert_="all") for name in nodes if nodes[name] is not None]
