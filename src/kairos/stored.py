"""Composes the configuration that a run's folder stores: the only way from its overrides to objects.

A folder may come from a stranger. What it names is checked after the composition, and interpolations are resolved
before: what is built later is exactly what was checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf, open_dict

from kairos.compose import CONF, compose, values_given
from kairos.runs.environment import Environment
from kairos.runs.folder import RunError, RunFolder
from kairos.runs.keys import key_of
from kairos.runs.options import option
from kairos.runs.trusted import Foreign, Trusted

ON_CPU = ("trainer=cpu", "trainer.devices=1", "strategy=single")
"""Overrides for commands that only read a run, wherever it was trained."""

_PLACES = {"strategy": "trainer.strategy"}
"""Where the options of a group stand that is not their own name."""


def compose_stored(
    run: RunFolder,
    typed: Sequence[str] = (),
    config_dir: str | None = None,
    name: str = "train",
    folder: Path | None = None,
    trust: bool = False,
) -> DictConfig:
    """The configuration of a run's overrides and then of those `typed` on this command line, without interpolations.

    `folder` is where its objects write, the run's own folder by default. RunError, which lists them, for callables
    that the run's folder names and that are not trusted (`Trusted.given`), and for overrides that reach out of the
    configuration; `trust=True` accepts and prints them.
    """
    stored = kept_beside(run.overrides(), typed)
    found = list(_reaching_out(stored, config_dir))
    if found and not trust:
        raise _refused(run, found, config_dir)
    config = compose([*stored, *typed], config_dir, name, stored=True)
    with open_dict(config):
        config.folder = str(folder or run.path)
    with values_given(config):
        tree = OmegaConf.to_container(config, resolve=True)
    found += [_line(stored, foreign) for foreign in Trusted.given(Path(CONF), typed, config_dir).foreign(tree)]
    found += [f"{key}: {text!r} hides an interpolation" for key, text in _texts(tree) if "${" in text]
    if found and not trust:
        raise _refused(run, found, config_dir)
    if found:
        print("\n  ".join([f"trust=true accepts what {run.path} names:", *(_shown(line) for line in found)]))
    checked = OmegaConf.create(tree)
    assert isinstance(checked, DictConfig)
    OmegaConf.set_struct(checked, True)
    return checked


def kept_beside(stored: Sequence[str], typed: Sequence[str]) -> list[str]:
    """The stored overrides without options of what one on this command line takes the place of.

    >>> kept_beside(["data=mini", "data.clips=4", "seed=1"], ["data=jsonl"])
    ['data=mini', 'seed=1']
    >>> kept_beside(["strategy=hsdp", "trainer.strategy.replicas=4"], ["strategy=hsdp"])
    ['strategy=hsdp', 'trainer.strategy.replicas=4']
    """
    chosen = [(key, value) for key, value in map(_halves, typed) if not value.startswith("{")]
    others = [key for key, value in chosen if option(key, stored) not in ("", value)]
    places = tuple(f"{_PLACES.get(key, key)}." for key in others)
    return [override for override in stored if not key_of(override).startswith(places)]


def _halves(override: str) -> tuple[str, str]:
    return key_of(override), override.partition("=")[2].strip("'\"")


def _refused(run: RunFolder, found: Sequence[str], config_dir: str | None) -> RunError:
    lacking = Environment.read(run.path).lacking(Environment.given(config_dir))
    own = f" It says that it began with {lacking}: give that again if those folders are yours." if lacking else ""
    listed = "\n  ".join(_shown(line) for line in found)
    return RunError(
        f"{run.path / 'overrides.yaml'} asks for what Kairos does not run unless you say so:\n  {listed}\n"
        "Nothing of it was run. If the folder comes from someone else, read those lines first. Parts of your own are "
        "trusted where this command names them: by --config-dir, whose options or packages they are, or by the same "
        f"override again.{own} Or say trust=true, which accepts everything that is listed here."
    )


def _shown(text: str) -> str:
    """What came from the folder, without characters that a terminal obeys."""
    return text if text.isprintable() else ascii(text)


def _line(stored: Sequence[str], foreign: Foreign) -> str:
    """Where a callable is named, and by which override if it stands in one as it is."""
    by = next((f", by {override}" for override in stored if foreign.target in override), "")
    return f"{foreign.key}: {foreign.target}{by}"


def _reaching_out(stored: Sequence[str], config_dir: str | None) -> Iterator[str]:
    """The overrides that would read more than the options of `conf/` and of `config_dir`."""
    for override in stored:
        key, value = key_of(override), override.partition("=")[2]
        group = override.lstrip("+~").partition("=")[0].partition("@")[0]
        if key.partition(".")[0] == "hydra" or "@hydra" in key:
            yield f"{override} changes Hydra itself"
        elif ".." in group or (_is_group(group, config_dir) and (".." in value or "/" in value[:1] or "${" in value)):
            yield f"{override} takes an option from outside the configuration"
        elif _calls_a_resolver(override):
            yield f"{override} calls a resolver, such as one that reads environment variables"


def _is_group(key: str, config_dir: str | None) -> bool:
    return any((Path(root) / key).is_dir() for root in (CONF, config_dir) if root is not None)


def _calls_a_resolver(text: str) -> bool:
    """Whether a text holds an interpolation with a colon of its own, `${oc.env:HOME}`; one of a key has none."""
    opened: list[str] = []
    for here, following in zip(text, text[1:] + " ", strict=True):
        if here == "{":
            opened.append("interpolation" if opened and opened[-1] == "$" else "{")
        elif here == "$" and following == "{":
            opened.append("$")
        elif here == "}" and opened:
            if opened.pop() == "interpolation":
                opened.pop()
        elif here == ":" and opened and opened[-1] == "interpolation":
            return True
    return False


def _texts(tree: object, key: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a configuration, with its key."""
    if isinstance(tree, str):
        yield key, tree
    branches = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for name, branch in branches:
        yield from _texts(branch, f"{key}.{name}" if key else str(name))
