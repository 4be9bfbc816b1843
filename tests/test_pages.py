"""README.md and docs/: every command composes, every link leads somewhere, and the README is short."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from kairos.compose import compose
from kairos.entry import configuration
from kairos.entry.described import commands
from kairos.entry.groups import groups
from kairos.entry.options import CONF
from kairos.options.quoting import literal
from kairos.runs.keys import KEYS

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ALLOWED = ("source ", "pip install", "make ", "wandb ", "#", "kairos rollouts")
"""Beginnings of lines that no script of ours reads; make and pip are looked at below."""


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def lines(page: Path) -> Iterator[str]:
    """The command lines of a page's fenced blocks, continued ones whole, shell variables filled in."""
    variables = dict(re.findall(r'^([A-Z])="(.*?)"', text(page), re.MULTILINE))
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```$", text(page), re.DOTALL | re.MULTILINE):
        if language in ("", "bash"):
            for line in block.replace("\\\n", " ").splitlines():
                yield re.sub(r"\$([A-Z])\b", lambda found: variables[found[1]], line).strip()


def scripts(page: Path) -> Iterator[tuple[str, list[str]]]:
    """(command, arguments) of every line that runs one of ours, however it is started."""
    for line in lines(page):
        found = re.search(r"(?:scripts/(\w+)\.py|^kairos (\w+))(?: (.*))?$", line)
        if found and not line.startswith("#"):
            yield found[1] or found[2], shlex.split(re.sub(r"<[^>]+>", "there", found[3] or ""), comments=True)


def composed(argument: str) -> str | None:
    """An override as composing takes it: of a sweep the first value; None for what composing does not take."""
    key, _, value = argument.partition("=")
    if argument.startswith("-") or "=" not in argument or key.startswith("hydra"):
        return None
    if value == "there" and key in groups():  # experiment=<name>
        return None
    if key in KEYS and KEYS[key].literal:
        return literal(key, value)
    return argument if value.startswith(("[", "{", "'", '"')) else f"{key}={value.split(',')[0]}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_of_a_page_names_options_that_exist(page: Path):
    for name, arguments in scripts(page):
        assert name in commands(), f"{page.name}: there is no command {name}"
        if (CONF / f"{name}.yaml").exists() and "--config-dir" not in arguments:
            assert compose([one for one in map(composed, arguments) if one], name=name), (page.name, arguments)
    for line in lines(page):
        known = re.match(r"(?:[A-Z_]+=\S+ )*(?:python|torchrun|srun|kairos|\.venv/bin/python) ", line)
        assert not line or known or line.startswith(ALLOWED) or re.match(r'^[A-Z]="', line), f"{page.name}: {line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_benchmark_extra_and_target_that_a_page_names_exists(page: Path):
    for name, rest in re.findall(r"python benchmarks/(\w+)\.py([^`\n]*)", text(page)):
        source = text(ROOT / "benchmarks" / f"{name}.py")
        assert not [option for option in re.findall(r" (--[\w-]+)", rest) if f'"{option}"' not in source], (name, rest)
    extras = tomllib.loads(text(ROOT / "pyproject.toml"))["project"]["optional-dependencies"]
    assert set(re.findall(r'pip install -e "\.\[(\w+)\]"', text(page))) <= set(extras)
    named = set(re.findall(r"^make ([\w-]+)|`make ([\w-]+)`", text(page), re.MULTILINE))
    makefile = text(ROOT / "Makefile")
    assert not [target for pair in named if (target := "".join(pair)) and f"\n{target}:" not in makefile]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_file_that_a_page_links_to_exists(page: Path):
    found = [link for link in re.findall(r"\]\(([^)#\s]+)(?:#[\w-]+)?\)", text(page)) if "://" not in link]
    assert not [link for link in found if not (page.parent / link).exists()]


def test_the_readme_is_short_and_every_page_is_reached_from_the_index():
    assert len(text(ROOT / "README.md").splitlines()) <= 150
    index = text(ROOT / "docs" / "index.md")
    site = text(ROOT / "mkdocs.yml")
    for page in PAGES[1:]:
        assert page.name == "index.md" or f"({page.name})" in index
        assert f"- {page.name}\n" in site, "in the site's navigation too"


def test_the_page_of_options_is_what_the_comments_of_conf_say():
    """Where this fails: `python -m kairos.entry.configuration > docs/configuration.md`."""
    assert text(ROOT / "docs" / "configuration.md") == configuration.page()
