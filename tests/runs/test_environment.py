"""Where a run's own parts came from, as its folder says it, and what a broken file of that or of displays does."""

from __future__ import annotations

from pathlib import Path

import pytest

from kairos.runs.displays import DISPLAYS, read_displays
from kairos.runs.environment import Environment


def test_what_was_written_is_read_and_asked_for_again(tmp_path: Path):
    begun = Environment("/mine/conf", ("/mine/parts", "/other parts"))
    begun.write(tmp_path)
    assert Environment.read(tmp_path) == begun
    assert begun.lacking(Environment()) == "PYTHONPATH='/mine/parts:/other parts' --config-dir /mine/conf"
    assert begun.lacking(begun) == ""


@pytest.mark.parametrize("text", ["", "3", "[a]", "a: [", "python_path: 3", "config_dir: {a: 1}\npython_path: abc"])
def test_a_file_that_says_something_else_says_nothing(text: str, tmp_path: Path):
    (tmp_path / "environment.yaml").write_text(text)
    assert Environment.read(tmp_path) == Environment()


def test_what_would_write_to_the_terminal_is_not_shown(tmp_path: Path):
    (tmp_path / "environment.yaml").write_text(r'{config_dir: "\e[2J", python_path: ["/mine", 3, "a\nb"]}')
    assert Environment.read(tmp_path) == Environment(None, ("/mine",))


ROW = '{"label": "x", "higher_is_better": null, "lowest": 0, "highest": 1, "unit": "", "digits": 3, "shown": "page"}'


@pytest.mark.parametrize("text", ["", "[]", '{"a": 3}', f'{{"a": {ROW}}}'.replace("page", "no"), f'{{"a": {ROW[1:]}}}'])
def test_a_broken_file_of_displays_is_named(text: str, tmp_path: Path):
    (tmp_path / DISPLAYS).write_text(text)
    with pytest.raises(ValueError, match=r"displays\.json is not a file of displays: "):
        read_displays(tmp_path)
    (tmp_path / DISPLAYS).write_text(f'{{"a": {ROW}}}')
    assert read_displays(tmp_path)["a"].shown == "page"
