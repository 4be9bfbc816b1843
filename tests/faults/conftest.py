"""What tests of faults share: scripts run in the process of the test, from an empty folder."""

from helpers.scripting import script  # noqa: F401 - a fixture
