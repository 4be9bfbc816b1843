"""Composes a command line, and says in one line what is wrong with an override that Hydra cannot apply."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, ValueType
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from kairos.core.spelling import close, did_you_mean
from kairos.options.spelling import meant
from kairos.options.values import signature_of

Compose = Callable[[Sequence[str]], DictConfig]
"""The configuration of overrides. Hydra's errors."""


class OverrideError(ValueError):
    """An override names no option, or an option without such a choice; the message says what may be meant."""


def composed(overrides: Sequence[str], compose: Compose, folders: Sequence[Path]) -> DictConfig:
    """`compose(overrides)`; OverrideError for one that it cannot apply. `folders` hold the groups of options."""
    for one in _parsed(overrides):
        if not one.is_delete() and _of_group(one, folders) and not isinstance(one.value(), str | list | dict | None):
            raise OverrideError(f"{_line(one)}: {one.key_or_group} takes the name of an option; {_MORE}")
    try:
        return compose(overrides)
    except MissingConfigException as error:
        raise OverrideError(_no_choice(error, overrides, folders)) from error
    except ConfigCompositionException as error:
        raise OverrideError(_no_option(error, overrides, compose, folders)) from error


def refuse_new_at_the_top(overrides: Sequence[str], compose: Compose, folders: Sequence[Path]) -> None:
    """OverrideError for `+name=...` where no option is called name. Composes once more if `+` adds anything."""
    parsed = _parsed(overrides)
    added = [one for one in parsed if (one.is_add() or one.is_force_add()) and not _of_group(one, folders)]
    if added:
        at_the_top = compose([_line(one) for one in parsed if _of_group(one, folders)])
        for one in added:
            top = one.key_or_group.partition(".")[0]
            if top not in at_the_top and top != "hydra":
                likely = did_you_mean(_likely(top, _options(at_the_top), folders))
                raise OverrideError(
                    f"{_line(one)}: there is no option {top}; {likely or _MORE} (+ adds below an option that "
                    "exists; what is new at the top belongs into a file of --config-dir)"
                )


_MORE = "--help lists the options"
_LISTED = (ValueType.CHOICE_SWEEP, ValueType.SIMPLE_CHOICE_SWEEP, ValueType.RANGE_SWEEP)


def swept(overrides: Sequence[str]) -> Iterator[list[str]]:
    """Command lines without a sweep, in which every option of a group that a sweep (`-m`) names stands once.

    >>> list(swept(["policy=toy,mini", "seed=1,2"]))
    [['policy=toy', 'seed=1'], ['policy=mini', 'seed=1']]
    """
    first: list[str] = []
    others: list[tuple[int, str]] = []
    for override in _parsed(overrides):
        line = _line(override)
        if override.value_type in _LISTED:
            line, *more = [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]
            others += [(len(first), another) for another in more if another.rpartition("=")[2][:1].isalpha()]
        if override.value_type in _LISTED or not override.is_sweep_override():  # glob(*) names what there is
            first.append(line)
    yield first
    for place, another in others:
        yield [*first[:place], another, *first[place + 1 :]]


def _parsed(overrides: Sequence[str]) -> list[Override]:
    """OverrideError for one that is not in Hydra's grammar."""
    parsed = []
    for override in overrides:
        try:
            parsed.append(OverridesParser.create().parse_override(override))
        except HydraException as error:
            why = str(error).splitlines()[0]
            raise OverrideError(
                f"{override}: not option=value ({why}); a text with spaces, commas or brackets needs quotes: "
                """'option="a text"'"""
            ) from error
    return parsed


def _line(override: Override) -> str:
    """The override as it is typed."""
    return override.input_line or ""


def _of_group(override: Override, folders: Sequence[Path]) -> bool:
    """Whether an override chooses an option of a group, such as `+data@data.parts.mine=jsonl`."""
    return override.package is not None or any((folder / override.key_or_group).is_dir() for folder in folders)


