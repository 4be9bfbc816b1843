"""Terms compare with frozen scorers by name: the policy before any update, and configured others such as a teacher."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.running import TOY, curve, fit, rows

from kairos.compose import build

LIKE = "+references.teacher={_target_: kairos.policy.toy.ToyPolicy}"
OTHER = "+references.teacher={_target_: kairos.policy.toy.ToyPolicy, seed: 1}"
DISTIL = [
    "objective=surrogate_kl", "~objective.terms.surrogate", "objective.terms.kl.coefficient=1.0",
    "objective.terms.kl.reference=teacher", "optimizer=sgd", "optimizer.learning_rate=0.5",
]  # fmt: skip


def test_a_teacher_that_is_the_student_teaches_nothing():
    run = fit("name=a", *DISTIL, LIKE, "iterations=2")
    assert curve(run.folder, "objective/kl") == pytest.approx([0.0, 0.0], abs=1e-6)
    assert curve(run.folder, "learn/gradient_norm") == pytest.approx([0.0, 0.0], abs=1e-5)
    assert list(run.module.references) == ["teacher"], "no copy of the policy: no term asks for it"


def test_the_policy_approaches_its_teacher():
    run = fit("name=a", *DISTIL, OTHER, "iterations=30", "sampling.group_size=16")
    kl = curve(run.folder, "objective/kl")
    assert kl[0] > 0.05 and sum(kl[-5:]) / 5 < kl[0] / 2
    teacher, policy = run.module.references["teacher"], run.module.policy
    assert not any(p.requires_grad for p in teacher.parameters())  # type: ignore[attr-defined]
    assert not torch.equal(teacher.head, policy.head)  # type: ignore[attr-defined]


def test_terms_may_compare_with_several_references_at_once():
    kl = "+objective.terms.teacher={_target_: kairos.objective.terms.ReferenceKL, coefficient: 0.1, reference: teacher}"
    run = fit("name=a", "objective=surrogate_kl", kl, OTHER, "iterations=2", "updates.microbatch=1")
    batch = run.module.rollouts
    assert batch is not None and sorted(batch.reference_logprobs) == ["start", "teacher"]
    assert curve(run.folder, "objective/kl")[0] == pytest.approx(0.0, abs=1e-6), "the policy is its own start"
    assert curve(run.folder, "objective/teacher")[0] > 0.0
    saved = torch.load(next((run.folder / "checkpoints").glob("*.ckpt")), weights_only=True)["state_dict"]
    assert {name.partition(".")[0] for name in saved} == {"policy"}
    assert len(rows(run.folder / "metrics.jsonl")) == 2


def test_a_reference_that_no_term_names_is_not_built():
    class Costly(torch.nn.Module):
        def build(self) -> None:
            raise AssertionError("its weights would be loaded")

    built = build([*TOY, "name=a", "objective=surrogate"])
    module = type(built.module)(
        built.module.trained, built.module.engine, built.module.reward, built.module.injection, built.module.advantage,
        built.module.gate, built.module.objective, built.module.sampling, built.module.optimizer, 1,
        references={"teacher": Costly()},  # type: ignore[dict-item]
    )  # fmt: skip
    module.configure_model()
    assert module.references == {}


def test_an_unknown_name_says_which_there_are_and_where_to_add_it():
    with pytest.raises(
        Exception, match=r"reference 'teecher', and there are: start .*, teacher\. .*references\.teecher"
    ):
        build([*TOY, "name=a", *DISTIL, OTHER, "objective.terms.kl.reference=teecher"])
    with pytest.raises(Exception, match="choose another name"):
        build([*TOY, "name=a", OTHER.replace("teacher", "start")])


def test_a_teacher_of_other_tokens_is_refused():
    finer = OTHER.replace("seed: 1", "bins: 64")
    with pytest.raises(
        ValueError, match=r"references\.teacher cannot score what the policy writes: .* to the reference"
    ):
        fit("name=a", *DISTIL, finer, "iterations=1")


def test_the_shipped_teacher_is_named_on_the_command_line(workplace: Path):
    built = build(
        ["data=toy", "name=a", "references=teacher", "references.teacher.policy.weights=mini_base",
         "objective.terms.kl.reference=teacher"]
    )  # fmt: skip
    assert list(built.module.teachers) == ["teacher"] and built.module.references == {}


def test_a_language_teacher_beside_a_policy_without_a_processor_says_what_it_needs():
    teacher = ["references=teacher", "references.teacher.policy.weights=mini_base"]
    with pytest.raises(Exception, match=r"needs policy\.processor, which is null beside policy=toy .* policy=mini"):
        build([*TOY, "name=a", *DISTIL, *teacher])
