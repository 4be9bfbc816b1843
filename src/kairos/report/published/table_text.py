"""Writes a table of published numbers and ours, as markdown and LaTeX: a column's best bold, the second underlined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from kairos.report.published.own_cells import OwnRow
from kairos.report.published.paper_table import PaperTable
from kairos.report.published.table_rows import Cell, Line

_ESCAPES = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip


def markdown_table(
    table: PaperTable,
    lines: Sequence[Line],
    own: Mapping[tuple[str, str], OwnRow],
    differences: Mapping[str, Sequence[str]],
) -> str:
    """The table, its sources, the provenance of our numbers, and what our rows' configurations differ in."""
    several = len(table.groups) > 1
    heads = [f"{column.group}: {column.label}" if several else column.label for column in table.columns]
    text = [f"# {table.title}", "", _row(["", "", *heads]), "|" + "---|" * (len(heads) + 2)]
    text += [_row([line.row, line.kind, *map(_markdown_cell, line.cells)]) for line in lines]
    text += [
        "",
        "Bold: the best of a column, underlined: the second; an empty cell: nobody ran it, or it is not published.",
    ]
    text += [f"- {mark}: {source}" for mark, source in table.sources.items()]
    text += ["- mini world: the miniature of this row, from results/mini; it says that the machinery works, not more"]
    text += [*_provenance(own), *_differences(differences)]
    return "\n".join(text) + "\n"


def latex_table(table: PaperTable, lines: Sequence[Line]) -> str:
    r"""A `table` environment that needs no package; `\input` it, or compile it in an article."""
    columns = table.columns
    spans = [(name, len(list(members))) for name, members in groupby(columns, key=lambda column: column.group)]
    aligned = "ll" + "".join("|" + "r" * count for _, count in spans)
    text = [
        r"\begin{table}[t]", r"\centering\scriptsize\setlength{\tabcolsep}{3pt}", rf"\begin{{tabular}}{{{aligned}}}",
        r"\hline",
        r"\rule{0pt}{2.6ex} & & "
        + " & ".join(rf"\multicolumn{{{count}}}{{c}}{{{_plain(name)}}}" for name, count in spans)
        + r" \\",
        " & & " + " & ".join(_plain(column.label) for column in columns) + r" \\", r"\hline",
    ]  # fmt: skip
    for line in lines:
        strut = r"\rule{0pt}{2.6ex}" if line is lines[0] else ""
        text.append(strut + " & ".join([_plain(line.row), _plain(line.kind), *map(_latex_cell, line.cells)]) + r" \\")
    sources = "; ".join(f"{mark}: {source}" for mark, source in table.sources.items())
    text += [r"\hline", r"\end{tabular}", rf"\caption{{{_plain(table.title)}. {_plain(sources)}.}}", r"\end{table}"]
    return "\n".join(text) + "\n"


def document(tables: Sequence[str]) -> str:
    """A whole document with these tables, to compile."""
    head = [r"\documentclass{article}", r"\usepackage[landscape,margin=1cm]{geometry}", r"\begin{document}"]
    return "\n".join([*head, *tables, r"\end{document}", ""])


def _provenance(own: Mapping[tuple[str, str], OwnRow]) -> list[str]:
    if not own:
        return ["", "Ours: nobody has run a row of this table yet."]
    text = ["", "**Ours**", ""]
    for (row, group), found in own.items():
        seeds = ", ".join(map(str, found.seeds))
        text.append(f"- {row}, {group}: n {found.n}, seeds {seeds}, commit {found.commit or 'not known'}")
        text += [f"  `{found.command}`", f"  {found.manifest}"]
    return text


def _differences(differences: Mapping[str, Sequence[str]]) -> list[str]:
    if not differences:
        return []
    text = ["", "**Configuration** of our rows, where they differ", ""]
    return text + [f"- {key}: {'; '.join(values)}" for key, values in differences.items()]


def _markdown_cell(cell: Cell | None) -> str:
    if cell is None:
        return ""
    return {0: cell.text, 1: f"**{cell.text}**", 2: f"<u>{cell.text}</u>"}[cell.rank]


def _latex_cell(cell: Cell | None) -> str:
    if cell is None:
        return ""
    return {0: cell.text, 1: rf"\textbf{{{cell.text}}}", 2: rf"\underline{{{cell.text}}}"}[cell.rank]


def _plain(text: str) -> str:
    return "".join(_ESCAPES.get(letter, letter) for letter in text)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
