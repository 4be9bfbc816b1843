"""Where `kairos evaluate` gets its answers: from weights, or from a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

from omegaconf import DictConfig

from kairos.compose import Experiment, part
from kairos.core.grammar import LENIENT, Grammar
from kairos.core.types import Prompt, Template
from kairos.data.dataset import records_of
from kairos.evaluation.answered_rows import AnsweredRows, Shard
from kairos.evaluation.manifest import digest_of
from kairos.evaluation.predictions import Prediction
from kairos.evaluation.submissions.formats import format_of, recognised
from kairos.evaluation.submissions.grading import graded
from kairos.policy.answering.token_identity import token_identity
from kairos.policy.models.weights_hash import weights_hash
from kairos.policy.processor import LanguageProcessor
from kairos.runs.folder import RunFolder
from kairos.train.answering import answer_rest
from kairos.train.callbacks.checkpoint import restore
from kairos.train.devices import ranks
from kairos.train.devices.place import place
from kairos.train.grpo import GRPOModule
from kairos.video.budget import PixelBudget

_TRIED = 8  # prompts, in search of one that loads


class Answers:
    """Answers prompts with one policy in several wordings. Weights are loaded once, and only if a row is left."""

    def __init__(self, config: DictConfig, run: RunFolder | None, output: Path, shard: Shard) -> None:
        self.config, self.run, self.output, self.shard = config, run, output, shard
        self._module: GRPOModule | None = None
        self._hash = ""

    def of(
        self, experiment: Experiment, label: str, conditions: Mapping[str, object]
    ) -> tuple[list[Prediction] | None, str | None]:
        """All predictions of a wording, and the hash of the weights; None while other shards are at work."""
        config, rows = self.config, self._rows(label)
        if ranks.main_process():
            if config.overwrite and self.shard == Shard():
                rows.remove()
            asked = [record.uid for record in records_of(experiment.datamodule.dataset(config.split))[: config.count]]
            rows.begin({"split": config.split, "count": config.count, "rows": digest_of(asked), **conditions})
        ranks.gather([None])

        def ready() -> GRPOModule:
            module = self._placed(experiment)
            if ranks.main_process():
                rows.of_weights(self._hash)
                print(compared(experiment, config.split))
            return module

        found = answer_rest(ready, experiment.datamodule, config.split, config.count, config.size, rows, self.shard)
        if found is None and ranks.main_process():
            print(
                f"shard {self.shard} of template {label} is answered, in {rows.folder}; others are not: the last of "
                "them writes the scores. Shards of other machines: copy their files into that folder and repeat"
            )
        return found, rows.weights()

    def forget(self, label: str) -> None:
        """Remove the rows of a wording whose predictions have been written."""
        self._rows(label).remove()

    def _rows(self, label: str) -> AnsweredRows:
        return AnsweredRows(self.output.parent / "predictions" / f"{self.output.stem}.{label}.rows")

    def _placed(self, experiment: Experiment) -> GRPOModule:
        if self._module is None:
            self._module = place(experiment.module, self.config.trainer.accelerator)
            if self.run is not None:
                restore(self._module, self.run.path, "evaluate")
            if ranks.main_process():
                self._hash = weights_hash(self._module.policy.state_dict())
        return self._module


def from_file(experiment: Experiment, config: DictConfig) -> list[Prediction]:
    """The answers of `predictions=`, one for each row of the split. SubmissionError."""
    path = Path(config.predictions)
    name = config.format or recognised(path)
    form = format_of(name)
    records = records_of(experiment.datamodule.dataset(config.split))[: config.count]
    if not records:
        raise ValueError(f"predictions={path}: these data have no records to compare with")
    found = graded(form.read(path), records, form, _grammar(experiment), config.times)
    print(f"{path}: {len(found.predictions) - len(found.missing)} answers in the format {name}")
    if (remark := found.remark()) is not None:
        print(remark)
    return found.predictions


def compared(experiment: Experiment, split: str) -> str:
    """One line about the token ids of a prompt beside those of transformers' own processor."""
    config = experiment.config
    processor = part(config.processor) if config.processor is not None else None
    if not isinstance(processor, LanguageProcessor):
        return "token ids: not compared (this policy reads no tokens of a language model)"
    dataset = experiment.datamodule.dataset(split)
    items = (dataset[index] for index in range(min(_TRIED, len(records_of(dataset)))))
    prompt = next((item for item in items if isinstance(item, Prompt)), None)
    if prompt is None:
        return f"token ids: not compared (none of the first {_TRIED} prompts loads)"
    try:
        found = token_identity(processor, prompt, cast("PixelBudget", part(config.frames)))
    except (OSError, ValueError) as error:
        return f"token ids: NOT COMPARED: transformers' processor cannot be loaded, or refuses the prompt: {error}"
    return "token ids: not compared (transformers has no processor for it)" if found is None else str(found)


def _grammar(experiment: Experiment) -> Grammar:
    template = cast("Template | None", part(experiment.config.template))
    return LENIENT if template is None else template.grammar
