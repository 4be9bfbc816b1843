"""The data set of prompts: decodes, enriches and lays out a record; an unusable record becomes a Failure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import replace
from typing import Protocol

import torch
from torch.utils.data import ConcatDataset, Dataset

from kairos.core.prompt_text import PromptError, text_fault
from kairos.core.protocols import Enrich, Processor
from kairos.core.seeds import mix
from kairos.core.types import Failure, Prompt, PromptBatch, Template, VideoClip, VideoSource
from kairos.curriculum.order import permutation
from kairos.data.records import Reader, Record
from kairos.data.templates.parts import NoWording
from kairos.video.loader import filled
from kairos.video.samplers.shown import features_and_frames

_TRIED = 64  # prompts, in search of one that can be used


class Loader(Protocol):
    """Loads clips, as `kairos.video.loader.ClipLoader`; VideoError if a video cannot be used."""

    def load(self, source: VideoSource) -> VideoClip: ...


class PromptDataset(Dataset[Prompt | Failure]):
    """Map-style: item i is record i as a Prompt (decoded, enriched, laid out), or a Failure that names it.

    `records` are records, or a reader of them (which may render or open files). `enrich` maps names to functions that
    add features to a decoded prompt, applied in order (None: left out), then the one that chooses frames (`Shown`). A
    video that cannot be decoded, a PromptError of `enrich` or of the processor, a target span without length, and texts
    that are longer than `text_bytes` together or hold what is no text (`text_fault`) are failures of one prompt; all
    other errors stop the run. A span that lies wholly behind the decoded clip is a failure too, and stops the run where
    the reader says `invalid="error"`.
    """

    def __init__(
        self,
        records: Sequence[Record] | Reader,
        loader: Loader,
        template: Template | None = None,
        processor: Processor | None = None,
        enrich: Mapping[str, Enrich | None] | None = None,
        text_bytes: int = 16_384,
    ) -> None:
        if text_bytes < 1:
            raise ValueError(f"text_bytes must be >= 1 (of question, options and demonstration), got {text_bytes}")
        self.invalid = "skip" if isinstance(records, Sequence) else getattr(records, "invalid", "skip")
        self.records = list(records) if isinstance(records, Sequence) else records.records()
        if not self.records:
            raise ValueError("no records to learn from: check the paths and the filters of `data`")
        self.loader, self.template, self.processor = loader, template, processor
        self.text_bytes = text_bytes
        self.enrich = dict(enrich or {})
        self._check_wordings()
        adding, showing = features_and_frames(self.enrich)
        self._in_order = [*adding, *showing]

    def _check_wordings(self) -> None:
        """NoWording, before anything is decoded, where prompts get words and the template has none for a record."""
        if self.template is None or self.processor is None:
            return
        for record in {record.task: record for record in reversed(self.records)}.values():
            clip = VideoClip(record.uid, None, torch.zeros(0), record.duration or 0.0)
            try:
                self.template.messages(self._prompt(record, clip))
            except NoWording:
                raise
            except ValueError:  # of this row alone: told when the row is read
                continue

    def of(self, records: Sequence[Record]) -> PromptDataset:
        """The same data set with other records."""
        same = PromptDataset(records, self.loader, self.template, self.processor, self.enrich, self.text_bytes)
        same.invalid = self.invalid
        return same

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Prompt | Failure:
        record = self.records[index]
        for span in (*record.target.spans, *record.target.evidence):
            if not span.proper:
                return Failure(record.uid, f"span {span.start:g} to {span.end:g} has no length: correct the annotation")
        texts = (record.question, *record.options, record.target.demonstration or "")
        if (fault := text_fault(texts, self.text_bytes)) is not None:
            return Failure(record.uid, f"its question, options or demonstration {fault}")
        missed = False
        try:
            prompt = self._decoded(record)
            missed = filled(prompt.clip)
            self._refuse_spans_behind(prompt)
            for add in self._in_order:
                prompt = add(prompt)
            return prompt if self.processor is None else replace(prompt, layout=self.processor(prompt))
        except PromptError as error:
            return Failure(record.uid, str(error), missed)

    def _refuse_spans_behind(self, prompt: Prompt) -> None:
        """PromptError, or ValueError with invalid="error", for a span that begins after the clip has ended."""
        seconds = prompt.clip.duration if prompt.clip is not None else 0.0
        for span in (*prompt.target.spans, *prompt.target.evidence):
            if 0 < seconds <= span.start:
                fault = f"span {span.start:g} to {span.end:g} lies behind the clip, which ends after {seconds:g} s"
                if self.invalid == "error":
                    raise ValueError(
                        f"{prompt.uid}: {fault}; correct the annotation, or leave such rows out with data.invalid=skip"
                    )
                raise PromptError(f"{fault}: correct the annotation")

    def _decoded(self, record: Record) -> Prompt:
        return self._prompt(record, self.loader.load(record.video))

    def _prompt(self, record: Record, clip: VideoClip) -> Prompt:
        return Prompt(
            uid=record.uid,
            task=record.task,
            source=record.source,
            clip=clip,
            question=record.question,
            target=record.target,
            options=record.options,
            template=self.template,
        )


def concatenated(parts: Mapping[str, Callable[[], Dataset[Prompt | Failure]]]) -> Dataset[Prompt | Failure]:
    """Concatenates data sets in the mapping's order; each keeps its own reader and template."""
    return ConcatDataset([part() for part in parts.values()])


