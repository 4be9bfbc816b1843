r"""Answer the prompts of a split greedily and print the scores, with intervals, floors and their manifest.

Of a run, with its data and wording, of weights from anywhere, or of answers in a file. A killed evaluation goes on
where it stopped when the command is repeated; several processes (torchrun) or shards answer side by side.

Examples:

    kairos evaluate runs/mine                                     # its validation split; shard=1/4: a fourth of it
    kairos evaluate runs/mine templates=[answer,think]            # asked in two wordings
    kairos evaluate runs/mine data=charades data.annotations=charades data.videos=charades/videos output=scores.json
    kairos evaluate policy=qwen2_5_vl_3b policy.weights=exported data=jsonl \
        data.annotations=mine.jsonl data.videos=videos export=[lmms_eval]   # weights from anywhere
    kairos evaluate predictions=answers.jsonl data=qvhighlights data.annotations=qvh data.videos=videos   # no model
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import cast

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from kairos.cli import command, config_dir, needs_of, user_errors
from kairos.commands._answers import Answers, from_file
from kairos.compose import Experiment, assemble, compose, metrics_of, part, resolved, wording
from kairos.data.dataset import records_of
from kairos.data.records import Record
from kairos.evaluation.answered_rows import Shard
from kairos.evaluation.conventions import OURS, Convention, Difference, score_differences
from kairos.evaluation.manifest import ScoredRows, digest_of, manifest_of, predictions_path, write_scores
from kairos.evaluation.predictions import Prediction, write
from kairos.evaluation.score_table import score_table
from kairos.evaluation.scores import scored
from kairos.evaluation.submissions.formats import format_of
from kairos.evaluation.submissions.submitted import Row
from kairos.policy.models.checkpoints import newest_checkpoint
from kairos.report.printed_scores import print_scores
from kairos.runs.conditions import conditions_of
from kairos.runs.evaluations import SCORES, evaluation_folder
from kairos.runs.folder import RunFolder, reworded
from kairos.runs.lock import locked_run_of
from kairos.runs.versions import commit
from kairos.stored import compose_stored
from kairos.train.devices import ranks
from kairos.train.devices.joined import joined

FOLDER = Path("runs/evaluation")


@command("evaluate")
def main(config: DictConfig) -> None:
    alone = config.output and config.shard is None and ranks.main_process()
    with (
        user_errors(),
        needs_of(Path(config.run), config_dir()) if config.run else nullcontext(),
        locked_run_of(Path(config.output)) if alone else nullcontext(),
        joined(),
    ):
        evaluate(config)


def evaluate(config: DictConfig) -> None:
    overrides = list(HydraConfig.get().overrides.task)
    shard, forms = Shard.read(config.shard), {name: format_of(name) for name in config.export or ()}
    if config.predictions and shard != Shard():
        raise ValueError(f"shard={shard} is for answering; predictions={config.predictions} are answers already")
    run = RunFolder(Path(config.run)) if config.run else None
    if run is not None and ranks.main_process() and (outdated := run.outdated()):
        print(outdated)
    names = config.templates or [None]
    typed = [[*overrides, f"template={name}"] if name else overrides for name in names]
    first = experiment_of(config, run, typed[0])  # a folder that is not trusted is refused before anything is written
    output, found = output_of(config, run, overrides), list[ScoredRows]()
    answers = Answers(config, run, output, shard)
    for name, given in zip(names, typed, strict=True):
        experiment = first if given is typed[0] else experiment_of(config, run, given)
        label, metrics = name or "default", metrics_of(experiment.config)
        conditions = {**conditions_of(resolved(experiment.config)), "wording": digest_of(wording(experiment.config))}
        conditions |= {"commit": commit()}
        records = records_of(experiment.datamodule.dataset(config.split))[: config.count] if forms else []
        if forms and not records:
            raise ValueError(f"export={','.join(forms)} needs annotations with records, which these data do not have")
        if config.predictions:
            rows, weights = from_file(experiment, config), None
        else:
            rows, weights = answers.of(experiment, label, conditions)
        if rows is None or not ranks.main_process():
            continue
        predictions = scored(rows, metrics)
        convention = cast("Convention", part(experiment.config.convention))
        theirs = score_differences(predictions, convention, metrics) if convention.name != OURS.name else []
        table = {**score_table(predictions, metrics), **beside(theirs, convention)}
        conditions |= {"compat": {"name": convention.name, **convention.departures()}}
        manifest = manifest_of(predictions, table, config.split, {**conditions, "weights": weights})
        found.append(ScoredRows(label, table, manifest))
        print_scores(found[-1])
        for each in theirs:
            print(f"by the convention {convention.name}, {each}")
        name_failures(predictions)
        write(predictions, predictions_path(output, label))
        write_scores(output, found)
        answers.forget(label)
        for each, form in forms.items():
            path = output.parent / "exports" / f"{output.stem}.{label}.{each}{form.suffix}"
            form.write(rows_of(records, predictions), path)
            print(f"exported: {path}")
    if found:
        print(f"written: {output}, predictions and manifest beside it")


def experiment_of(config: DictConfig, run: RunFolder | None, overrides: Sequence[str]) -> Experiment:
    if run is None:
        composed = compose(overrides, config_dir(), "evaluate")
    else:
        composed = compose_stored(run, overrides, config_dir(), "evaluate", FOLDER, config.trust)
    experiment = assemble(composed, overrides, FOLDER)
    changed = reworded(experiment.config.policy.get("weights"), wording(experiment.config))
    if changed and ranks.main_process():
        print(changed)
    return experiment


def output_of(config: DictConfig, run: RunFolder | None, overrides: Sequence[str]) -> Path:
    """The file of the scores: where it was said, in the run's folder, or below runs/evaluation; for all processes."""
    if config.output:
        return Path(config.output)
    made = []
    if ranks.main_process():
        checkpoint = None if run is None or config.predictions else newest_checkpoint(run.path)
        weights = config.predictions or (None if run is not None else config.policy.get("weights"))
        of = checkpoint.stem if checkpoint else Path(str(weights)).stem if weights else "untrained"
        parent = Path("runs") if run is None else run.path
        made = [str(evaluation_folder(parent, of, config.split, overrides))]
    return Path(ranks.gather(made)[0]) / SCORES


def beside(theirs: Sequence[Difference], convention: Convention) -> dict[str, object]:
    """The scores by another convention, to keep with ours."""
    return {"convention": {convention.name: {each.name: each.theirs for each in theirs}}} if theirs else {}


def name_failures(predictions: Sequence[Prediction], most: int = 3) -> None:
    """Print which rows count as 0 because nobody answered them."""
    failed = [row for row in predictions if not row.answered]
    for row in failed[:most]:
        print(f"counts as 0: {row.uid}: {row.reason}")
    if len(failed) > most:
        print(f"counts as 0: {len(failed) - most} more rows, named in the predictions")


def rows_of(records: Sequence[Record], predictions: Sequence[Prediction]) -> list[Row]:
    """Records and predictions side by side."""
    return [Row(place, *pair) for place, pair in enumerate(zip(records, predictions, strict=True))]


if __name__ == "__main__":
    main()
