"""Figures of chosen frames, on the picks that TSPO released for LongVideoBench."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from kairos.evaluation.picks import adjacency, evidence_recall


def test_released_picks_have_the_published_recall_and_adjacency(real_data: Path) -> None:
    """976 questions about clips with more than 64 candidates; frame numbers are native, a candidate a second.

    Uniform frames are 64 native ones from the first to the last. Source: our own reading of the released files.
    """
    rows = json.loads((real_data / "oracles" / "tspo_lvb_frame_idx.json").read_text())
    chosen = [row for row in rows if len(row["frame_idx"]) == 64]
    assert len(chosen) == 976
    agent: dict[float, list[float]] = {1.0: [], 2.0: [], 5.0: []}
    uniform: dict[float, list[float]] = {1.0: [], 2.0: [], 5.0: []}
    candidates = []
    for row in chosen:
        frames = [int(frame) for frame in row["frame_idx"]]
        fps = math.gcd(*frames)
        evidence = [frame / fps for frame in row["position"]]
        candidates.append(sorted(frame // fps for frame in frames))
        even = [int(f) / fps for f in np.linspace(0, int(row["duration"] * fps) - 1, 64)]
        for within in agent:
            agent[within].append(evidence_recall([frame / fps for frame in frames], evidence, within))
            uniform[within].append(evidence_recall(even, evidence, within))
    assert [round(float(np.mean(agent[d])), 3) for d in agent] == [0.351, 0.433, 0.552]
    assert [round(float(np.mean(uniform[d])), 3) for d in uniform] == [0.229, 0.398, 0.725]
    assert round(adjacency(candidates), 3) == 0.619


def test_recall_and_adjacency_of_nothing_are_errors() -> None:
    with pytest.raises(ValueError, match="no evidence"):
        evidence_recall([1.0], [], within=1.0)
    with pytest.raises(ValueError, match="at least two picks"):
        adjacency([[3]])
