"""The manifest of a score: everything that moves the number, written with it and printed in one line beside it.

`<scores>.json` holds the scores of each wording, `<scores>.manifest.json` their manifests. Our scripts print a score
only as a `ScoredRows`, which cannot be had without its manifest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from kairos.core.files import write_whole
from kairos.evaluation.predictions import Prediction

_SHORT = 10  # hexadecimal digits of a hash in a line


class NoManifest(ValueError):
    """A score without its manifest, or with that of another score."""


@dataclass(frozen=True)
class Manifest:
    """What a score was measured on and how."""

    split: str
    n: int
    """Rows that count: all of them."""
    answered: int
    """Rows that a model answered, usable or not."""
    failed: int
    """Rows that count as 0 because nobody answered: failed or missing."""
    unparsed: int
    """Rows that count as 0 because their answer could not be read."""
    rows: str
    """Hash of the rows' names and annotations: equal for the same questions."""
    floors: Mapping[str, float]
    """Scores of trivial answers to the same rows, by name."""
    conditions: Mapping[str, object]
    """What moves the score: fps, frames, pixels, template, parser, sampler, compat, weights, commit ..."""
    scores: str
    """Hash of the scores that it belongs to."""

    def line(self) -> str:
        """The manifest in one line."""
        floors = ", ".join(f"{name} {value:.3f}" for name, value in self.floors.items()) or "none"
        shown = "; ".join(f"{name} {_text(value)}" for name, value in self.conditions.items())
        return (
            f"manifest: {self.split} {_text(self.rows)}, n {self.n}, coverage {self.answered / max(1, self.n):.1%} "
            f"(failed {self.failed}, unparsed {self.unparsed}); floors: {floors}; {shown}"
        )


def manifest_of(
    predictions: Sequence[Prediction], scores: Mapping[str, object], split: str, conditions: Mapping[str, object]
) -> Manifest:
    """The manifest of the scores (`score_table`) of these predictions."""
    answered = sum(row.answered for row in predictions)
    return Manifest(
        split=split,
        n=len(predictions),
        answered=answered,
        failed=len(predictions) - answered,
        unparsed=sum(row.answered and row.reason is not None for row in predictions),
        rows=rows_digest(predictions),
        floors={name: value for name in ("miou_constant", "miou_full", "chance")
                if isinstance(value := scores.get(name), float)},
        conditions=dict(conditions),
        scores=digest_of(scores),
    )  # fmt: skip


def condition_differences(one: Manifest, other: Manifest) -> dict[str, tuple[object, object]]:
    """What differs between the two evaluations, by name: fps, weights, rows ...; not their scores and counts."""
    mine: dict[str, object] = {"split": one.split, "n": one.n, "rows": one.rows, **one.conditions}
    theirs: dict[str, object] = {"split": other.split, "n": other.n, "rows": other.rows, **other.conditions}
    names = [*mine, *(name for name in theirs if name not in mine)]
    return {n: (mine.get(n), theirs.get(n)) for n in names if mine.get(n) != theirs.get(n)}


def rows_digest(predictions: Sequence[Prediction]) -> str:
    """A hash of which questions were asked and what is right; the order does not matter."""
    rows = sorted([row.uid, [list(s) for s in row.target_spans], row.target_choice] for row in predictions)
    return digest_of(rows)


def digest_of(value: object) -> str:
    """SHA-256 of a JSON value, in hexadecimal digits."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def manifest_path(scores: Path) -> Path:
    """Where the manifests of a file of scores lie."""
    return scores.with_name(f"{scores.stem}.manifest.json")


def predictions_path(scores: Path, label: str) -> Path:
    """Where the predictions of a wording lie that a file of scores is about."""
    return scores.parent / "predictions" / f"{scores.stem}.{label}.jsonl"


@dataclass(frozen=True)
class ScoredRows:
    """Scores (`score_table`) with the manifest that belongs to them; NoManifest where it does not."""

    label: str
    """The wording: "default", or an option of `template`."""
    scores: Mapping[str, object]
    manifest: Manifest

    def __post_init__(self) -> None:
        if digest_of(self.scores) != self.manifest.scores:
            raise NoManifest(
                f"the manifest of {self.label!r} belongs to other scores: evaluate again, which writes both"
            )


def write_scores(path: Path, found: Sequence[ScoredRows]) -> None:
    """Write the scores of each wording and, first, their manifests."""
    manifests = {each.label: asdict(each.manifest) for each in found}
    write_whole(manifest_path(path), json.dumps(manifests, indent=2) + "\n")
    write_whole(path, json.dumps({each.label: each.scores for each in found}, indent=2) + "\n")


def read_scores(path: Path) -> list[ScoredRows]:
    """The scores of a file, or of `scores.json` in a folder, with their manifests. NoManifest, ValueError."""
    path = path / "scores.json" if path.is_dir() else path
    if not path.is_file():
        raise ValueError(f"{path}: there are no scores; name what scripts/evaluate.py wrote, a file or its folder")
    beside = manifest_path(path)
    if not beside.is_file():
        raise NoManifest(
            f"{path} has no manifest ({beside.name}), so nobody can say what its numbers mean: evaluate again"
        )
    try:
        scores, manifests = (json.loads(each.read_text(encoding="utf-8")) for each in (path, beside))
        return [ScoredRows(label, table, Manifest(**manifests[label])) for label, table in scores.items()]
    except NoManifest as error:
        raise NoManifest(f"{path}: {error}") from error
    except KeyError as error:
        raise NoManifest(f"{beside} lacks the manifest of {error}: evaluate again, which writes both") from error
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} or {beside.name} is not what scripts/evaluate.py writes ({error})") from error


def _text(value: object) -> str:
    if isinstance(value, dict):
        value = ", ".join(f"{part}" if key == "name" else f"{key} {part}" for key, part in value.items())
    text = "none" if value is None else str(value)
    return text[:_SHORT] if len(text) == 64 and set(text) <= set("0123456789abcdef") else text
