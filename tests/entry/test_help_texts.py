"""Help: every option says what it is for, every example composes, and every script is a command of the package."""

from __future__ import annotations

import importlib
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

from kairos.compose import compose
from kairos.entry.bare import with_names
from kairos.entry.described import commands, summary
from kairos.entry.groups import groups, groups_of, listed, purpose
from kairos.entry.help import examples, help_text
from kairos.entry.options import CONF, keys_of, options_of
from kairos.options.quoting import literal
from kairos.runs.keys import KEYS

WITH_OPTIONS = [command for command in commands() if (CONF / f"{command}.yaml").exists()]


def test_every_script_is_a_command_and_every_command_a_script(repository: Path):
    scripts = {path.stem: path.read_text(encoding="utf-8") for path in (repository / "scripts").glob("*.py")}
    assert sorted(scripts) == commands() and len(commands()) > 14
    assert len(set(scripts.values())) == 1, "what a script does stands in kairos/commands/, so that all are the same"


def test_the_installed_program_starts_the_commands(repository: Path):
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, _, function = project["scripts"]["kairos"].partition(":")
    assert callable(getattr(importlib.import_module(module), function))


@pytest.mark.parametrize("command", commands())
def test_a_command_says_in_a_line_what_it_does(command: str):
    assert 20 < len(summary(command)) < 110 and summary(command).endswith(".")


@pytest.mark.parametrize("command", WITH_OPTIONS)
def test_every_option_says_what_it_is_for(command: str):
    text = (CONF / f"{command}.yaml").read_text(encoding="utf-8")
    tree = yaml.safe_load(text)
    values = {name for name, value in tree.items() if not isinstance(value, dict)} - {"defaults"}
    assert not values - {option.name for option in options_of(command)}, "give each a comment: --help shows it"
    assert options_of(command) and all(option in keys_of(text) for option in options_of(command))


def test_the_comment_of_an_option_goes_on_below_it_and_lists_its_values_in_lines_of_their_own():
    (option,) = keys_of("compat: ours      # how answers are\n  # read\n  # ours: leniently\n\n# of something else\n")
    assert (option.value, option.comment) == ("ours", "how answers are read\nours: leniently")


def test_every_group_and_every_option_of_it_says_what_it_is_for():
    assert {"policy", "method", "selector", "as", "shape"} <= set(groups())
    used = {name for command in WITH_OPTIONS for name in groups_of(command)}
    assert not [name for name in used if not purpose(name)], "a comment beside it in a list of defaults"
    silent = [f"{group}/{name}" for group in groups() for name, said in listed(group) if not said]
    assert not silent, "begin the yaml with a comment"


@pytest.mark.parametrize("command", WITH_OPTIONS)
def test_help_shows_what_the_command_does_its_options_and_five_examples(command: str):
    text = help_text(command, f"python scripts/{command}.py", ["--help"])
    assert text.startswith(f"usage: python scripts/{command}.py") and summary(command) in text
    assert all(f"\n  {option.name}=" in text for option in options_of(command))
    assert text.count(f"\n  python scripts/{command}.py") >= 4 and text.count("\n  python scripts/") == 5
    assert "kairos " not in text.replace("kairos.", ""), "as the user began the command"


def test_help_lists_config_groups_only_where_it_is_asked_for_them(tmp_path: Path):
    assert "qwen3_vl_2b" not in help_text("plan", "kairos plan", ["--help"])
    every = help_text("plan", "kairos plan", ["--help", "groups"])
    assert "policy=<option>: " in every and "\n  qwen3_vl_2b " in every and "\n  log_exp " in every
    assert "selector=<option>" not in every, "which this command does not have"
    one = help_text("plan", "kairos plan", ["--help", "shape"])
    assert one.startswith("shape=<option>: ") and "policy" not in one
    (tmp_path / "shape").mkdir()
    (tmp_path / "shape" / "mine.yaml").write_text("# Doubles it.\n_target_: mine.Double\n")
    assert "\n  mine " in help_text("plan", "kairos plan", ["--help", "shape", "--config-dir", str(tmp_path)])


@pytest.mark.parametrize("command", WITH_OPTIONS)
def test_every_example_composes(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for name in ("mine", "a", "b", "agent"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    assert len(examples(command)) == 5
    for line in examples(command):
        program, name, *arguments = shlex.split(line, comments=True)
        assert program == "kairos" and name in commands(), line
        for overrides in jobs([word for word in with_names(name, arguments) if word != "-m"], "-m" in arguments):
            assert compose(overrides, name=name), line


def jobs(arguments: list[str], sweep: bool) -> Iterator[list[str]]:
    """The overrides of the first and the last job."""
    texts = [argument.partition("=") for argument in arguments]
    plain = [literal(key, value) if key in KEYS and KEYS[key].literal else f"{key}={value}" for key, _, value in texts]
    if not sweep:
        yield plain
        return
    parsed = OverridesParser.create().parse_overrides(plain)
    values = [
        list(o.sweep_string_iterator()) if o.is_sweep_override() else [o.get_value_element_as_str()] for o in parsed
    ]
    keys = [override.get_key_element() for override in parsed]
    for end in (0, -1):
        yield [f"{key}={value[end]}" for key, value in zip(keys, values, strict=True)]
