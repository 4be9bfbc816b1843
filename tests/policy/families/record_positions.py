"""Records the rotary positions that vLLM gives to prompts with a video, as data/vllm_positions.json.

    python tests/policy/families/record_positions.py

Needs vLLM (recorded with 0.32.0); only its two functions run, no model is built. The tests read the record, not vLLM.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import torch

GRIDS = [(4, 2, 2), (1, 3, 5), (7, 4, 3), (16, 2, 2), (30, 1, 1), (5, 2, 9)]
SECONDS = [1.0, 0.5, 1.0158730745315552, 0.3333333432674408, 0.699999988079071, 2.4000000953674316]
MARKERS = {"start": 1, "pad": 2, "end": 3}
BEFORE, AFTER = 6, 9


def feature(offset: int, length: int, **data: torch.Tensor) -> SimpleNamespace:
    """What vLLM's scheduler knows of one video."""
    values = {name: SimpleNamespace(data=value) for name, value in data.items()}
    return SimpleNamespace(modality="video", mm_position=SimpleNamespace(offset=offset, length=length), data=values)


def one_block(grid: tuple[int, int, int], seconds: float) -> list[list[int]]:
    """Qwen2.5-VL: text, the start marker, the video, the end marker, text."""
    from vllm.model_executor.models.qwen2_5_vl import Qwen2_5_VLForConditionalGeneration as Model

    times, rows, columns = grid
    count = times * rows * columns
    tokens = [0] * BEFORE + [MARKERS["start"]] + [MARKERS["pad"]] * count + [MARKERS["end"]] + [0] * AFTER
    model = SimpleNamespace(
        config=SimpleNamespace(vision_config=SimpleNamespace(spatial_merge_size=2, tokens_per_second=2))
    )
    model.iter_mm_grid_thw = lambda features: Model.iter_mm_grid_thw(model, features)  # type: ignore[arg-type]
    video = feature(
        BEFORE + 1, count, video_grid_thw=torch.tensor([times, 2 * rows, 2 * columns]),
        second_per_grid_ts=torch.tensor(seconds),
    )  # fmt: skip
    return Model.get_mrope_input_positions(model, tokens, [video])[0].tolist()  # type: ignore[arg-type]


def timed_blocks(grid: tuple[int, int, int], outer: bool) -> dict[str, list[int] | list[list[int]]]:
    """Qwen3-VL: text, then words and a block per time (5, 6, 7, 5, ... tokens of words), then text."""
    from vllm.model_executor.models.qwen3_vl import Qwen3VLForConditionalGeneration as Model

    times, rows, columns = grid
    block = [MARKERS["start"]] + [MARKERS["pad"]] * (rows * columns) + [MARKERS["end"]]
    video = [token for time in range(times) for token in [0] * (5 + time % 3) + block]
    around = ([MARKERS["start"]], [MARKERS["end"]]) if outer else ([], [])
    tokens = [0] * BEFORE + around[0] + video + around[1] + [0] * AFTER
    config = SimpleNamespace(
        video_token_id=MARKERS["pad"], vision_start_token_id=MARKERS["start"], vision_end_token_id=MARKERS["end"],
        vision_config=SimpleNamespace(spatial_merge_size=2),
    )  # fmt: skip
    where = feature(BEFORE + len(around[0]), len(video), video_grid_thw=torch.tensor([times, 2 * rows, 2 * columns]))
    positions = Model._get_mrope_input_positions(tokens, [where], config)[0]  # type: ignore[arg-type]
    return {"is_video": [int(token == MARKERS["pad"]) for token in tokens], "positions": positions.tolist()}


def main() -> None:
    import vllm

    record = {
        "vllm": vllm.__version__,
        "before": BEFORE + 1,
        "one_block": [
            {"grid": grid, "seconds_per_grid": seconds, "positions": one_block(grid, seconds)}
            for grid in GRIDS
            for seconds in SECONDS
        ],
        "timed_blocks": [{"grid": grid, **timed_blocks(grid, outer)} for grid in GRIDS for outer in (True, False)],
    }
    path = Path(__file__).parent / "data" / "vllm_positions.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(record, separators=(",", ":")) + "\n", encoding="utf-8")
    print(f"{path}: {len(record['one_block'])} and {len(record['timed_blocks'])} layouts by vLLM {vllm.__version__}")


if __name__ == "__main__":
    main()
