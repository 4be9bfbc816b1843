"""Reads ActivityNet Captions as distributed (train.json, val_1.json, val_2.json)."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from kairos.data.readers.timezero import TimeZeroJson


@dataclass(frozen=True)
class ActivityNetCaptions(TimeZeroJson):
    """One split of ActivityNet Captions (Krishna et al. 2017): 37,421 sentences of 10,009 videos to train on, val_1
    17,505 of 4,917, val_2 (the test split of grounding papers) 17,031 of 4,885. TimeZero uses the same format.

    val_1 and val_2 describe the same videos, so the uid contains the file's name.
    """

    published = MappingProxyType({"train": 37_421, "val_1": 17_505, "val_2": 17_031})

    source: str = "activitynet"
