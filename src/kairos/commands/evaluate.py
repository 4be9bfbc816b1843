r"""Answer the prompts of a split greedily and print the scores, with intervals.

Of a run, with its data and wording, or of weights from anywhere.

Examples:

    kairos evaluate runs/mine                                     # its validation split
    kairos evaluate runs/mine templates=[answer,think]            # asked in two wordings
    kairos evaluate runs/mine probes=mini split=ood count=64      # other questions than its own
    kairos evaluate runs/mine data=charades data.annotations=charades data.videos=charades/videos output=scores.json
    kairos evaluate policy=qwen2_5_vl_3b policy.weights=exported data=jsonl \
        data.annotations=mine.jsonl data.videos=videos            # weights from anywhere
"""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Column, Table

from kairos.cli import command, config_dir, needs_of, user_errors
from kairos.compose import assemble, compose, metrics_of, wording
from kairos.evaluation.predictions import Prediction, write
from kairos.evaluation.score_table import score_table
from kairos.evaluation.scores import scored
from kairos.policy.models.checkpoints import newest_checkpoint
from kairos.runs.evaluations import new_evaluation
from kairos.runs.folder import RunFolder, reworded
from kairos.runs.lock import locked_run_of
from kairos.stored import compose_stored
from kairos.train.callbacks.checkpoint import restore
from kairos.train.callbacks.validation import predict
from kairos.train.devices.place import place

FOLDER = Path("runs/evaluation")


@command("evaluate")
def main(config: DictConfig) -> None:
    with (
        user_errors(),
        needs_of(Path(config.run), config_dir()) if config.run else nullcontext(),
        locked_run_of(Path(config.output)) if config.output else nullcontext(),
    ):
        evaluate(config)


def evaluate(config: DictConfig) -> None:
    overrides = list(HydraConfig.get().overrides.task)
    run = RunFolder(Path(config.run)) if config.run else None
    if run is not None and (outdated := run.outdated()):
        print(outdated)
    scores: dict[str, object] = {}
    output = Path(config.output) if config.output else None
    module = None
    for name in config.templates or [None]:
        chosen = [*overrides, f"template={name}"] if name else overrides
        if run is None:
            composed = compose(chosen, config_dir(), "evaluate")
        else:
            composed = compose_stored(run, chosen, config_dir(), "evaluate", FOLDER, config.trust)
        experiment = assemble(composed, chosen, FOLDER)
        if changed := reworded(experiment.config.policy.get("weights"), wording(experiment.config)):
            print(changed)
        if module is None:
            module = place(experiment.module, config.trainer.accelerator)
            if config.run:
                restore(module, Path(config.run), "evaluate")
        metrics = metrics_of(experiment.config)
        answers = predict(
            module, experiment.datamodule, config.split, config.count, config.size, label=f"answering {config.split}"
        )
        predictions = scored(answers, metrics)
        label = name or "default"
        scores[label] = found = score_table(predictions, metrics)
        show(label, found)
        if output is None and run is not None:
            output = new_evaluation(run.path, newest_checkpoint(run.path), config.split, overrides) / "scores.json"
        if output is not None:
            save(output, label, predictions, scores)
    if output is not None:
        print(f"written: {output}, predictions beside it")


def save(output: Path, label: str, predictions: list[Prediction], scores: dict[str, object]) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(scores, indent=2) + "\n", encoding="utf-8")
    write(predictions, output.parent / "predictions" / f"{output.stem}.{label}.jsonl")


def show(label: str, scores: dict[str, object]) -> None:
    table = Table(
        "task",
        Column("n", no_wrap=True),
        "score",
        "value",
        "95 % interval",
        "floor",
        "parse failures",
        title=f"template {label}",
    )
    for task, row in scores["tasks"].items():  # type: ignore[attr-defined]
        floors = row["floors"].get("constant", {}) | row["floors"].get("guess", {})
        failed = row.get("parse_failures")
        count = f"{row['n']} ({row['without_truth']} without truth)" if "without_truth" in row else str(row["n"])
        if not row["scores"]:  # nothing says what is right
            table.add_row(task, count, "none", "", "", "", "" if failed is None else f"{failed:.3f}")
        for name, value in row["scores"].items():
            table.add_row(
                task, count, name, f"{value['mean']:.3f}", f"{value['low']:.3f} to {value['high']:.3f}",
                f"{floors[name]:.3f}" if name in floors else "", "" if failed is None else f"{failed:.3f}",
            )  # fmt: skip
    Console().print(table)


if __name__ == "__main__":
    main()
