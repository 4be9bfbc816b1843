"""The toy data: nothing to decode, the same for the same seed, and answerable."""

from __future__ import annotations

import pytest
import torch

from kairos.data.toy import ToyFrames, ToyGrounding


def test_an_event_has_the_same_span_in_every_prompt_and_split() -> None:
    train, val = ToyGrounding(prompts=12), ToyGrounding(prompts=8, split="val")
    spans = {prompt.question: prompt.target.spans for prompt in (train[i] for i in range(12))}
    assert len(spans) == 4
    assert all(val[i].target.spans == spans[val[i].question] for i in range(8))
    assert not {train[i].uid for i in range(12)} & {val[i].uid for i in range(8)}
    assert ToyGrounding(seed=1).spans != train.spans
    assert all(0 <= s.start < s.end <= 16 for s in train.spans)


def test_the_answer_of_a_toy_prompt_is_one_that_its_template_writes() -> None:
    prompt = ToyGrounding()[0]
    assert prompt.template is not None and prompt.template.well_formed(prompt.template.answer(prompt.target))


def test_frames_are_unit_vectors_and_exactly_the_first_are_evidence() -> None:
    data = ToyFrames()
    prompt = data[0]
    clip, question = prompt.clip.features["clip"], prompt.features["question"]
    assert clip.shape == (128, 768) and question.shape == (768,)
    assert torch.allclose(clip.norm(dim=-1), torch.ones(128)) and prompt.clip.frames_TCHW is None
    (span,) = prompt.target.evidence
    inside = (prompt.clip.seconds_T >= span.start) & (prompt.clip.seconds_T <= span.end)
    assert inside.nonzero().flatten().tolist() == list(range(16))
    assert torch.equal(clip, ToyFrames()[3].clip.features["clip"])
    assert not torch.equal(clip, ToyFrames(seed=1)[0].clip.features["clip"])


def test_data_sets_end_and_refuse_what_cannot_be() -> None:
    assert len(list(ToyGrounding(prompts=3))) == 3 and len(list(ToyFrames(prompts=2))) == 2
    with pytest.raises(ValueError, match=r"data.events must lie in 1..8, got 9"):
        ToyGrounding(events=9)
    with pytest.raises(ValueError, match=r"data.evidence must lie in 1..127, got 128"):
        ToyFrames(evidence=128)
