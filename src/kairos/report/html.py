"""HTML pages from the templates in `report/templates`: complete in themselves, with everything in them escaped."""

from __future__ import annotations

from collections.abc import Mapping

from jinja2 import Environment, PackageLoader


def html(template: str, values: Mapping[str, object]) -> str:
    """The page that `templates/<template>.html.jinja` makes of the values."""
    environment = Environment(loader=PackageLoader("kairos.report"), autoescape=True, trim_blocks=True)
    return environment.get_template(f"{template}.html.jinja").render(values)
