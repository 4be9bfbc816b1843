r"""Print a table: published numbers, each with its mark and source, beside ours and the mini world's.

Ours are those of finished runs that `kairos evaluate` has evaluated; a cell that nobody ran is empty.

Examples:

    kairos table table=timezero_charades                          # as markdown
    kairos table table=tempsamp_timelens_bench latex=true         # as LaTeX
    kairos table table=tspo_main output=tables                    # both, into a folder
    kairos table table=time_r1 trained=runs/mine                  # with runs from another folder
    kairos table table=mini/a_methods                             # of the mini world, from results/mini
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from kairos.cli import command, user_errors
from kairos.compose import CONF, compose, resolved
from kairos.core.files import write_whole
from kairos.report.published.definition import TableRow, read_definition
from kairos.report.published.own_cells import OwnRow, own_rows, read_own, write_own
from kairos.report.published.paper_table import PaperTable, is_paper_table, read_paper_table
from kairos.report.published.result_text import result_text
from kairos.report.published.settings import different
from kairos.report.published.sweeps import sweeps_of, table_file
from kairos.report.published.table_rows import table_lines
from kairos.report.published.table_text import latex_table, markdown_table


@command("table")
def main(config: DictConfig) -> None:
    with user_errors():
        chosen = HydraConfig.get().runtime.choices["table"]
        if chosen in (None, "null"):
            raise ValueError("say which table: table=<name>; `kairos table --help table` lists them")
        path = table_file(str(chosen), Path(CONF))
        paper = is_paper_table(yaml.safe_load(path.read_text(encoding="utf-8")))
        text = published(config, path) if paper else of_the_mini_world(config, path)
        print(text, end="")


def published(config: DictConfig, path: Path) -> str:
    table, results = read_paper_table(path), Path(config.results)
    own = ours(table, Path(config.trained or f"runs/{table.name}"), results / "tables" / f"{table.name}.json")
    lines = table_lines(table, own, results / "mini")
    markdown = markdown_table(table, lines, own, option_differences(table)) + commands(path)
    latex = latex_table(table, lines)
    if config.output:
        write_whole(Path(config.output) / f"{table.name}.md", markdown)
        write_whole(Path(config.output) / f"{table.name}.tex", latex)
    return latex if config.latex else markdown


def ours(table: PaperTable, runs: Path, committed: Path) -> Mapping[tuple[str, str], OwnRow]:
    """Our numbers: those that were committed, and those of runs here, which are added to them."""
    here = own_rows(table, runs)
    found = {**read_own(committed), **here}
    if here:
        write_own(committed, found)
    return found


def of_the_mini_world(config: DictConfig, path: Path) -> str:
    """The page of a committed result, from its JSON alone."""
    file = Path(config.results) / "mini" / f"{path.stem}.json"
    if not file.is_file():
        raise ValueError(f"{file}: there is no such result; `python benchmarks/mini.py --tables {path.stem}` makes it")
    text = result_text(read_definition(path), json.loads(file.read_text(encoding="utf-8")))
    if config.output:
        write_whole(Path(config.output) / f"{path.stem}.md", text)
    return text


def option_differences(table: PaperTable) -> Mapping[str, Sequence[str]]:
    """The options in which our rows differ, as `<value> (<rows>)`."""
    trained: dict[TableRow, list[str]] = {}
    for row in table.rows:
        if row.trained is not None:
            trained.setdefault(row.trained, []).append(row.name)
    configs = {
        ", ".join(names): resolved(compose([f"experiment={row.experiment}", *row.overrides, *_PLACES], stored=True))
        for row, names in trained.items()
    }
    return different(configs)


def commands(path: Path) -> str:
    """How the rows are trained and evaluated, for who has the data."""
    sweeps = ["kairos train -m " + " ".join(sweep) for sweep in sweeps_of(path, [])]
    if not sweeps:
        return ""
    wordings: dict[str, list[str]] = {}
    for group in read_paper_table(path).groups:
        wordings.setdefault(group.evaluation, []).extend([group.wording] if group.wording else [])
    evaluations = [
        "kairos evaluate run=<run> "
        + (f"templates=[{','.join(names)}] " if names else "")
        + f"data=<{benchmark}> output=<run>/evaluation/{benchmark}/scores.json"
        for benchmark, names in wordings.items()
    ]
    lines = ["```", f"kairos train -m table={path.stem}  # which does:", *sweeps, *evaluations, "```", ""]
    return "\n".join(["", *lines])


_PLACES = ("data.annotations=annotations", "data.videos=videos")
"""What the experiments of papers want to be told, wherever the data are."""


if __name__ == "__main__":
    main()
