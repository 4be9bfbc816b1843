"""Renders the jinja templates in `report/templates` as self-contained HTML pages with all values escaped."""

from __future__ import annotations

from collections.abc import Mapping

from jinja2 import Environment, PackageLoader


def html(template: str, values: Mapping[str, object]) -> str:
    """Render `templates/<template>.html.jinja` with `values`."""
    environment = Environment(loader=PackageLoader("kairos.report"), autoescape=True, trim_blocks=True)
    return encodable(environment.get_template(f"{template}.html.jinja").render(values))


def encodable(text: str) -> str:
    r"""The text with escapes for what UTF-8 has no bytes for.

    >>> print(encodable("half of \ud83d"))
    half of \ud83d
    """
    return text.encode("utf-8", "backslashreplace").decode()
