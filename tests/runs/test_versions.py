"""What `make doctor` prints of versions and hardware."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import torch

from kairos.core.installing import install_line
from kairos.runs.versions import EXTRAS, version_of, versions, warnings


def test_versions_name_what_is_installed_and_how_to_get_what_is_not():
    text = versions()
    assert torch.__version__.partition("+")[0] in text and "GiB free" in text and "GPU" in text
    for name, extra in EXTRAS.items():
        assert (f"not installed: {install_line(extra)}" in text) == (version_of(name) is None)


MODULES = {
    "vllm": "vllm", "flash-attn-4": "flash_attn.cute", "flash-linear-attention": "fla",
    "hydra-joblib-launcher": "hydra_plugins.hydra_joblib_launcher", "nbclient": "nbclient", "pytest": "pytest",
}  # fmt: skip


@pytest.mark.parametrize("name", EXTRAS)
def test_an_extra_installs_the_package_that_is_named_and_some_file_uses_it(name: str, repository: Path):
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = project["optional-dependencies"][EXTRAS[name]]
    assert name in [re.split(r"[<>=;\[ ]", requirement)[0] for requirement in wanted]
    used = re.compile(rf"""^\s*(import|from) {MODULES[name]}\b|["']{MODULES[name]}["']""", re.MULTILINE)
    lists = {"test_versions.py", "versions.py"}
    files = (f for room in ("src", "scripts", "benchmarks", "tests") for f in (repository / room).rglob("*.py"))
    assert any(used.search(file.read_text(encoding="utf-8")) for file in files if file.name not in lists)


def test_a_full_opencv_is_warned_of_only_where_there_is_no_screen():
    (warning,) = warnings(["decord", "opencv-python"], screen=False)
    assert "pip uninstall opencv-python && pip install opencv-python-headless" in warning
    assert warnings(["decord", "opencv-python"], screen=True) == []
    assert warnings(["decord", "opencv-python-headless"], screen=False) == []


def test_a_host_that_cannot_decode_is_warned_of():
    assert "no video can be decoded" in warnings([], screen=True)[0]


def test_the_revision_is_that_of_the_folder(tmp_path):
    assert "revision" not in versions(tmp_path)
    for arguments in (
        ["init", "-q"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x"],
    ):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True)
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=tmp_path, check=True, capture_output=True, text=True
    ).stdout.strip()
    assert f"revision                {head}" in versions(tmp_path)
