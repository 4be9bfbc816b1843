"""Shapes give the values of TempSamp-R1, and keep the order of rewards."""

from __future__ import annotations

import pytest
import torch

from kairos.credit.shapes import Identity, LogExp, Power, Threshold


def test_log_exp_gives_the_released_values():
    rewards = torch.tensor([0.0, 0.2, 0.5, 0.75, 0.8, 0.9, 1.0])
    expected = [0.086764, 0.321546, 0.596390, 0.770161, 0.800000, 0.800953, 0.801823]
    assert LogExp()(rewards).tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("shape", [Identity(), LogExp(), LogExp(0.5, 0.1, 3.0), Power(2.0), Power(0.5)])
def test_shapes_keep_the_order_of_rewards(shape):
    shaped = shape(torch.linspace(0, 1, 201))
    assert (shaped.diff() > 0).all()


def test_log_exp_is_continuous_at_its_knee():
    around = LogExp(0.6)(torch.tensor([0.6 - 1e-6, 0.6, 0.6 + 1e-6], dtype=torch.float64))
    assert around.tolist() == pytest.approx([0.6, 0.6, 0.6], abs=1e-5)


def test_power_keeps_the_sign_of_a_negative_reward():
    assert Power(0.5)(torch.tensor([-0.25, 0.0, 0.25])).tolist() == [-0.5, 0.0, 0.5]


def test_threshold_counts_its_own_value_in():
    assert Threshold(0.5)(torch.tensor([0.49, 0.5, 1.0])).tolist() == [0.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: LogExp(knee=0.0), r"knee must lie in \(0, 1\], got 0.0"),
        (lambda: LogExp(knee=1.1), "knee must lie"),
        (lambda: LogExp(above=-1.0), "above must be >= 0"),
        (lambda: LogExp(below=0.0), "below must be > 0"),
        (lambda: Power(0.0), "exponent must be > 0"),
    ],
)
def test_a_shape_checks_itself(build, message):
    with pytest.raises(ValueError, match=message):
        build()
