"""Select training prompts by repeated inference: K rollouts for each, and a rule that reads their rewards.

Writes rewards.jsonl, <selector>.json and a picture of the choice to its folder. Another selector reads the same rewards
again, and a killed command goes on where it stopped.

Examples:

    kairos select_prompts template=answer sampling.max_actions=16
    kairos select_prompts selector=variance selector.count=320 repeats=4 name=widest
    kairos select_prompts selector=gaussian selector.count=100 name=widest    # another rule over the same rewards
    kairos select_prompts data=jsonl data.annotations=mine.jsonl data.videos=videos policy=qwen3_vl_4b count=500
    kairos train curriculum=selection curriculum.selection=runs/selections/widest/variance.json    # train on them
"""

from __future__ import annotations

from pathlib import Path

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig

from kairos.cli import command, user_errors
from kairos.compose import Experiment, assemble, check_values, resolved, wording
from kairos.core.types import Failure
from kairos.curriculum.measures import measures_of
from kairos.curriculum.rewards import read_rewards
from kairos.curriculum.selections import Selection, write_selection
from kairos.evaluation.prompt_rewards import done, failures, measure_rewards, write
from kairos.progress import showing_progress
from kairos.report.selection_histogram import histogram
from kairos.runs.folder import RunFolder
from kairos.runs.names import folder_name, run_folder
from kairos.runs.versions import versions
from kairos.train.callbacks.validation import greedy_engine
from kairos.train.devices.place import place


@command("select_prompts", goes_on=True)
def main(config: DictConfig) -> None:
    with user_errors():
        select(config)


def select(config: DictConfig) -> None:
    chosen = str(HydraConfig.get().runtime.choices["selector"])
    overrides = list(HydraConfig.get().overrides.task)
    there = Path("runs") / "selections"
    older = there / folder_name(overrides).replace("=", "-").replace(",", "_")
    usual = older if older.is_dir() and not config.name else run_folder(None, config.name, overrides, there)
    folder = Path(config.output or usual)
    check_values(config, "selector")
    selector = instantiate(config.selector, _convert_="all")
    experiment = assemble(config, overrides, folder)
    run = RunFolder(folder)
    if config.overwrite:
        run.clear()
    run.begin(resolved(config), overrides, versions(), config.allow_changes, wording(config))
    measured = folder / "rewards.jsonl"
    measure(experiment, measured)
    rows, failed = read_rewards(measured), failures(measured)
    kept = selector(rows)
    if not kept:
        raise ValueError(f"selector={chosen} keeps none of {len(rows)} prompts: look at {measured}, or loosen it")
    selection = Selection(tuple(row.uid for row in kept))
    write_selection(folder / f"{chosen}.json", selection)
    uids = [row.uid for row in rows]
    picture = histogram(uids, {row.uid for row in kept}, measures_of(selector, rows), folder / f"{chosen}.png")
    for uid, reason in list(failed.items())[:3]:
        print(f"failed: {uid}: {reason}")
    print(f"{len(rows)} prompts measured, {len(failed)} failed, {len(kept)} selected; {measured}, {picture}")
    print(f"train on them: curriculum=selection curriculum.selection={folder / chosen}.json")


def measure(experiment: Experiment, path: Path) -> None:
    """Measure the rewards that the file lacks, and append them."""
    config, data = experiment.config, experiment.datamodule
    everything = len(data.dataset(config.split))  # type: ignore[arg-type]
    total = everything if config.count is None else min(config.count, everything)
    first = done(path, config.size, total)
    failed = len(failures(path))
    with showing_progress("measuring", total, first) as advance, torch.no_grad():
        if first < total:
            module = place(experiment.module, config.trainer.accelerator)
            module.policy.eval()
            engine = greedy_engine(module.engine)
            engine.setup(module.device)
            engine.sync(module.trained)
            batches = data.batches(config.split, size=config.size, indices=range(first, total))
            sampling = module.sampling.at(0, module.iterations)
            for rows in measure_rewards(engine, module.reward, batches, sampling, config.repeats, config.seed):
                write(path, rows)
                failed += sum(isinstance(row, Failure) for row in rows)
                advance(len(rows), f"{failed} failed" if failed else "")
            engine.release()


if __name__ == "__main__":
    main()