def records_of(dataset: Dataset[Prompt | Failure]) -> list[Record]:
    """The records of a data set in order; empty if it makes its prompts without records."""
    if isinstance(dataset, ConcatDataset):
        return [record for part in dataset.datasets for record in records_of(part)]
    return dataset.records if isinstance(dataset, PromptDataset) else []


def size_of(dataset: Dataset[Prompt | Failure]) -> int:
    """The length of a map-style data set; TypeError if it has none (torch's type does not require one)."""
    if not isinstance(dataset, Sized):
        raise TypeError(f"a data set of prompts must know its length, and a {type(dataset).__name__} does not")
    return len(dataset)


def collate(items: Sequence[Prompt | Failure]) -> PromptBatch:
    """One batch, as long as `items`: good prompts of the batch, at weight 0, replace those that failed.

    If every item failed, the batch has no prompts, only failures and counts: see `StandIns`.
    """
    good = [item for item in items if isinstance(item, Prompt)]
    failures = tuple(item for item in items if isinstance(item, Failure))
    counts = {"misses": sum(item.missed if isinstance(item, Failure) else filled(item.clip) for item in items)}
    if not good:
        return PromptBatch((), torch.zeros(0), failures, counts)
    prompts, weights = [], []
    for place, item in enumerate(items):
        failed = isinstance(item, Failure)
        prompts.append(good[place % len(good)] if failed else item)
        weights.append(0.0 if failed else 1.0)
    return PromptBatch(tuple(prompts), torch.tensor(weights), failures, counts)


class StandIns:
    """Fills a batch in which every prompt failed with a good prompt at weight 0, so that every rank has a batch.

    The prompt is a function of the data set and the seed, so a resumed run and every rank use the same one. It is
    loaded when it is first needed, in the training process, because no worker sees every batch. ValueError if none of
    64 prompts, drawn from the whole data set, can be used.
    """

    def __init__(self, dataset: Dataset[Prompt | Failure], seed: int) -> None:
        self.dataset, self.seed = dataset, seed
        self._found: Prompt | None = None

    def __call__(self, batch: PromptBatch) -> PromptBatch:
        if batch.prompts:
            return batch
        self._found = self._found or self._find(batch.failures)
        count = len(batch.failures)
        return replace(batch, prompts=(self._found,) * count, weights_P=torch.zeros(count))

    def _find(self, failures: Sequence[Failure]) -> Prompt:
        tried = permutation(size_of(self.dataset), mix(self.seed, "stand-in"), 0)[:_TRIED]
        for index in tried:
            if isinstance(item := self.dataset[index], Prompt):
                return item
        named = "; ".join(f"{failure.uid}: {failure.reason}" for failure in failures[:5])
        raise ValueError(
            f"no prompt of a batch could be used ({len(failures)} failed): {named}; nor could any of {len(tried)} that "
            "were drawn from all the data to take their place: check the paths of `data`"
        )
