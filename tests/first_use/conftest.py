"""Some commands run in the process of the test, from an empty folder: starting another one takes seconds."""

from helpers.scripting import script  # noqa: F401 - a fixture
