"""Sets of frames that share their visual tokens are answered as each set would be by itself."""

from __future__ import annotations

import pickle
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from helpers.tiny_language import FAMILIES, Tiny, clip
from torch import Tensor

from kairos.compose import compose, part
from kairos.core.grammar import STRICT, Grammar
from kairos.core.types import Origin, Prompt, RolloutBatch, Sampling, Target
from kairos.data.templates.answer import AnswerOnly
from kairos.policy.answering.language import LanguageAnswerer
from kairos.policy.answering.letters import letters_of
from kairos.policy.families.llava_onevision import LlavaOnevision
from kairos.policy.language import LanguagePolicy
from kairos.policy.processor import LanguageProcessor
from kairos.video.composed import ComposedClip

SETS = [[[0, 3, 4], [0, 1, 2, 3, 4, 5, 6, 7]], [[4]], [[0, 5, 11], [0, 5, 10]]]
"""Sets of frames of three prompts, uneven and of different sizes."""


def asked(token: int) -> list[Prompt]:
    """Three questions with options, about clips that differ in length and size."""
    side = 2 * token
    clips = clip("a", 8, side, side, 1), clip("bb", 5, side, side + token, 5), clip("ccc", 12, side, side, 7)
    return [
        Prompt(
            uid=video.uid,
            task="choice",
            source="tiny",
            clip=video,
            question="Which event happens first?",
            target=Target(choice="B"),
            options=("red square", "blue circle", "green triangle")[: 2 + number % 2],
            template=AnswerOnly(),
        )
        for number, video in enumerate(clips)
    ]


def sets() -> list[list[Tensor]]:
    return [[torch.tensor(frames) for frames in of_prompt] for of_prompt in SETS]


def frozen(tiny: Tiny, folder: str) -> LanguagePolicy:
    return tiny.with_single_frames().policy(folder)


@pytest.fixture(params=[*sorted(FAMILIES), "newline behind a video"])
def tiny(request: pytest.FixtureRequest) -> Tiny:
    if request.param in FAMILIES:
        return FAMILIES[request.param]
    rows = FAMILIES["llava_onevision"]
    assert isinstance(rows.family, LlavaOnevision)
    return replace(rows, family=replace(rows.family, newline="video"))


def by_itself(prompt: Prompt, index_K: Tensor) -> Prompt:
    return replace(prompt, clip=prompt.clip.take(index_K))


def test_written_answers_are_those_of_each_set_as_a_prompt_of_its_own(tiny: Tiny, folder: str):
    policy = frozen(tiny, folder)
    answerer = LanguageAnswerer(policy, "generate", max_tokens=4, frames_at_once=5)
    answerer.build()
    prompts = asked(tiny.token)
    replies = answerer.answer(prompts, sets())
    greedy = Sampling(temperature=0.0, max_actions=4, group_size=1)
    for prompt, of_prompt, found in zip(prompts, sets(), replies, strict=True):
        for index_K, reply in zip(of_prompt, found, strict=True):
            alone = policy.sample([by_itself(prompt, index_K)], 1, greedy, 0)[0].rollouts[0]
            assert (reply.text, reply.truncated) == (alone.text, alone.truncated)
            assert reply.option_probs_O is None


def test_scored_letters_are_those_of_scoring_each_written_answer(tiny: Tiny, folder: str):
    policy = frozen(tiny, folder)
    answerer = LanguageAnswerer(policy, "letters", frames_at_once=3, tokens_at_once=200)
    answerer.build()
    prompts = asked(tiny.token)
    for prompt, of_prompt, found in zip(prompts, sets(), answerer.answer(prompts, sets()), strict=True):
        assert len(found) == len(of_prompt)
        for index_K, reply in zip(of_prompt, found, strict=True):
            expected_O = brute_force(policy, by_itself(prompt, index_K))
            assert reply.option_probs_O is not None
            torch.testing.assert_close(reply.option_probs_O, expected_O, atol=2e-5, rtol=1e-4)
            assert reply.text == f"<answer>{'ABC'[int(expected_O.argmax())]}</answer>"


def brute_force(policy: LanguagePolicy, prompt: Prompt) -> Tensor:
    """Score every written answer, and compare the letters at the place where they stand."""
    texts = [f"<answer>{letter}</answer>" for letter in "ABC"[: len(prompt.options)]]
    actions = [policy.encode(text) for text in texts]
    place = next(i for i in range(len(actions[0])) if len({int(a[i]) for a in actions}) > 1)
    rows = len(texts)
    batch = RolloutBatch(
        (prompt,), torch.zeros(rows, dtype=torch.long), torch.stack(actions), torch.ones(rows, len(actions[0])),
        torch.full((rows,), int(Origin.POLICY)), torch.zeros(rows), torch.ones(rows),
    )  # fmt: skip
    with torch.no_grad():
        return policy.score(batch).logprobs_BA[:, place].softmax(0)


