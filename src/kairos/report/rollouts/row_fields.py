"""Fields of a JSON row, as a user names them: `advantage`, or nested, `terms.iou`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Row = Mapping[str, object]


class ConditionError(ValueError):
    """A condition or a field is invalid; the message quotes it."""


@dataclass(frozen=True)
class Field:
    """A field of a row. `asked` says where the user named it, for messages."""

    path: tuple[str, ...]
    asked: str

    @property
    def name(self) -> str:
        return ".".join(self.path)

    def __call__(self, row: Row) -> object:
        """The value in a row; None if the row lacks it."""
        value: object = row
        for name in self.path:
            value = value.get(name) if isinstance(value, Mapping) else None
        return value

    def unknown(self, fields: Sequence[str]) -> ConditionError:
        return ConditionError(f"{self.asked}: there is no field {self.name!r}; the fields are {', '.join(fields)}")


def fields_of(row: Row) -> list[str]:
    """The names of a row's fields; nested ones, such as `terms.iou`, follow their parent."""
    names: list[str] = []
    for name, value in row.items():
        names += [name, *(f"{name}.{inner}" for inner in value)] if isinstance(value, Mapping) else [name]
    return names
