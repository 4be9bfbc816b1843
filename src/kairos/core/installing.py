"""How an extra of this package is installed: into the checkout that runs, or from the package index."""

from __future__ import annotations

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
"""Where pyproject.toml lies, if this package runs from a checkout."""


def install_line(extra: str, checkout: Path = CHECKOUT) -> str:
    """The command that installs an extra of pyproject.toml, as this package itself was installed.

    >>> install_line("fla", Path("nowhere"))
    'pip install "kairos-video[fla]"'
    """
    if not (checkout / "pyproject.toml").is_file():
        return f'pip install "kairos-video[{extra}]"'
    return f'pip install -e "{"." if checkout == Path.cwd() else checkout}[{extra}]"'
