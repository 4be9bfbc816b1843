"""Learning rates are a function of the iteration: constant, linear or cosine, behind a linear warm-up."""

from __future__ import annotations

import pytest

from kairos.train.optimizer import Optimizer


def rates(iterations: int, **fields: float | str) -> list[float]:
    optimizer = Optimizer(learning_rate=1.0, **fields)  # type: ignore[arg-type]
    return [optimizer.rate(iteration, iterations) for iteration in range(iterations)]


def test_schedules_fall_as_they_are_named():
    assert rates(4) == [1.0] * 4
    assert rates(4, schedule="linear") == [1.0, 0.75, 0.5, 0.25]
    assert rates(4, schedule="cosine") == pytest.approx([1.0, 0.853553, 0.5, 0.146447], abs=1e-6)
    assert rates(4, schedule="linear", floor=0.5) == [1.0, 0.875, 0.75, 0.625]


def test_a_warm_up_rises_to_the_full_rate_and_the_schedule_starts_behind_it():
    assert rates(6, warmup=2, schedule="linear") == [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]


def test_a_warm_up_below_one_is_a_share_of_the_run():
    assert rates(125, warmup=0.05) == rates(125, warmup=6)
    assert rates(10, warmup=0.05) == [1.0] * 10


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"schedule": "step"}, "optimizer.schedule must be one of constant, linear, cosine, got 'step'"),
        ({"warmup": -1}, "optimizer.warmup must be >= 0, got -1"),
        ({"floor": 2.0}, r"optimizer.floor is a share of the learning rate, in \[0, 1\], got 2.0"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(fields: dict[str, float | str], message: str):
    with pytest.raises(ValueError, match=message):
        Optimizer(**fields)  # type: ignore[arg-type]
