"""A hook of mkdocs: pictures of results/ become files of the site, and other links that leave docs/ become text."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
_PICTURE = re.compile(r"(!\[[^]]*\]\()\.\./(results/[^)]+\.png)\)")
_OUTSIDE = re.compile(r"(?<!!)\[([^]]+)\]\(\.\./([^)]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pictures that pages show."""
    for page in ROOT.glob("docs/*.md"):
        for _, name in _PICTURE.findall(page.read_text(encoding="utf-8")):
            if files.get_file_from_path(name) is None:
                files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """The text of a page with its links as they are on the site."""
    shown = _PICTURE.sub(r"\1\2)", markdown)
    return _OUTSIDE.sub(lambda link: link[1] if f"`{link[2]}`" == link[1] else f"{link[1]} (`{link[2]}`)", shown)