def test_a_frame_passes_the_tower_once_for_all_sets_and_all_later_calls(folder: str):
    answerer = LanguageAnswerer(frozen(FAMILIES["qwen3_vl"], folder), frames_at_once=4)
    answerer.build()
    named = [replace(prompt, clip=replace(prompt.clip, content=prompt.uid)) for prompt in asked(32)]
    distinct = sum(len({frame for frames in of_prompt for frame in frames}) for of_prompt in SETS)
    first = answerer.answer(named, sets())
    assert answerer.features.passed == distinct
    assert answerer.counted() == {"answered_sets": 5, "tower_frames": distinct, "known_frames": 0}
    again = answerer.answer(named[::-1], sets()[::-1])
    assert answerer.counted() == {"answered_sets": 5, "tower_frames": 0, "known_frames": distinct}
    for one, other in zip(first, again[::-1], strict=True):
        for a, b in zip(one, other, strict=True):
            torch.testing.assert_close(a.option_probs_O, b.option_probs_O)


def test_clips_composed_of_the_same_frames_share_their_features(folder: str):
    answerer = LanguageAnswerer(frozen(FAMILIES["qwen3_vl"], folder), frames_at_once=4)
    answerer.build()
    parts = tuple(replace(clip(uid, 4, 64, 64, seed), content=uid) for uid, seed in (("x", 1), ("y", 2)))
    part_T, index_T = torch.tensor([0, 0, 1, 1, 0]), torch.tensor([0, 1, 2, 3, 1])
    whole = ComposedClip("xy", None, torch.arange(5.0), 5.0, parts=parts, part_T=part_T, index_T=index_T)
    prompt = replace(asked(32)[0], clip=whole)
    ((composed, _),) = answerer.answer([prompt], [[torch.tensor([1, 2, 4]), torch.tensor([0, 4])]])
    assert answerer.features.passed == 3, "frames 1 and 4 are the same frame of x"
    answerer.answer([replace(prompt, clip=parts[0])], [[torch.tensor([0, 1])]])
    assert answerer.features.passed == 3
    plain = replace(prompt, clip=replace(whole.take(torch.tensor([1, 2, 4])), frame_contents=None))
    ((alone,),) = answerer.answer([plain], [[torch.tensor([0, 1, 2])]])
    assert answerer.features.passed == 6, "frames without a name are not known again"
    torch.testing.assert_close(alone.option_probs_O, composed.option_probs_O)


def test_features_do_not_depend_on_what_else_is_computed_or_kept(folder: str):
    tiny = FAMILIES["qwen2_5_vl"]
    policy, prompt = frozen(tiny, folder), asked(tiny.token)[0]
    probs = []
    for gib, others in ((1.0, [[7, 6]]), (0.0, []), (3e-6, [[1], [5]])):  # the last keeps a few frames at most
        answerer = LanguageAnswerer(policy, frames_at_once=6, cache_gib=gib)
        answerer.build()
        for frames in others:
            answerer.answer([prompt], [[torch.tensor(sorted(frames))]])
        probs.append(answerer.answer([prompt], [[torch.tensor([1, 5, 6, 7])]])[0][0].option_probs_O)
    assert torch.equal(probs[0], probs[1]) and torch.equal(probs[0], probs[2])


def test_the_cache_forgets_the_frames_used_longest_ago(folder: str):
    policy, prompt = frozen(FAMILIES["qwen3_vl"], folder), asked(32)[0]
    prompt = replace(prompt, clip=replace(prompt.clip, content="known"))
    answerer = LanguageAnswerer(policy, frames_at_once=1, cache_gib=2 * 3 * 4 * 64 * 4 / 2**30)  # two frames
    answerer.build()
    passed = []
    for frame in (0, 1, 0, 2, 0, 1):
        answerer.answer([prompt], [[torch.tensor([frame])]])
        passed.append(answerer.features.passed)
    assert passed == [1, 2, 2, 3, 3, 4]


