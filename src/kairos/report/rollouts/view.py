"""Prints prompts with their rollouts, rewards and advantages on a terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from kairos.report.rollouts.row_fields import Row

_NAMED = ("iteration", "uid", "task", "source", "question", "target", "choice", "duration")
_SHOWN = (
    *_NAMED, "row", "origin", "text", "actions", "frames", "frame_seconds", "option_probs", "length", "truncated",
    "reward", "terms", "advantage", "weight", "reason", "spans",
)  # fmt: skip


class RolloutView:
    """Prints rows one by one; consecutive rows of a group share a heading.

    Without `show_prompt` the heading is one line. `max_text`: most characters of a text. Texts are not interpreted as
    rich markup, and control characters are escaped. Without a terminal lines are not wrapped.
    """

    def __init__(self, console: Console, show_prompt: bool = True, max_text: int | None = None) -> None:
        if max_text is not None and not (isinstance(max_text, int) and max_text >= 1):
            raise ValueError(f"max_text must be >= 1 character, or null for whole texts, got {max_text!r}")
        self.console, self.show_prompt, self.max_text = console, show_prompt, max_text
        self.count = self.groups = 0
        self._group: tuple[object, object] | None = None

    def show(self, row: Row) -> None:
        group = (row.get("iteration"), row.get("uid"))
        if group != self._group:
            self._group = group
            self.groups += 1
            self._prompt(row)
        self.count += 1
        self._rollout(row)

    def note(self, text: str) -> None:
        self._print(Text(text, style="dim"), 0)

    def _prompt(self, row: Row) -> None:
        self.console.print()
        kind = " ".join(_plain(row[name]) for name in ("task", "source") if row.get(name))
        heading = Text.assemble((f"iteration {_plain(row.get('iteration'))}  ", "bold"), _plain(row.get("uid")))
        self._print(heading.append(f"  {kind}", style="dim"), 0)
        if self.show_prompt:
            self._print(Text(_plain(row.get("question") or ""), style="cyan"), 2)
            facts = [f"target {_spans(row['target'])}"] if row.get("target") else []
            facts += [f"choice {_plain(row['choice'])}"] if row.get("choice") else []
            facts += [f"of {_seconds(row['duration'])} s"] if row.get("duration") else []
            self._print(Text("  ".join(facts), style="green"), 2)

    def _rollout(self, row: Row) -> None:
        line = Text().append(f"#{_plain(row.get('row'))}", style="bold")
        line.append(f"  {_plain(row.get('origin'))}", style="" if row.get("origin") == "policy" else "magenta")
        line.append(f"  reward {_number(row.get('reward'))}")
        if isinstance(terms := row.get("terms"), Mapping) and terms:
            line.append(f" ({', '.join(f'{_plain(name)} {_number(value)}' for name, value in terms.items())})")
        advantage = row.get("advantage")
        line.append("  advantage ").append(_number(advantage, "+.3f"), style=_side(advantage))
        line.append(f"  weight {_number(row.get('weight'), 'g')}", style="" if row.get("weight") else "dim")
        if isinstance(probs := row.get("option_probs"), list):
            line.append(f"  options {', '.join(_number(prob, '.2f') for prob in probs)}")
        if row.get("spans"):
            line.append(f"  span {_spans(row['spans'])}")
        if row.get("length") is not None:
            line.append(f"  length {_plain(row['length'])}")
        if row.get("truncated"):
            line.append("  truncated", style="yellow")
        if row.get("reason"):
            line.append(f"  reason: {_plain(row['reason'])}", style="yellow")
        for name in row.keys() - {*_SHOWN}:  # what a version of this file that we do not know says
            if row[name] not in (None, "", [], {}):
                line.append(f"  {_plain(name)} {_plain(row[name])}")
        self._print(line, 2)
        text = _plain(row.get("text") or "")
        if self.max_text is not None and len(text) > self.max_text:
            text = f"{text[: self.max_text]}... ({len(text)} characters)"
        if row.get("frames"):
            seconds = row.get("frame_seconds")
            at = f" at {', '.join(map(_seconds, seconds))} s" if isinstance(seconds, list) else ""
            self._print(Text(f"frames {_listed(row['frames'])}{at}"), 6)
        elif not text and row.get("actions") is not None:
            text = f"actions {_plain(row['actions'])}"
        self._print(Text(text), 6)

    def _print(self, text: Text, indent: int) -> None:
        if not text:
            return
        if self.console.is_terminal:
            self.console.print(Padding(text, (0, 0, 0, indent)), highlight=False)
        else:
            for line in text.split("\n", allow_blank=True):
                self.console.print(Text(" " * indent) + line, highlight=False, soft_wrap=True)


def _plain(value: object) -> str:
    """The value as text with unprintable characters escaped, except line breaks."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def _listed(value: object) -> str:
    """[3, 1] as "3, 1"."""
    return ", ".join(map(_plain, value)) if isinstance(value, list) else _plain(value)


def _number(value: object, form: str = ".3f") -> str:
    return format(value, form) if isinstance(value, int | float) else _plain(value)


def _seconds(value: object) -> str:
    return _number(round(value, 2) if isinstance(value, float) else value, "g")


def _spans(value: object) -> str:
    """[[0.2, 9.8], [11, 12]] as "0.2 to 9.8, 11 to 12 s"."""
    pairs = value if isinstance(value, list) else []
    if not pairs or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        return _plain(value)
    return ", ".join(f"{_seconds(start)} to {_seconds(end)}" for start, end in pairs) + " s"


def _side(advantage: object) -> str:
    if not isinstance(advantage, int | float) or advantage == 0:
        return "dim"
    return "green" if advantage > 0 else "red"
