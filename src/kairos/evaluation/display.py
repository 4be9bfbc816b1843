"""How a metric is shown in logs, tables and pages: its label, bounds and digits, without its code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from kairos.evaluation.bootstrap import Interval

SHOWN = ("headline", "page", "table", "log")
"""Where a metric is shown: everywhere; on the page of a run and in tables; in tables and summary.json; in logs only."""


@dataclass(frozen=True)
class Display:
    """How one metric is shown."""

    label: str
    """Its heading."""
    higher_is_better: bool | None = None
    """None: a change is neither good nor bad."""
    lowest: float | None = None
    """Lower bound of its values; None: unbounded."""
    highest: float | None = None
    """Upper bound of its values; None: unbounded."""
    unit: str = ""
    """What it counts; empty for a share."""
    digits: int = 3
    """Digits after the point."""
    shown: str = "table"
    """One of `SHOWN`."""

    def __post_init__(self) -> None:
        if self.shown not in SHOWN:
            raise ValueError(f"{self.label}: shown must be one of {', '.join(SHOWN)}, got {self.shown!r}")
        if not (isinstance(self.digits, int) and 0 <= self.digits <= 9):
            raise ValueError(f"{self.label}: digits must lie in [0, 9], got {self.digits!r}")

    @property
    def in_tables(self) -> bool:
        return self.shown != "log"

    @property
    def on_page(self) -> bool:
        return self.shown in ("headline", "page")

    @property
    def is_share(self) -> bool:
        """Whether all values lie in [0, 1], so that they can share one axis."""
        return (self.lowest, self.highest) == (0.0, 1.0)

    def number(self, value: float, sign: str = "") -> str:
        return f"{value:{sign}.{self.digits}f}"

    def direction(self, change: Interval | None) -> str:
        """Whether a change whose interval excludes 0 is for the better ("up") or the worse ("down"); else empty.

        >>> Display("parse failures", higher_is_better=False).direction(Interval(-0.2, -0.3, -0.1))
        'up'
        """
        if change is None or self.higher_is_better is None or not (change.low > 0 or change.high < 0):
            return ""
        return "up" if (change.low > 0) == self.higher_is_better else "down"


@dataclass(frozen=True)
class Displays:
    """The displays of metrics by name, in the order of tables; any other name is its own heading.

    >>> Displays()["words_per_answer"].label
    'words per answer'
    """

    by_name: Mapping[str, Display] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Display:
        return self.by_name.get(name) or Display(name.replace("_", " "))

    def __iter__(self) -> Iterator[str]:
        return iter(self.by_name)

    def names(self, *shown: str) -> list[str]:
        """The names of metrics that are shown in one of these ways; without arguments, of all."""
        return [name for name, display in self.by_name.items() if not shown or display.shown in shown]

    def heading(self, logged: str) -> str:
        """The heading of a logged name: "val/miou" gives "val mIoU" if "mIoU" is the label of "miou"."""
        place, _, name = logged.rpartition("/")
        return f"{place} {self[name].label}".strip()

    def __or__(self, other: Displays) -> Displays:
        return Displays({**self.by_name, **other.by_name})
