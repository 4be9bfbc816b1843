"""Other places that metrics go to, beside the run's own files: each may fail, and the run goes on without it.

Weights & Biases is written offline unless the user is logged in, TensorBoard and MLflow into the run's folder; a
tracking server of MLflow is named by its own variable, MLFLOW_TRACKING_URI, never by a run's options.
"""

from __future__ import annotations

import hashlib
import os
import socket
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from kairos.core.installing import install_line

_ANSWERS = 5.0  # seconds that a server has to accept a connection
_ENDS = 60.0  # seconds that sending the rest may take when a run ends; what is left stays in the run's folder


class PatientWandb(WandbLogger):
    """Writes an offline run where the server cannot be reached when the run begins."""

    @property
    def experiment(self):
        import wandb
        from wandb.errors import CommError

        try:
            return super().experiment
        except CommError as error:
            _say(error)
            wandb.teardown()
            self._wandb_init["mode"] = "offline"
            return super().experiment


def wandb_logger(project: str, folder: str, group: str | None = None) -> WandbLogger:
    """Runs are named after their folder and grouped by its parent, so that a sweep is one group.

    The run's id is a hash of its folder's path, so that a resumed run continues the same one.
    """
    import wandb

    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    wandb.finish()  # the run of a sweep's job before this one, in the same process
    return PatientWandb(
        project=project,
        name=path.name,
        save_dir=folder,
        group=group or path.parent.name,
        id=hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16],
        resume="allow",
        mode=None if "WANDB_MODE" in os.environ or _online() else "offline",
        settings=wandb.Settings(finish_timeout=_ENDS),
    )


def _online() -> bool:
    """Whether the user is logged in to a server of Weights & Biases that answers; says so where it does not."""
    import wandb
    from wandb.errors import AuthenticationError, CommError

    if not wandb.login(prompt=False, verify=False):
        return False
    url = wandb.setup().settings.base_url
    place = urlsplit(getproxies().get(urlsplit(url).scheme, url))
    try:
        socket.create_connection((place.hostname or "", place.port or 443), timeout=_ANSWERS).close()
        return wandb.login(prompt=False)
    except (OSError, AuthenticationError, CommError) as error:
        _say(error)
        return False


def _say(error: Exception) -> None:
    print(f"wandb cannot be reached, so its run is written offline: {error}", file=sys.stderr)


def tensorboard_logger(folder: str) -> TensorBoardLogger:
    """Event files in `folder`/tensorboard. ValueError where neither tensorboard nor tensorboardX is installed."""
    try:
        return TensorBoardLogger(save_dir=folder, name="tensorboard", version="")
    except ModuleNotFoundError as error:
        raise _lacking("tensorboard") from error


def mlflow_logger(project: str, folder: str) -> MLFlowLogger:
    """An MLflow run named after its folder: on the server of MLFLOW_TRACKING_URI, else in `folder`/mlruns.

    ValueError where mlflow is not installed.
    """
    path = Path(folder)
    given = os.environ.get("MLFLOW_TRACKING_URI")
    if given is None:
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    try:
        return MLFlowLogger(
            experiment_name=project,
            run_name=path.name,
            tracking_uri=given or (path / "mlruns").resolve().as_uri(),
        )
    except ModuleNotFoundError as error:
        raise _lacking("mlflow") from error


def tell(loggers: Iterable[Logger], say: Callable[[Logger], None]) -> None:
    """Call `say` with each; what one of them fails with is said on stderr, and costs the run nothing else."""
    for logger in loggers:
        try:
            say(logger)
        except (OSError, RuntimeError, *_their_errors()) as error:
            first = (str(error).splitlines() or [""])[0]
            print(f"{type(logger).__name__} failed, the run goes on: {type(error).__name__}: {first}", file=sys.stderr)


def describe(loggers: Iterable[Logger], config: Mapping[str, object]) -> None:
    """Give the resolved configuration to loggers that keep one, before training."""
    tell(loggers, lambda logger: logger.log_hyperparams(dict(config)))


def conclude(loggers: Iterable[Logger], summary: Mapping[str, object], run: Path) -> None:
    """Log the numbers of a run's summary, scores before and after training among them, as `summary/<name>`.

    Loggers that keep files get what says how the run came about: its configuration, versions and manifests.
    """
    numbers = {f"summary/{name}": float(value) for name, value in summary.items() if isinstance(value, int | float)}
    named = ("config.yaml", "overrides.yaml", "versions.txt", "template.yaml")
    files = [run / name for name in named if (run / name).is_file()]
    files += sorted((run / "predictions").rglob("*manifest*.json"))

    def say(logger: Logger) -> None:
        logger.log_metrics(numbers)
        if isinstance(logger, WandbLogger):
            for file in files:
                logger.experiment.save(str(file), base_path=str(run), policy="now")
        elif isinstance(logger, MLFlowLogger):
            for file in files:
                logger.experiment.log_artifact(str(logger.run_id), str(file))
        logger.finalize("success")

    tell(loggers, say)


def _their_errors() -> tuple[type[Exception], ...]:
    """What the loggers' own packages raise, as far as they are loaded."""
    places = (("wandb.errors", "Error"), ("mlflow.exceptions", "MlflowException"))
    found = (getattr(sys.modules.get(module), name, None) for module, name in places)
    return tuple(error for error in found if isinstance(error, type) and issubclass(error, Exception))


def _lacking(package: str) -> ValueError:
    return ValueError(f"logger={package} needs the package {package}, which is not installed: {install_line(package)}")
