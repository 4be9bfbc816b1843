"""The pixel budget against the worked examples of the papers' preprocessing."""

from __future__ import annotations

import pytest

from kairos.video.budget import PixelBudget

PATCH_16 = PixelBudget(factor=32, min_pixels=4096, max_pixels=786_432, total_pixels=14_680_064)


@pytest.mark.parametrize(
    ("tokens", "size", "expected"), [(3584, (196, 364), 3185), (2048, (140, 280), 1750)], ids=["3584", "2048"]
)
def test_the_charades_clip_has_the_tokens_of_the_papers(tokens: int, size: tuple[int, int], expected: int) -> None:
    budget = PixelBudget(factor=28, min_pixels=16 * 28**2, total_pixels=tokens * 28**2)
    frames = budget.frames(335, 335 / 35.1415)
    assert frames == 70
    assert budget.size(360, 640, frames) == size
    assert budget.tokens(frames, *size) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (10, (20, 640, 1152, 7_200)),
        (60, (120, 352, 640, 13_200)),
        (150, (300, 224, 416, 13_650)),
        (600, (768, 128, 256, 12_288)),
    ],
)
def test_720p_at_patch_16_has_the_sizes_of_the_preprocessing(seconds: int, expected: tuple[int, ...]) -> None:
    frames = PATCH_16.frames(seconds * 30, 30.0)
    height, width = PATCH_16.size(720, 1280, frames)
    assert (frames, height, width, PATCH_16.tokens(frames, height, width)) == expected


def test_a_mini_clip_keeps_its_size() -> None:
    budget = PixelBudget(factor=32, min_pixels=32 * 32)
    assert budget.frames(64, 4.0) == budget.frames(128, 8.0) == 32
    assert budget.size(64, 64, 32) == (64, 64)


def test_the_number_of_frames_is_even_and_rounding_is_a_choice() -> None:
    assert PixelBudget().frames(37, 10.0) == 6  # 7.4 frames asked for
    assert PixelBudget(rounding="round").frames(37, 10.0) == 8
    for total in range(2, 60):
        assert PixelBudget().frames(total, 7.0) % 2 == 0
        assert PixelBudget(rounding="round").frames(total, 7.0) <= total


def test_frames_are_spread_from_the_first_to_the_last() -> None:
    assert PixelBudget(max_frames=4).indices(11, 2.0) == [0, 3, 7, 10]
    assert PixelBudget().indices(4, 30.0) == [0, 1, 2, 3]


def test_small_frames_grow_to_min_pixels_and_min_pixels_wins_over_total() -> None:
    budget = PixelBudget(factor=28, min_pixels=56 * 56, total_pixels=28 * 28)
    assert budget.size(20, 20, 768) == (56, 56)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"fps": 0.0}, "fps must be positive"),
        ({"min_frames": 8, "max_frames": 4}, "min_frames and max_frames"),
        ({"min_pixels": 100, "max_pixels": 50}, r"min_pixels must lie in 1..max_pixels \(50\)"),
        ({"rounding": "ceil"}, "rounding must be floor or round"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PixelBudget(**fields)  # type: ignore[arg-type]


def test_every_parameter_that_changes_a_pixel_is_described() -> None:
    base = PixelBudget().describe()
    changed = {
        "factor": 32, "fps": 1.0, "min_frames": 6, "max_frames": 12, "min_pixels": 9, "max_pixels": 999_999,
        "total_pixels": 5, "rounding": "round",
    }  # fmt: skip
    fields = set(PixelBudget.__dataclass_fields__) - {"shown"}
    assert set(base) == fields == set(changed), "shown is described where it bounds what is seen, so old keys stay"
    small = {"total_pixels": 3584 * 28**2}  # 9 frames may be as large as a frame can be
    few, all_seen = PixelBudget(**small, shown=16).describe(), PixelBudget(**small).describe()
    assert few.items() - all_seen.items() == {("shown", "16")} and PixelBudget(shown=16).describe()["shown"] == "300"
    for name, value in changed.items():
        assert PixelBudget(**{name: value}).describe()[name] != base[name]  # type: ignore[arg-type]
