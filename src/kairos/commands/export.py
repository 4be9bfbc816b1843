"""Write the newest checkpoint of a run as files for other programs.

Examples:

    kairos export runs/mine output=exported                       # a folder for transformers and vLLM
    kairos export runs/mine as=hf output=exported
    kairos export runs/agent as=tspo output=agent                 # a frame agent beside its CLIP
    kairos export runs/mine output=exported hub=me/mine           # and put on the Hugging Face hub, private
    kairos export runs/mine output=exported trust=true            # of a run that names parts of others: read it first
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, cast

from hydra.utils import instantiate
from omegaconf import DictConfig

from kairos.cli import command, config_dir, needs_of, user_errors
from kairos.compose import assemble, part
from kairos.core.protocols import Policy
from kairos.policy.models.publishing import check_hub_name, publish
from kairos.runs.folder import RunError, RunFolder, find_run
from kairos.stored import ON_CPU, compose_stored
from kairos.train.callbacks.checkpoint import restore
from kairos.video.budget import PixelBudget


@command("export")
def main(config: DictConfig) -> None:
    run, output = find_run(str(config.run)), Path(config.output)
    with user_errors(), needs_of(run, config_dir()):
        form: Form = instantiate(config["as"], _convert_="all")
        if output.exists() and any(output.iterdir()):
            raise RunError(f"output={output} exists and is not empty: name a new folder")
        if config.hub is not None:
            check_hub_name(config.hub)
        policy, frames = trained(run, config.trust)
        print(form(policy, output, frames))
        if config.hub is not None:
            print(f"published: {publish(output, config.hub)}")


class Form(Protocol):
    """Writes a policy to a folder, with the pixel budget that it was trained with; returns what is printed."""

    def __call__(self, policy: Policy, folder: Path, frames: PixelBudget | None) -> str: ...


def trained(run: Path, trust: bool) -> tuple[Policy, PixelBudget]:
    """The policy of a run with the weights of its newest checkpoint, on the CPU, and its pixel budget."""
    experiment = assemble(compose_stored(RunFolder(run), ON_CPU, config_dir(), trust=trust), folder=run)
    experiment.module.configure_model()
    restore(experiment.module, run, "export")
    return experiment.module.trained, cast("PixelBudget", part(experiment.config.frames))


if __name__ == "__main__":
    main()
