"""A run can be watched by torch's profiler."""

from __future__ import annotations

import json

import pytest
from helpers.running import fit

from kairos.train.callbacks.profile import Profile


def test_watched_iterations_leave_a_profile_and_a_trace() -> None:
    run = fit("name=a", "iterations=4", "callbacks=profile", "callbacks.profile.trace=true", "callbacks.progress=null")
    facts = json.loads((run.folder / "profile.json").read_text())
    assert facts["iterations"] == [3, 3]
    assert 0 < facts["seconds"] < 60
    assert json.loads((run.folder / "trace.json").read_text())["traceEvents"]


def test_iterations_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="first and last"):
        Profile("anywhere", first=4, last=3)
