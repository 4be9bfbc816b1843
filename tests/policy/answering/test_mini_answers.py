"""On the mini world, letters scored in one pass and answers written freely are the same."""

from __future__ import annotations

import pytest
import torch

from kairos.compose import build, compose, part
from kairos.core.types import Prompt
from kairos.policy.answering.language import LanguageAnswerer


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> list[Prompt]:
    """Choice questions and needles about real clips of the mini world."""
    folder = tmp_path_factory.mktemp("mini")
    built = build(
        ["policy=toy", "data=mini", "frames=mini", "template=answer", "data.tasks=[choice,needle]", "data.val_clips=6",
         f"data.folder={folder / 'clips'}", f"store={folder / 'store'}", f"run={folder / 'run'}"]
    )  # fmt: skip
    return [prompt for batch in built.datamodule.batches("val", None) for prompt in batch.prompts]


def answerer(mode: str) -> LanguageAnswerer:
    made = part(
        compose(
            ["answerer=mini", "answerer.policy.weights=mini_base", f"answerer.mode={mode}", "answerer.max_tokens=12"]
        ).answerer
    )
    assert isinstance(made, LanguageAnswerer)
    made.build()
    return made


def test_the_letter_that_is_likeliest_is_the_letter_that_is_written(prompts: list[Prompt]):
    generator = torch.Generator().manual_seed(0)
    sets = [[torch.randperm(len(p.clip), generator=generator)[:8].sort().values] for p in prompts]
    assert len(prompts) >= 12 and {prompt.task for prompt in prompts} == {"choice", "needle"}
    scored, written = answerer("letters").answer(prompts, sets), answerer("generate").answer(prompts, sets)
    letters = [reply.text for replies in scored for reply in replies]
    texts = [reply.text for replies in written for reply in replies]
    assert all(text.startswith(letter.removesuffix("</answer>")) for text, letter in zip(texts, letters, strict=True))
    same = [text == letter for text, letter in zip(texts, letters, strict=True)]
    assert sum(same) >= 0.9 * len(same), "this base rarely goes on writing behind its answer"
    assert len(set(letters)) > 2, "it answers by what it sees"
