"""Every iteration logs how far scored and sampled log-probs are apart: mean, largest, and share beyond a bound."""

from __future__ import annotations

import pytest
import torch
from helpers.running import curve, fit

from kairos.core.types import ActionStats, Prompt, RolloutBatch, Target, VideoClip
from kairos.objective.aggregations import TokenMean
from kairos.objective.objective import Objective
from kairos.objective.terms import Entropy
from kairos.train.diagnostics import measure_actions
from kairos.train.meter import Meter


def test_the_gap_counts_own_actions_alone():
    prompt = Prompt("p", "grounding", "test", VideoClip("c", None, torch.zeros(0), 1.0), "", Target())
    batch = RolloutBatch(
        (prompt,), torch.zeros(3, dtype=torch.long), torch.zeros(3, 2, dtype=torch.long),
        torch.tensor([[1.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), torch.tensor([0, 0, 1]), torch.zeros(3), torch.ones(3),
        behavior_logprobs_BA=torch.tensor([[-1.0, -1.5], [-1.04, 9.0], [float("nan"), float("nan")]]),
    )  # fmt: skip
    meter, objective = Meter(), Objective({"bonus": Entropy(0.1)}, TokenMean())
    for _ in range(2):
        measure_actions(meter, objective, ActionStats(torch.full((3, 2), -1.0)), batch)
    found = meter.reduce()
    assert found["policy/sampling_gap"] == pytest.approx(0.54 / 3)
    assert found["policy/sampling_gap_largest"] == pytest.approx(0.5)
    assert found["policy/sampling_gap_beyond"] == pytest.approx(1 / 3)
    assert meter.reduce() == {}


def test_a_run_logs_it():
    run = fit("name=a", "iterations=2", "callbacks.validation=null")
    assert max(curve(run.folder, "policy/sampling_gap_largest")) < 1e-5
    assert curve(run.folder, "policy/sampling_gap_beyond") == [0.0, 0.0]
