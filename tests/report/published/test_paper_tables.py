"""Tables of published numbers: every file reads, rows compose, and ours and the mini world stand beside them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from kairos.compose import CONF, compose
from kairos.evaluation.manifest import NoManifest
from kairos.report.published.definition import read_definition
from kairos.report.published.own_cells import OwnRow, read_own, write_own
from kairos.report.published.paper_table import PaperTable, read_paper_table
from kairos.report.published.result_text import result_text
from kairos.report.published.sweeps import sweeps_of, table_file
from kairos.report.published.table_rows import table_lines
from kairos.report.published.table_text import document, latex_table, markdown_table

FILES = sorted((Path(CONF) / "table").glob("*.yaml"))
TABLES = {path.stem: read_paper_table(path) for path in FILES}
OURS = {
    ("TimeZero", "Charades-STA"): OwnRow(
        {"recall_50": 0.7}, 3720, [0, 1], "abc", "python scripts/train.py experiment=x", "manifest: val, n 3720"
    )
}


@pytest.fixture
def results(repository: Path) -> Path:
    return repository / "results" / "mini"


def test_every_table_that_is_promised_is_there():
    assert set(TABLES) == {
        "timezero_charades", "timezero_activitynet", "timezero_cot", "time_r1", "temporal_r1",
        "tempsamp_timelens_bench",
        "tempsamp_main", "tempsamp_ablation", "tempsamp_groups", "tempsamp_cot", "tspo_main", "tspo_transfer",
        "tspo_ablation",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("table", "row", "column", "written", "mark"),
    [
        ("timezero_charades", "TimeZero", "Charades-STA/recall_50", "72.5", "paper"),
        ("timezero_activitynet", "DRN", "ActivityNet Captions/recall_70", "24.36", "quoted"),
        ("timezero_cot", "SFT", "Charades-STA, think/recall_30", "72.7", "paper"),
        ("time_r1", "TRACE", "TVGBench/recall_50", "25.5", "paper"),
        ("time_r1", "TRACE", "ActivityNet Captions/recall_50", "37.7", "quoted"),
        ("temporal_r1", "RL 3B", "Charades-STA/miou", "53.93", "released"),
        ("tempsamp_timelens_bench", "TempSamp-R1-4B", "QVHighlights-TimeLens/miou", "69.4", "released"),
        ("tempsamp_main", "TempSamp-R1, without thinking", "QVHighlights/hit_1", "57.6", "paper"),
        ("tempsamp_ablation", "Mixed policy", "Charades-STA/recall_70", "41.3", "paper"),
        ("tempsamp_groups", "TempSamp-R1 2", "Charades-STA/recall_50", "67.3", "paper"),
        ("tempsamp_cot", "hybrid, thinks", "Charades-STA/miou", "62.1", "paper"),
        ("tspo_main", "LLaVA-Video-7B*, TSPO", "MLVU/accuracy", "76.3", "paper"),
        ("tspo_transfer", "Qwen2-VL-7B, agent", "LongVideoBench/accuracy", "59.5", "paper"),
        ("tspo_ablation", "needles, R_T", "Video-MME/accuracy", "64.6", "paper"),
    ],
)
def test_published_numbers_have_their_mark(table: str, row: str, column: str, written: str, mark: str):
    (found,) = [each for each in TABLES[table].rows if each.name == row]
    cell = found.published[column]
    assert (cell.written, cell.mark) == (written, mark) and TABLES[table].sources[mark]


def test_every_row_that_can_be_trained_composes():
    rows = {row.trained for table in TABLES.values() for row in table.rows if row.trained is not None}
    assert len(rows) > 20
    numbers = re.compile(r"=[\d.]+$")  # rows that differ in numbers alone compose alike
    alike = {(row.experiment, tuple(numbers.sub("", each) for each in row.overrides)): row for row in rows}
    for row in alike.values():
        composed = compose([f"experiment={row.experiment}", *row.overrides, "data.annotations=a", "data.videos=v"])
        assert composed.iterations > 0


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_a_table_is_printed_with_the_mini_world_beside_it(table: PaperTable, results: Path):
    lines = table_lines(table, {}, results)
    kinds = {line.kind for line in lines}
    assert "mini world" in kinds and kinds & {"paper", "released"}
    ours = [line for line in lines if line.kind == "ours"]
    assert all(cell is None for line in ours for cell in line.cells), "nobody ran them, so they are empty"
    markdown = markdown_table(table, lines, {}, {})
    body = [line for line in markdown.splitlines() if line.startswith("| ")]
    assert len(body) == len(lines) + 1 and len({line.count("|") for line in body}) == 1
    for place in range(len(table.columns)):
        ranks = {line.cells[place].rank for line in lines if line.cells[place] is not None}  # type: ignore[union-attr]
        assert ranks >= {1} or not ranks - {0}
    assert all(source in markdown for source in table.sources.values())

    latex = latex_table(table, lines)
    rows = [line for line in latex.splitlines() if line.endswith(r"\\")]
    assert {line.replace(r"\&", "").count("&") for line in rows[1:]} == {len(table.columns) + 1}, "equally many cells"
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") == 1
    assert not re.search(r"(?<!\\)[#%$_]", latex), "what TeX would read as a command is escaped"
    assert latex.count("{") == latex.count("}") and r"\textbf{" in latex
    assert document([latex]).endswith("\\end{document}\n")


def test_ours_stand_beside_what_was_published_with_their_manifest(results: Path, tmp_path: Path):
    table = TABLES["timezero_charades"]
    path = tmp_path / "tables" / "timezero_charades.json"
    write_own(path, OURS)
    own = read_own(path)
    assert own == OURS
    lines = table_lines(table, own, results)
    (mine,) = [line for line in lines if line.kind == "ours"]
    assert [cell and (cell.text, cell.rank) for cell in mine.cells] == [None, ("70.0", 2), None]
    text = markdown_table(table, lines, own, {"iterations": ["1 (base)", "2 (RL)"]})
    assert "|  | ours |  | <u>70.0</u> |  |" in text and "n 3720, seeds 0, 1, commit abc" in text
    assert "manifest: val, n 3720" in text and "- iterations: 1 (base); 2 (RL)" in text
    rows = json.loads(path.read_text())
    rows[0]["manifest"] = ""
    path.write_text(json.dumps(rows))
    with pytest.raises(NoManifest, match="TimeZero on Charades-STA has no manifest"):
        read_own(path)


def test_cells_that_do_not_fit_their_columns_are_refused(tmp_path: Path):
    tree = {
        "title": "T", "sources": {"paper": "P", "quoted": "Q"}, "rows": {},
        "groups": {"A": {"scores": {"miou": "mIoU", "recall_50": "R"}, "evaluation": "a"}},
    }  # fmt: skip
    for row, message in (
        ({"paper": "1 2 3"}, r"paper has \[3\] cells, the columns are \[2\]"),
        ({"paper": "1 -", "quoted": "2 -"}, "two numbers for A/miou: 1 and 2"),
        ({"released": "1 2"}, "sources says nothing of released"),
        ({"papers": "1 2"}, "unknown papers"),
        ({"mini": ["a"]}, "mini must be"),
    ):
        path = tmp_path / "x.yaml"
        path.write_text(yaml.safe_dump(tree | {"rows": {"one": row}}))
        with pytest.raises(ValueError, match=message):
            read_paper_table(path)


def test_a_table_is_trained_by_one_sweep_for_each_set_of_overrides():
    sweeps = sweeps_of(table_file("timezero_cot", Path(CONF)), ["seed=3", "data.videos=v"])
    assert len(sweeps) == 4 and all(sweep[0] == "experiment=timezero_charades_7b" for sweep in sweeps)
    assert all(sweep[-3:] == ["seed=3", "data.videos=v", "hydra.sweep.dir=runs/timezero_cot"] for sweep in sweeps)
    (first, *_) = sweeps_of(table_file("mini/a_methods", Path(CONF)), [])
    assert first[0] == "experiment=mini/base,mini/sft,mini/grpo,mini/time_r1,mini/tempsamp_r1"
    assert first[1:] == ["seed=0,1,2", "hydra.sweep.dir=runs/mini"]
    with pytest.raises(ValueError, match="table=timezro: there is no such table; there are mini/a_methods, "):
        table_file("timezro", Path(CONF))


@pytest.mark.parametrize("path", sorted((Path(CONF) / "table" / "mini").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_page_of_a_mini_table_is_made_of_its_numbers_alone(path: Path, results: Path):
    whole = json.loads((results / f"{path.stem}.json").read_text(encoding="utf-8"))
    committed = (results / f"{path.stem}.md").read_text(encoding="utf-8")
    assert result_text(read_definition(path), whole) == committed