def test_letters_are_scored_where_an_answer_is_one_and_written_elsewhere(folder: str):
    answerer = LanguageAnswerer(frozen(FAMILIES["qwen3_vl"], folder), max_tokens=3)
    answerer.build()
    choice = asked(32)[0]
    both = [replace(choice, uid="open", options=(), task="choice"), choice]
    (free,), (letter,) = answerer.answer(both, [[torch.tensor([1, 2])]] * 2)
    assert free.option_probs_O is None and free.truncated
    assert letter.option_probs_O is not None and letter.option_probs_O.sum().item() == pytest.approx(1.0)
    assert answerer.answer([], []) == [] and answerer.answer(both, [[], []]) == [[], []]


def test_a_prompt_that_cannot_be_asked_is_refused_with_the_remedy(folder: str):
    policy = frozen(FAMILIES["qwen3_vl"], folder)
    answerer = LanguageAnswerer(policy)
    answerer.build()
    prompt, two = asked(32)[0], torch.tensor([0, 1])
    bad: list[tuple[Prompt, Tensor, str]] = [
        (replace(prompt, options=tuple("abcdefghi")), two, r"9 options, but answers are read with 8 letters \(ABCD"),
        (replace(prompt, template=None), two, "has no template"),
        (replace(prompt, clip=replace(prompt.clip, frames_TCHW=None)), two, "has no frames"),
        (prompt, torch.tensor([0, 8]), "rising indices of its clip's 8 frames"),
        (prompt, torch.tensor([1, 0]), "rising indices"),
        (prompt, torch.tensor([], dtype=torch.long), "rising indices"),
    ]  # fmt: skip
    for one, index_K, said in bad:
        with pytest.raises(ValueError, match=said):
            answerer.answer([one], [[index_K]])
    with pytest.raises(ValueError, match="has no options to score"):
        letters_of(replace(prompt, options=()), policy.processor)
    with pytest.raises(ValueError, match="do not tell the letters apart"):
        letters_of(replace(prompt, template=Same()), policy.processor)


@dataclass(frozen=True)
class Same(AnswerOnly):
    """A template that writes every answer the same."""

    grammar: Grammar = STRICT

    def answer(self, target: Target) -> str:
        return "<answer></answer>"


def test_a_model_that_cannot_answer_is_refused_before_it_is_loaded(folder: str, tmp_path: Path):
    tiny = FAMILIES["qwen3_vl"]
    with pytest.raises(ValueError, match="single_frames=true"):
        LanguageAnswerer(tiny.policy(folder))
    policy = frozen(tiny, folder)
    with pytest.raises(ValueError, match="mode must be letters, generate or null"):
        LanguageAnswerer(policy, "letter")  # type: ignore[arg-type]
    shutil.copytree(folder, tmp_path / "bare")
    (tmp_path / "bare" / "chat_template.jinja").unlink()
    processor = LanguageProcessor(str(tmp_path / "bare"), tiny.with_single_frames().family)
    with pytest.raises(ValueError, match=r"bare has no chat template.*processor.chat_template"):
        LanguageAnswerer(LanguagePolicy(processor, "nowhere")).build()


def test_an_answerer_is_pickled_before_it_is_built(folder: str):
    tiny = FAMILIES["qwen3_vl"]
    processor = LanguageProcessor(folder, tiny.with_single_frames().family)
    answerer = LanguageAnswerer(LanguagePolicy(processor, config=tiny.config))
    again = pickle.loads(pickle.dumps(answerer))
    again.build()
    assert len(again.answer(asked(32), sets())) == 3
    assert not any(p.requires_grad for p in again.policy.parameters()) and not again.policy.training


@pytest.mark.parametrize(("template", "prefix"), [("answer", "<answer"), ("temporal_r1_all_tasks", None)])
def test_the_tokens_of_qwens_real_tokenizer_tell_the_letters_apart(
    real_data: Path, tmp_path: Path, template: str, prefix: str | None
):
    for name, new in (
        ("vocab.json",) * 2,
        ("merges.txt",) * 2,
        ("tokenizer_config.qwen25.json", "tokenizer_config.json"),
    ):
        shutil.copy(real_data / "tokenizer_qwen2" / name, tmp_path / new)
    processor = LanguageProcessor(str(tmp_path))
    written = part(compose([f"template={template}"]).template)
    letters = letters_of(replace(asked(28)[0], options=tuple("abcdefgh"), template=written), processor)
    begun = processor.decode(list(letters.prefix))
    assert prefix is None or begun == prefix
    for text, token, letter in zip(letters.texts, letters.tokens, "ABCDEFGH", strict=True):
        assert text.startswith(begun + processor.decode([token])) and processor.decode([token])[-1] == letter
