"""Renders the jinja templates in `report/templates` as self-contained HTML pages with all values escaped."""

from __future__ import annotations

from collections.abc import Mapping

from jinja2 import Environment, PackageLoader


def html(template: str, values: Mapping[str, object]) -> str:
    """Render `templates/<template>.html.jinja` with `values`."""
    environment = Environment(loader=PackageLoader("kairos.report"), autoescape=True, trim_blocks=True)
    return environment.get_template(f"{template}.html.jinja").render(values)
