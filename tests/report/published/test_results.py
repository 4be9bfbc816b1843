"""A table from finished runs: means, intervals, paired differences and published orders, against hand-computed ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from kairos.core.spans import Span
from kairos.evaluation.predictions import Prediction, write
from kairos.report.published.definition import TableRow, read_definition
from kairos.report.published.results import write_result
from kairos.runs.packs import archive, pack, unpack

T2 = 4.302653  # Student's t for 2 degrees of freedom, 97.5 %
DEFINITION = {
    "title": "Some", "baseline": "a", "rows": {"a": "mini/a", "b": "mini/b", "c": "mini/c"},
    "scores": {"grounding (answer)": ["miou", "recall_50"], "grounding (ood)": ["miou"]},
    "over_time": ["rollout/length"],
    "published": {
        "one": {"where": "w", "source": "s", "score": "miou", "says": {"grounding (answer)": {"a": 1, "b": 2, "c": 3}}},
        "two": {"where": "w", "source": "s", "score": "miou",
                "says": {"grounding (answer)": {"a": 1}, "grounding (ood)": {"a": 2}}},
    },
}  # fmt: skip


@pytest.fixture
def definition_file(tmp_path: Path) -> Path:
    path = tmp_path / "x_some.yaml"
    path.write_text(yaml.safe_dump(DEFINITION, sort_keys=False))
    return path


def finished(folder: Path, seed: int, answer: list[float], ood: list[float], lengths: list[float]) -> Path:
    folder.mkdir(parents=True)
    (folder / "summary.json").write_text(json.dumps({"seed": seed}))
    (folder / "config.yaml").write_text(yaml.safe_dump({"seed": seed}))
    rows = [{"iteration": i, "rollout/length": value} for i, value in enumerate(lengths, 1)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for probe, ious in (("answer", answer), ("ood", ood)):
        write([prediction(f"u{i}", iou) for i, iou in enumerate(ious)], folder / "predictions" / probe / "after.jsonl")
    return folder


def prediction(uid: str, iou: float) -> Prediction:
    span = (Span(0.0, 1.0),)
    return Prediction(uid, "grounding", "t", "?", "", 4, False, span, None, None, span, None, 0, 10.0, iou, None)


def test_a_table_holds_hand_computed_numbers(tmp_path: Path, definition_file: Path):
    """a: 0.3, 0.5, 0.1. b - a: 0.10, 0.11, 0.12, so clear. c - a: 0.3, -0.1, 0.1, so not; c has no third seed."""
    lengths = [10.0] * 6 + [16.0] * 6
    base = [[0.2, 0.4], [0.4, 0.6], [0.1, 0.1]]
    folders = {
        "a": [finished(tmp_path / f"a{s}", s, v, [x + 0.2 + s / 100 for x in v], lengths) for s, v in enumerate(base)],
        "b": [
            finished(tmp_path / f"b{s}", s, [x + 0.1 + s / 100 for x in v], v, lengths) for s, v in enumerate(base)
        ],
        "c": [finished(tmp_path / "c0", 0, [0.6], [0.0], lengths), finished(tmp_path / "c1", 1, [0.4], [0.0], lengths),
              tmp_path / "c2"],
    }  # fmt: skip
    text = write_result(read_definition(definition_file), folders, tmp_path / "out", ["python x"])
    whole = json.loads((tmp_path / "out" / "x_some.json").read_text())
    rows = {(row["row"], row["task"], row["score"]): row for row in whole["rows"]}
    assert [key for key in rows if key[0] == "a"] == [
        ("a", "grounding (answer)", "miou"), ("a", "grounding (answer)", "recall_50"), ("a", "grounding (ood)", "miou")
    ]  # fmt: skip
    mine, other = rows["a", "grounding (answer)", "miou"], rows["b", "grounding (answer)", "miou"]
    assert mine["n"] == 3 and mine["difference"] is None and mine["mean"] == pytest.approx(0.3)
    assert mine["seeds"] == {"0": pytest.approx(0.3), "1": pytest.approx(0.5), "2": pytest.approx(0.1)}
    assert mine["low"] == pytest.approx(0.3 - T2 * 0.2 / 3**0.5, abs=1e-5)
    assert other["difference"]["mean"] == pytest.approx(0.11)
    assert other["difference"]["high"] == pytest.approx(0.11 + T2 * 0.01 / 3**0.5, abs=1e-5)
    assert rows["a", "grounding (answer)", "recall_50"]["mean"] == pytest.approx(0.5 / 3), "one of two prompts, once"
    assert rows["c", "grounding (answer)", "miou"]["n"] == 2
    one, two = whole["published"]
    verdicts = {(pair["higher"][0], pair["lower"][0]): pair for pair in one["pairs"]}
    assert verdicts["b", "a"]["verdict"] == "agrees" and verdicts["b", "a"]["n"] == 3
    assert verdicts["c", "a"]["verdict"] == "undecided" and verdicts["c", "a"]["n"] == 2
    assert (one["agrees"], one["contradicts"], one["undecided"], one["not measured"]) == (1, 0, 2, 0)
    assert two["pairs"][0]["difference"]["mean"] == pytest.approx(0.21) and two["agrees"] == 1
    assert whole["over_time"]["a"]["rollout/length"] == [10.0, 10.0, 10.0, 16.0, 16.0, 16.0]
    assert "b > a (2 > 1): agrees, +0.110 [+0.085, +0.135]" in text
    assert "a, grounding (ood) > a, grounding (answer) (2 > 1): agrees" in text
    assert "Finished seeds: a (3), b (3), c (2)." in text and "python x" in text


def test_an_order_that_is_the_other_way_round_is_said(tmp_path: Path, definition_file: Path):
    folders = {
        row: [finished(tmp_path / f"{row}{s}", s, [value + s * more], [0.0], [1.0]) for s in (0, 1)]
        for row, value, more in (("a", 0.5, 0.0), ("b", 0.4, 0.0001))
    }
    text = write_result(read_definition(definition_file), folders, tmp_path / "out", [])
    assert "b > a (2 > 1): contradicts, -0.100" in text
    assert "c > a (3 > 1): not measured" in text
    assert "a, grounding (ood) > a, grounding (answer) (2 > 1): undecided, -0.500 with every seed" in text, "untrained"
    with pytest.raises(ValueError, match="x_some: none of its runs has finished"):
        write_result(read_definition(definition_file), {}, tmp_path / "out", [])


def test_a_table_speaks_only_of_what_its_table_shows(tmp_path: Path):
    for change, message in (
        ({"baseline": "z"}, "baseline=z is no row; there are a, b, c"),
        ({"scores": {"grounding (answer)": ["recall_50"]}}, "published.one speaks of a, grounding .answer., miou"),
    ):
        path = tmp_path / "x.yaml"
        path.write_text(yaml.safe_dump(DEFINITION | change))
        with pytest.raises(ValueError, match=message):
            read_definition(path)


def test_a_row_is_an_experiment_with_overrides_where_it_has_some(tmp_path: Path):
    path = tmp_path / "x.yaml"
    few = {"experiment": "mini/a", "overrides": ["data.clips=50", "seed=3"]}
    path.write_text(yaml.safe_dump(DEFINITION | {"rows": {"a": "mini/a", "b": few, "c": {"experiment": "mini/c"}}}))
    table = read_definition(path)
    assert table.rows["b"] == TableRow("mini/a", ("data.clips=50", "seed=3")) != table.rows["a"]
    assert table.rows["c"] == TableRow("mini/c")
    folders = {"b": [finished(tmp_path / f"b{s}", s, [0.5 + s], [0.0], [1.0]) for s in (0, 1)]}
    text = write_result(table, folders, tmp_path / "out", [])
    assert "- b: `experiment=mini/a data.clips=50 seed=3`." in text
    assert json.loads((tmp_path / "out" / "x.json").read_text())["experiments"] == {
        "a": "mini/a", "b": "mini/a data.clips=50 seed=3", "c": "mini/c"
    }  # fmt: skip


@pytest.mark.parametrize(
    "row",
    [
        {"overrides": ["x=1"]},
        {"experiment": "m", "override": ["x=1"]},
        {"experiment": "m", "overrides": ["x"]},
        {"experiment": "m", "overrides": "x=1"},
        3,
    ],
)
def test_a_row_that_says_anything_else_is_refused(row: object, tmp_path: Path):
    path = tmp_path / "x.yaml"
    path.write_text(yaml.safe_dump(DEFINITION | {"rows": {"a": row, "b": "mini/b", "c": "mini/c"}}))
    with pytest.raises(ValueError, match=r"x: rows\.a must be an experiment, or {experiment: \.\.\., overrides"):
        read_definition(path)


def test_packs_carry_runs_elsewhere_and_overwrite_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("kairos.runs.packs.LARGEST", 1)
    runs = [finished(Path("runs") / name, 0, [0.5], [0.5], [1.0]) for name in "ab"]
    (runs[0] / "model.ckpt").write_bytes(b"weights")
    packs = pack(runs, ("*.json", "predictions/*/after.jsonl"), Path("out"))
    assert [path.name for path in packs] == ["runs-1.tar.gz", "runs-2.tar.gz"], "one run a pack of one byte"
    there = tmp_path / "there"
    (there / "runs" / "b").mkdir(parents=True)
    (there / "runs" / "b" / "summary.json").write_text("mine")
    assert unpack(Path("out"), there) == 5 and unpack(Path("out"), there) == 0
    assert (there / "runs" / "b" / "summary.json").read_text() == "mine"
    assert (there / "runs" / "a" / "predictions" / "ood" / "after.jsonl").exists()
    assert not (there / "runs" / "a" / "model.ckpt").exists() and not (there / "runs" / "a" / "metrics.jsonl").exists()


def test_a_pack_that_leads_elsewhere_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    (tmp_path / "secret").write_text("x")
    archive([Path("../secret")], Path("packs/runs-1.tar.gz"))
    with pytest.raises(ValueError, match=r"holds ../secret, which does not lie below there"):
        unpack(Path("packs"), Path("there"))


def test_arms_of_the_same_runs_are_rows_of_one_table(tmp_path: Path):
    said = {
        "title": "Frames", "baseline": "even",
        "rows": {"even": {"experiment": "mini/a", "arm": "even"}, "agent": {"experiment": "mini/a", "arm": "agent"}},
        "scores": {"grounding (q, 8 frames)": ["miou"], "grounding (q, 8 frames, other)": ["miou"]},
    }  # fmt: skip
    path = tmp_path / "i_frames.yaml"
    path.write_text(yaml.safe_dump(said, sort_keys=False))
    table = read_definition(path)
    assert {row.trained for row in table.rows.values()} == {TableRow("mini/a")}
    folders = []
    for seed in (0, 1):
        folder = finished(tmp_path / f"run{seed}", seed, [0.0], [0.0], [1.0])
        for arm, value in (("even", 0.25), ("agent", 0.5 + seed / 4), ("agent-spread", 0.0)):
            for name in (f"q_{arm}_8", f"q_{arm}_8_other"):
                write([prediction("u", value)], folder / "predictions" / name / "after.jsonl")
        folders.append(folder)
    text = write_result(table, {"even": folders, "agent": folders}, tmp_path / "out", ["python x"])
    rows = json.loads((tmp_path / "out" / "i_frames.json").read_text())["rows"]
    found = {(row["row"], row["task"]): row["mean"] for row in rows}
    assert found["even", "grounding (q, 8 frames)"] == 0.25 and found["agent", "grounding (q, 8 frames)"] == 0.625
    assert found["agent", "grounding (q, 8 frames, other)"] == 0.625
    assert "- agent: `experiment=mini/a`, frames chosen by agent." in text
