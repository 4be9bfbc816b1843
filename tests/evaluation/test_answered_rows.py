"""Rows of an unfinished evaluation: parts, torn lines, and what may go on there."""

from __future__ import annotations

from pathlib import Path

import pytest

from kairos.evaluation.answered_rows import AnsweredRows, Shard
from kairos.evaluation.predictions import Prediction, unanswered


def rows(*uids: str) -> list[Prediction]:
    return [unanswered(uid, "missing") for uid in uids]


def test_shards_and_ranks_cover_every_row_once():
    parts = [Shard(k, 3).of_rank(rank, 2) for k in (1, 2, 3) for rank in (0, 1)]
    assert sorted(place for part in parts for place in part.places(20)) == list(range(20))
    for wrong in ("5/4", "0/4", "half", "1/0", "-1/2", ""):
        with pytest.raises(ValueError, match="shard must be"):
            Shard.read(wrong)


def test_a_torn_last_line_is_passed_over_and_then_cut_off(tmp_path: Path):
    folder = AnsweredRows(tmp_path)
    folder.append(Shard(), [0, 1], rows("a", "b"))
    folder.append(Shard(), [2], rows("c"))
    file = tmp_path / "1of1.jsonl"
    file.write_bytes(file.read_bytes()[:-20])
    assert folder.places() == {0, 1}
    folder.append(Shard(), [2], rows("c"))
    folder.append(Shard(2, 2), [2, 3], rows("c", "d"))  # a row that two parts have counts once
    assert [row.uid for row in folder.predictions()] == ["a", "b", "c", "d"]
    file.write_bytes(b'{"places": 3}\n')
    with pytest.raises(ValueError, match=r"1of1\.jsonl:1 is no batch of an evaluation"):
        folder.predictions()


def test_another_question_or_other_weights_do_not_go_on_there(tmp_path: Path):
    folder = AnsweredRows(tmp_path / "rows")
    folder.begin({"fps": 2.0, "count": None})
    folder.begin({"fps": 2.0, "count": None})
    with pytest.raises(ValueError, match=r"something else \(fps: 2.0 then, 1.0 now\).*overwrite=true"):
        folder.begin({"fps": 1.0, "count": None})
    assert folder.weights() is None
    folder.of_weights("a" * 64)
    folder.of_weights("a" * 64)
    with pytest.raises(ValueError, match="answers of other weights"):
        folder.of_weights("b" * 64)
