"""The vocabulary keeps its promises: slices stay consistent, and bad values are refused where they enter."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from kairos.core.types import (
    Origin,
    Prompt,
    Rollout,
    RolloutBatch,
    RolloutGroup,
    Sampling,
    Target,
    VideoClip,
    VideoSource,
)


def clip(frames: int = 4) -> VideoClip:
    pixels = torch.arange(frames, dtype=torch.uint8)[:, None, None, None].expand(frames, 3, 2, 2)
    return VideoClip("c", pixels, torch.arange(frames) * 0.5, 2.0, {"clip": torch.arange(frames)[:, None] * 1.0})


def prompt(uid: str) -> Prompt:
    return Prompt(uid, "grounding", "test", clip(), "when?", Target())


def batch(**fields: torch.Tensor) -> RolloutBatch:
    """Three prompts with 1, 2 and 2 rows of three actions; row i holds the number i everywhere."""
    row_B = torch.arange(5)
    values = {
        "group_of_B": torch.tensor([0, 1, 1, 2, 2]), "actions_BA": row_B[:, None].expand(5, 3),
        "mask_BA": torch.ones(5, 3), "origin_B": row_B, "advantages_B": row_B * 1.0, "weights_B": torch.ones(5),
        **fields,
    }  # fmt: skip
    return RolloutBatch((prompt("a"), prompt("b"), prompt("c")), temperature=0.7, **values)


def test_take_slices_every_row_field_and_keeps_what_is_none():
    numbers_BA = torch.arange(5)[:, None].expand(5, 3) * 1.0
    whole = replace(batch(old_logprobs_BA=numbers_BA), reference_logprobs={"start": numbers_BA, "teacher": -numbers_BA})
    taken = whole.take([4, 1, 4])
    for name in ("actions_BA", "origin_B", "advantages_B", "old_logprobs_BA"):
        rows = getattr(taken, name).reshape(3, -1)[:, 0]
        assert rows.tolist() == [4, 1, 4], name
    assert taken.behavior_logprobs_BA is None
    references = {name: logprobs_BA[:, 0].tolist() for name, logprobs_BA in taken.reference_logprobs.items()}
    assert references == {"start": [4.0, 1.0, 4.0], "teacher": [-4.0, -1.0, -4.0]}
    moved = taken.to("meta")
    assert {values_BA.device.type for values_BA in moved.reference_logprobs.values()} == {"meta"}
    assert batch().take([0]).reference_logprobs == {}
    assert taken.temperature == 0.7 and len(taken) == 3


@pytest.mark.parametrize("rows", [[0, 1, 2, 3, 4], [3, 4], [4, 0], [2], [3, 1, 4, 2]])
def test_take_keeps_only_the_prompts_it_needs_and_each_row_its_own(rows):
    whole = batch()
    for taken in (whole.take(rows), whole.take(torch.tensor(rows))):
        owners = [taken.prompts[g].uid for g in taken.group_of_B.tolist()]
        assert owners == [whole.prompts[int(whole.group_of_B[row])].uid for row in rows]
        assert sorted(set(owners)) == sorted(p.uid for p in taken.prompts)


def test_taking_twice_is_taking_once():
    whole = batch()
    twice, once = whole.take([4, 3, 1]).take([2, 0]), whole.take([1, 4])
    assert [p.uid for p in twice.prompts] == [p.uid for p in once.prompts]
    assert torch.equal(twice.group_of_B, once.group_of_B) and torch.equal(twice.actions_BA, once.actions_BA)


def test_a_batch_moves_its_rows_and_leaves_its_prompts():
    whole = batch()
    moved = whole.to("cpu")
    assert moved.prompts is whole.prompts and torch.equal(moved.actions_BA, whole.actions_BA)


def test_a_clip_takes_frames_times_and_features_together():
    taken = clip().take(torch.tensor([3, 1]))
    assert taken.seconds_T.tolist() == [1.5, 0.5]
    assert taken.frames_TCHW is not None and taken.frames_TCHW[:, 0, 0, 0].tolist() == [3, 1]
    assert taken.features["clip"][:, 0].tolist() == [3.0, 1.0]
    assert taken.duration == 2.0 and len(taken) == 2
    features_only = VideoClip("c", None, torch.arange(3), 3.0).take(torch.tensor([0]))
    assert features_only.frames_TCHW is None and len(features_only) == 1


def test_a_clip_has_one_time_per_frame():
    with pytest.raises(ValueError, match="clip c: 2 frames but 3 frame times"):
        VideoClip("c", torch.zeros(2, 3, 1, 1, dtype=torch.uint8), torch.arange(3), 1.0)


@pytest.mark.parametrize(
    ("field", "value"), [("temperature", -0.1), ("top_p", 0.0), ("top_p", 1.1), ("top_k", -1), ("max_actions", 0)]
)
def test_sampling_refuses_what_cannot_be_drawn_from(field, value):
    with pytest.raises(ValueError, match=f"sampling.{field} must"):
        Sampling(**{field: value})


def test_a_group_knows_which_rows_the_policy_wrote():
    rows = tuple(Rollout("x", None, origin=origin) for origin in Origin)
    assert RolloutGroup(prompt("a"), rows).on_policy_G.tolist() == [True, False, False]


def test_a_source_names_its_part_of_the_video():
    assert str(VideoSource("a.mp4")) == "a.mp4"
    assert str(VideoSource("a.mp4", 1.5)) == "a.mp4[1.5:]"
    assert str(VideoSource("a.mp4", end=3.0)) == "a.mp4[0:3]"
