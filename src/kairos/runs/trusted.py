"""Which callables a run's folder may name: it is data, perhaps a stranger's, and must bring no code of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple, cast

import yaml

import kairos
from kairos.runs.keys import key_of, meaning

GET_METHOD = "hydra.utils.get_method"
"""Gives the callable at its `path`, which is checked as a target is."""
LIBRARIES = frozenset(
    {
        GET_METHOD,
        *(f"lightning{inner}.Trainer" for inner in ("", ".pytorch")),
        *(
            f"lightning.pytorch.strategies.{name}"
            for name in ("SingleDeviceStrategy", "DDPStrategy", "FSDPStrategy", "ModelParallelStrategy")
        ),
        *(f"lightning.pytorch.loggers.{name}" for name in ("CSVLogger", "TensorBoardLogger")),
        *(
            f"torch.optim.{name}"
            for name in ("SGD", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "Adagrad", "Adafactor", "RMSprop")
        ),
    }
)
"""Callables of other packages that Kairos itself would use: none of them takes code, a command or another callable's
name. Loggers that take the address of a server are not among them."""
_TYPED = re.compile(r"""(?:^|[.{,\s+])(?:_target_|path)\s*[=:]\s*["']?([\w.]+)""")
_ROOT = Path(str(kairos.__file__)).parent


class Foreign(NamedTuple):
    """A callable that is not trusted."""

    key: str
    """Where a configuration names it."""
    target: str


@dataclass(frozen=True)
class Trusted:
    """The callables that a run's folder may name."""

    names: frozenset[str]
    """Dotted names."""
    packages: frozenset[str] = frozenset()
    """Top-level modules of a user's own: all that they hold."""

    @classmethod
    def given(cls, conf: Path, typed: Sequence[str] = (), config_dir: str | None = None) -> Trusted:
        """What Kairos's own configuration `conf` names, and what the user of this command says.

        That is: what the overrides `typed` on this command line name, what the options below `config_dir` name, and
        the packages that lie there.
        """
        own = frozenset(n for o in typed if not meaning(key_of(o)).literal for n in _TYPED.findall(o))
        if config_dir is None:
            return cls(LIBRARIES | named_in(conf) | own)
        return cls(LIBRARIES | named_in(conf) | own | named_in(Path(config_dir)), _packages(Path(config_dir)))

    def allows(self, target: str) -> bool:
        """Whether a callable is trusted; the public frozen dataclasses of Kairos are: making one does nothing."""
        return target in self.names or target.partition(".")[0] in self.packages or _is_part(target)

    def foreign(self, tree: object, key: str = "") -> Iterator[Foreign]:
        """The callables that are not trusted in a configuration without interpolations, at any depth."""
        if isinstance(tree, Mapping):
            for name in _callables(tree):
                if not isinstance(name, str) or not self.allows(name):
                    yield Foreign(key or "(top)", str(name))
        children = tree.items() if isinstance(tree, Mapping) else enumerate(tree) if isinstance(tree, list) else ()
        for name, branch in children:
            yield from self.foreign(branch, f"{key}.{name}" if key else str(name))


def named_in(folder: Path) -> frozenset[str]:
    """The callables that the yaml files below a folder name, those for Hydra's own use left out."""
    found: set[str] = set()
    for file in folder.rglob("*.yaml"):
        try:
            tree = yaml.load(file.read_text(encoding="utf-8"), _Loader)
        except (yaml.YAMLError, UnicodeDecodeError):
            continue  # Hydra says so where the file is chosen
        if isinstance(tree, dict):
            tree.pop("hydra", None)
        found.update(_names(tree))
    return frozenset(found)


def _names(tree: object) -> Iterator[str]:
    if isinstance(tree, Mapping):
        yield from (name for name in _callables(tree) if isinstance(name, str))
    branches = tree.values() if isinstance(tree, Mapping) else tree if isinstance(tree, list) else ()
    for branch in branches:
        yield from _names(branch)


def _callables(node: Mapping[object, object]) -> Iterator[object]:
    if "_target_" in node:
        yield node["_target_"]
        if node["_target_"] == GET_METHOD:
            yield node.get("path")


def _is_part(target: str) -> bool:
    """Whether a public frozen dataclass of Kairos has this name, under the file that defines it."""
    module, _, name = target.rpartition(".")
    parts = module.split(".")
    if parts[0] != "kairos" or not all(part.isidentifier() for part in [*parts, name]) or name.startswith("_"):
        return False
    if not _ROOT.joinpath(*parts[1:]).with_suffix(".py").is_file():
        return False
    found = vars(import_module(module)).get(name)
    if not isinstance(found, type) or not is_dataclass(found) or found.__module__ != module:
        return False
    return bool(found.__dataclass_params__.frozen)  # type: ignore[attr-defined]


def _packages(folder: Path) -> frozenset[str]:
    """The top-level modules below a folder, where Python imports that file under this name and no other."""
    top = folder.resolve()
    found = set()
    for path in top.rglob("*.py"):
        module = (path.parent if path.name == "__init__.py" else path).stem
        spec = find_spec(module) if module.isidentifier() and not module.startswith("__") else None
        if spec is not None and spec.origin is not None and Path(spec.origin).resolve() == path:
            found.add(module)
    return frozenset(found)


_Loader = cast("type[yaml.SafeLoader]", getattr(yaml, "CSafeLoader", yaml.SafeLoader))
