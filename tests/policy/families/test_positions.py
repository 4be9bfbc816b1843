"""Rotary positions against vLLM's, as record_positions.py wrote them down, and transformers' where it is right."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.tiny_language import FAMILIES, clip, prompt

from kairos.policy.families.qwen2_5_vl import positions
from kairos.policy.network.vision import timed_blocks

RECORD = json.loads((Path(__file__).parent / "data" / "vllm_positions.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", RECORD["one_block"], ids=lambda case: f"{case['grid']} {case['seconds_per_grid']:.2f}")
def test_one_block_lies_where_vllm_puts_it(case: dict[str, list]) -> None:
    expected = np.array(case["positions"])
    grid, seconds = tuple(case["grid"]), case["seconds_per_grid"]
    places = np.arange(grid[0]) * (seconds * 2)
    assert np.array_equal(positions(RECORD["before"], expected.shape[1], grid[1:], places), expected)


@pytest.mark.parametrize("case", RECORD["timed_blocks"], ids=lambda case: f"{case['grid']}")
def test_timed_blocks_lie_where_vllm_puts_them(case: dict[str, list]) -> None:
    _, rows, columns = case["grid"]
    ours = timed_blocks.positions(np.array(case["is_video"], dtype=bool), rows, columns)
    assert np.array_equal(ours, np.array(case["positions"]))


def test_the_record_tells_fractions_of_seconds_and_text_behind_all_axes() -> None:
    """The record covers what other code gets wrong: truncated seconds, text behind rows and columns only, and fp32."""
    by_seconds = {case["seconds_per_grid"]: case["positions"] for case in RECORD["one_block"] if case["grid"][0] == 16}
    start = RECORD["before"]
    assert by_seconds[1.0][0][start + 63] == start + 30
    assert [axis[start + 64] for axis in by_seconds[1.0]] == [start + 31] * 3
    assert by_seconds[0.699999988079071][0][start + 63] == start + 20 != start + int(15 * 2 * 0.7)


@pytest.mark.parametrize("frames,fps", [(4, 2.5), (5, 0.7), (24, 2.0)])
def test_transformers_agrees_up_to_the_end_of_a_video(folder: str, frames: int, fps: float) -> None:
    """And beyond it where the video is wider than long; behind a long one transformers puts the text inside it."""
    language = FAMILIES["qwen2_5_vl"].policy(folder)
    layout = language.processor(prompt("p", "When?", clip("p", frames, height=168, width=224, fps=fps)))
    is_video = layout.ids_L == language.processor.markers.pad
    theirs, _ = language.model.model.get_rope_index(
        layout.ids_L[None],
        mm_token_type_ids=2 * is_video.int()[None],
        video_grid_thw=layout.grid_thw_N3,
        second_per_grid_ts=torch.tensor([layout.seconds_per_grid]),
    )
    behind = int(is_video.nonzero().max()) + 1
    assert torch.equal(layout.positions_3L[:, :behind], theirs[:, 0, :behind])
    assert torch.equal(layout.positions_3L, theirs[:, 0]) == (frames == 4)
    assert (layout.positions_3L[:, behind] == layout.positions_3L[:, :behind].max() + 1).all()
