"""The notebooks run, at a tiny size and in a kernel of their own, and are stored without what running them leaves."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

from kairos.compose import compose
from kairos.runs.read import read_run

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
TINY: dict[str, object] = {
    "ITERATIONS": 1,
    "PROMPTS": 1,
    "QUESTIONS": 2,
    "FOLDER": "runs/tiny",
    "EXTRA": ["data.clips=3", "data.val_clips=2", "callbacks.validation.every=1", "callbacks.export=null"],
}
STAMPS = "[(path / 'summary.json').stat().st_mtime_ns for seeds in runs.values() for path in seeds.values()]"


def stored(name: str) -> NotebookNode:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def code(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def settings(name: str) -> dict[str, object]:
    """What the first code cell sets, before anybody edits it."""
    lines = ast.parse(code(stored(name))[0].source).body
    pairs = [(line.targets[0] if isinstance(line, ast.Assign) else line.target, line.value) for line in lines]  # type: ignore[attr-defined]
    return {ast.unparse(target): ast.literal_eval(value) for target, value in pairs}


def execute(name: str, opened_in: Path, edited: dict[str, object]) -> NotebookNode:
    """Every cell of a notebook with edited settings; then its training again, which must not train."""
    notebook = stored(name)
    assert edited.keys() <= settings(name).keys()
    first, training = code(notebook)[0], next(cell for cell in code(notebook) if "train([" in cell.source)
    first.source += "".join(f"\n{setting} = {value!r}" for setting, value in edited.items())
    again = f"stamps = {STAMPS}\n{training.source}\nassert stamps == {STAMPS}, 'a finished run was run again'"
    notebook.cells.append(nbformat.v4.new_code_cell(again))
    NotebookClient(
        notebook, timeout=240, startup_timeout=180, resources={"metadata": {"path": str(opened_in)}}
    ).execute()
    errors = [o.text for cell in code(notebook) for o in cell.outputs if o.get("name") == "stderr"]
    assert not errors, "a reader would have to explain these lines away"
    return notebook


def shown(notebook: NotebookNode, kind: str) -> list[str]:
    """What the cells displayed of a kind: image/png or text/html."""
    outputs = [output for cell in code(notebook)[:-1] for output in cell.outputs if "data" in output]
    return [output.data[kind] for output in outputs if kind in output.data and "<pre" not in output.data[kind]]


def printed(notebook: NotebookNode) -> str:
    return "".join(o.text for cell in code(notebook) for o in cell.outputs if o.output_type == "stream")


def cells(table: str) -> str:
    """The text of an HTML table's cells, with one space between them."""
    return " ".join(re.sub(r"<[^>]*>", " ", table).split())


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder that looks like the root of a checkout, so that runs and clips are written below it."""
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "notebooks").mkdir()
    return tmp_path


def test_reward_shapes_trains_one_run_a_shape_and_shows_them(checkout: Path):
    names = ["identity", "log_exp", "power", "threshold"]
    assert sorted(map(str, settings("01-reward-shapes")["SHAPES"])) == [f"shape={name}" for name in names]  # type: ignore[call-overload]
    chosen = ["shape=identity", "shape=log_exp +shape.knee=0.5"]
    notebook = execute("01-reward-shapes", checkout / "notebooks", TINY | {"SHAPES": chosen})
    runs = [read_run(path) for path in sorted((checkout / "runs" / "tiny").glob("*seed=0*"))]
    assert [run.name for run in runs] == ["+shape.knee=0.5,seed=0,shape=log_exp", "seed=0,shape=identity"]
    assert all(run.summary for run in runs)
    assert all({"reward/total", "rollout/iou", "val/miou"} <= run.metrics.keys() for run in runs)
    assert len(shown(notebook, "image/png")) == 2
    group, published, table = map(cells, shown(notebook, "text/html"))
    assert " ".join(names) in group
    for row in ("0.5964 -1.5281 -1.0965 -1.5399", "0.3820 -0.1146 0.1155", "0.8018 NaN 2.1766 1.5680"):
        assert row in published
    assert "mIoU before mIoU after" in table and all(name in table for name in chosen)
    assert (checkout / "runs" / "tiny" / "report.html").exists()


def test_injection_ablation_trains_every_variant_and_measures_its_advantages(checkout: Path):
    variants = settings("02-injection-ablation")["VARIANTS"]
    assert isinstance(variants, dict) and len(variants) == 6
    assert all(compose(overrides) for overrides in variants.values())
    chosen = {name: variants[name] for name in ("grpo", "raw-mix", "as-rollout")}
    notebook = execute("02-injection-ablation", checkout, TINY | {"VARIANTS": chosen})
    runs = {path.name: read_run(path) for path in (checkout / "runs" / "tiny").glob("*seed=0*")}
    assert len(runs) == 3 and all(run.summary for run in runs.values())
    assert [name for name in runs if "injected/advantage" not in runs[name].metrics] == ["injection=none,seed=0"]
    assert len(shown(notebook, "image/png")) == 2
    assert "wrong side: {'grpo': 0, 'raw-mix': 2, 'as-rollout': 0}" in printed(notebook)
    (table,) = map(cells, shown(notebook, "text/html"))
    assert all(name in table for name in [*chosen, "sign flips", "lost positives", "contamination"])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_a_notebook_is_stored_small_valid_and_without_outputs(path: Path):
    text = path.read_text(encoding="utf-8")
    notebook = nbformat.reads(text, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert len(text) < 30_000
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    assert not [cell.id for cell in code(notebook) if cell.outputs or cell.execution_count is not None]
    assert not [cell.id for cell in notebook.cells if cell.metadata]
    absolute = re.compile(r"""["'(=\s](?:/[\w.]+/|~/|[A-Za-z]:\\)""")
    assert not [cell.id for cell in notebook.cells if absolute.search(cell.source)]


def test_there_are_notebooks_to_run():
    assert [path.stem for path in NOTEBOOKS][:2] == ["01-reward-shapes", "02-injection-ablation"]
