"""The scripts of a page as one, in a scope of its own, with the hash by which the page's policy lets it run."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from importlib.resources import files

from markupsafe import Markup


@dataclass(frozen=True)
class Script:
    """The code of a script element."""

    code: str

    @classmethod
    def of(cls, *names: str) -> Script:
        """From files of templates/browser, in this order."""
        folder = files("kairos.report") / "templates" / "browser"
        parts = [(folder / f"{name}.js").read_text(encoding="utf-8") for name in names]
        code = "\n(() => {\n'use strict';\n" + "\n".join(parts) + "})();\n"
        assert "</script" not in code.lower() and "<!--" not in code
        return cls(code)

    def values(self, served: bool) -> dict[str, object]:
        """What page.html.jinja reads. `served`: the page may ask the server that it came from."""
        digest = base64.b64encode(hashlib.sha256(self.code.encode()).digest()).decode("ascii")
        return {"script": Markup(self.code), "hash": Markup(f"'sha256-{digest}'"), "served": served}