def _no_choice(error: MissingConfigException, overrides: Sequence[str], folders: Sequence[Path]) -> str:
    wanted = str(error.missing_cfg_file or "")
    typed = next((one for one in _parsed(overrides) if f"{one.key_or_group}/{one.value()}" == wanted), None)
    group = typed.key_or_group if typed else wanted.partition("/")[0]
    choice = wanted.removeprefix(f"{group}/")
    files = {file.relative_to(root) for root in (one / group for one in folders) for file in root.rglob("*.yaml")}
    choices = sorted(file.with_suffix("").as_posix() for file in files) or [*(error.options or ())]
    likely = did_you_mean(close(choice, choices)) or f"it has {', '.join(choices[:30])}"
    return f"{_line(typed) if typed else str(error).splitlines()[0]}: {group} has no option {choice}; {likely}"


def _no_option(
    error: ConfigCompositionException, overrides: Sequence[str], compose: Compose, folders: Sequence[Path]
) -> str:
    parsed = _parsed(overrides)
    place = next((n for n, one in enumerate(parsed) if f"'{one.key_or_group}'" in str(error)), None)
    if place is None or parsed[place].is_add():
        return _joined(error)
    wrong = parsed[place]
    key = wrong.key_or_group.replace("/", ".")
    # Hydra chooses the options of groups first, and then applies the others in their order.
    sound = [_line(one) for n, one in enumerate(parsed) if n < place or (n > place and _of_group(one, folders))]
    config = compose(sound)
    options = _options(config)
    misspelt, above = key, key.rpartition(".")[0]
    while above and above not in options:  # the first part of a.b.c that is no option
        misspelt, above = above, above.rpartition(".")[0]
    if misspelt in options:
        return _joined(error)
    if _takes(config, above, misspelt):
        return f"{_line(wrong)}: {above} has its default of {misspelt.rpartition('.')[2]}; add it: +{_line(wrong)}"
    rest = key.removeprefix(misspelt)
    likely = [option + rest if option + rest in options else option for option in _likely(misspelt, options, folders)]
    return f"{_line(wrong)}: there is no option {misspelt}; {did_you_mean(likely) or _below(above, options)}"


def _takes(config: DictConfig, above: str, name: str) -> bool:
    """Whether the part at `above` has a parameter of this name, which the configuration leaves at its default."""
    target = OmegaConf.select(config, f"{above}._target_") if above else None
    return target is not None and name.rpartition(".")[2] in signature_of(str(target)).names


def _likely(misspelt: str, options: Sequence[str], folders: Sequence[Path]) -> list[str]:
    """The options that may be meant; at the top also groups that leave no node, such as method and experiment."""
    groups = {path.name for folder in folders if folder.is_dir() for path in folder.iterdir() if path.is_dir()}
    return meant(misspelt, [*options, *sorted(groups - set(options))])


def _joined(error: ConfigCompositionException) -> str:
    """Hydra's own message and the reason that it gives below it, on one line."""
    cause = error.__cause__
    lines = [str(error), *([str(cause)] if isinstance(cause, OmegaConfBaseException) else [])]
    return "; ".join(line.strip() for text in lines for line in text.splitlines() if line.strip())


def _below(name: str, options: Sequence[str]) -> str:
    children = [option.rpartition(".")[2] for option in options if name and option.rpartition(".")[0] == name]
    return f"{name} has {', '.join(children[:20])}" if children else _MORE


def _options(config: DictConfig) -> list[str]:
    """Every option of a configuration, dotted; not those that only refer to others by an interpolation."""
    return [*_below_of(OmegaConf.to_container(config, resolve=False), "")]


def _below_of(node: object, prefix: str) -> Iterator[str]:
    if isinstance(node, dict):
        for name, value in node.items():
            if isinstance(name, str) and not name.startswith("_"):
                yield prefix + name
                yield from _below_of(value, f"{prefix}{name}.")
