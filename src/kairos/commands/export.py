"""Write the newest checkpoint of a run as files for other programs.

Examples:

    kairos export runs/mine output=exported                       # a folder for transformers and vLLM
    kairos export runs/mine as=hf output=exported
    kairos export runs/agent as=tspo output=agent                 # a frame agent beside its CLIP
    kairos export run=runs/mine output=exported                   # the same as the first
    kairos export runs/mine output=exported trust=true            # of a run that names parts of others: read it first
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig

from kairos.cli import command, config_dir, needs_of, user_errors
from kairos.compose import assemble
from kairos.core.protocols import Policy
from kairos.runs.folder import RunError, RunFolder, find_run
from kairos.stored import compose_stored
from kairos.train.callbacks.checkpoint import restore


@command("export")
def main(config: DictConfig) -> None:
    run, output = find_run(str(config.run)), Path(config.output)
    with user_errors(), needs_of(run, config_dir()):
        form: Callable[[Policy, Path], str] = instantiate(config["as"], _convert_="all")
        if output.exists() and any(output.iterdir()):
            raise RunError(f"output={output} exists and is not empty: name a new folder")
        print(form(trained(run, config.trust), output))


def trained(run: Path, trust: bool) -> Policy:
    """The policy of a run with the weights of its newest checkpoint, on the CPU."""
    experiment = assemble(compose_stored(RunFolder(run), [], config_dir(), trust=trust), folder=run)
    experiment.module.configure_model()
    restore(experiment.module, run, "export")
    return experiment.module.trained


if __name__ == "__main__":
    main()
