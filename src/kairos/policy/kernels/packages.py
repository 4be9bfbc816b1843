"""Whether a package that may be missing is there: optional kernels ask before they are chosen."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec


@cache
def installed(module: str) -> bool:
    """Of a package, or of a module inside one that need not be there either."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
