"""Reads TimeLens-Bench: `{video: {duration, spans, queries}}`, one span a query (TencentARC/TimeLens)."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from kairos.data.readers.timezero import TimeZeroJson


@dataclass(frozen=True)
class TimeLensBench(TimeZeroJson):
    """One of its three sets: charades-timelens.json, activitynet-timelens.json, qvhighlights-timelens.json.

    Written to the schema that the released loaders read; the files themselves were not to be had.
    """

    published = MappingProxyType({"charades": 3_363, "activitynet": 4_500, "qvhighlights": 1_541})
    asked = "queries"
    times = "spans"

    source: str = "timelens_bench"
