r"""Hold our numbers of a base model beside those that were published: within 1 %, or what the manifest says.

A benchmark that nobody evaluated stays empty; the command that evaluates it is printed.

Examples:

    kairos align model=Qwen/Qwen2.5-VL-3B-Instruct
    kairos align model=Qwen/Qwen2.5-VL-7B-Instruct weights=models/qwen      # its folder, without a network
    kairos align model=Qwen/Qwen3-VL-8B-Instruct evaluations=runs/qwen      # where the evaluations are
    kairos align model=Qwen/Qwen3-VL-4B-Instruct tokens=false               # only the table
    kairos align model=Qwen/Qwen3-VL-2B-Instruct
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Column, Table

from kairos.cli import command, user_errors
from kairos.commands._answers import compared
from kairos.compose import assemble, compose, resolved
from kairos.core.spelling import close, did_you_mean
from kairos.evaluation.manifest import ScoredRows, read_scores

WITHIN = 1.0
"""Per cent of the published number."""
_DATA = Path("runs") / "alignment"


@command("align")
def main(config: DictConfig) -> None:
    with user_errors():
        align(resolved(config))


def align(config: Mapping[str, object]) -> None:
    model = str(config["model"])
    published = cast("Mapping[str, Mapping[str, Mapping[str, object]]]", config["published"])
    if model not in published:
        raise ValueError(
            f"model={model}: no published numbers; {did_you_mean(close(model, published, 1)) or ', '.join(published)}"
        )
    option = cast("Mapping[str, str]", config["policies"])[model]
    weights = str(config["weights"] or model)
    if config["tokens"]:
        print(token_line(option, weights))
    folder = Path(str(config["evaluations"] or _DATA / model.rpartition("/")[2]))
    names = [Column(name, no_wrap=True) for name in ("benchmark", "score", "published", "ours", "difference")]
    table = Table(*names, "source", title=model)
    console, missing, manifests = Console(), list[str](), list[str]()
    for benchmark, says in published[model].items():
        score, value = str(says["score"]), float(cast("float", says["value"]))
        found = ours(folder / benchmark)
        mine = None if found is None else found.scores.get(score)
        cells = ["", ""]
        if found is not None and isinstance(mine, float):
            cells = [f"{100 * mine:.2f}", verdict(100 * mine, value)]
            manifests.append(f"{benchmark}: {found.manifest.line()}")
        else:
            missing.append(benchmark)
        users = f"; users: {says['users']}" if "users" in says else ""
        table.add_row(benchmark, score, f"{value:g}", *cells, f"{says['source']}{users}")
    console.print(table)
    for line in manifests:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    for benchmark in missing:
        console.print(
            f"not run: kairos evaluate policy={option} policy.weights={weights} data={benchmark} "
            f"data.annotations=<file> data.videos=<folder> output={folder / benchmark}/scores.json",
            highlight=False, markup=False, soft_wrap=True,
        )  # fmt: skip


def ours(folder: Path) -> ScoredRows | None:
    """The scores of an evaluation, if there is one; NoManifest for scores without their manifest."""
    return read_scores(folder)[0] if (folder / "scores.json").is_file() else None


def verdict(mine: float, published: float) -> str:
    """The relative difference, and whether it is small.

    >>> verdict(43.5, 43.6), verdict(29.0, 43.6)
    ('-0.2 %: aligned', '-33.5 %: see the manifest')
    """
    difference = 100 * (mine - published) / published
    return f"{difference:+.1f} %: {'aligned' if abs(difference) <= WITHIN else 'see the manifest'}"


def token_line(option: str, weights: str) -> str:
    """One line about the token ids of a question on a rendered clip."""
    overrides = [
        f"policy={option}", f"policy.weights={weights}", "data=mini", "data.val_clips=1", "data.clips=1", "trainer=cpu",
    ]  # fmt: skip
    experiment = assemble(compose(overrides, name="evaluate"), overrides, _DATA)
    try:
        return compared(experiment, "val")
    except (OSError, ValueError) as error:
        return f"token ids: NOT COMPARED: {error}"


if __name__ == "__main__":
    main()
