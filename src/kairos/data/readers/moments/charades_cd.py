"""Reads Charades-CD and ActivityNet-CD, the splits of TimeZero with and without the training set's distribution."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from kairos.data.readers.timezero import TimeZeroJson


@dataclass(frozen=True)
class CharadesCD(TimeZeroJson):
    """`{video: {sentences, timestamps, video_duration}}` (Yuan et al. 2021): iid, ood and the splits of words."""

    published = MappingProxyType(
        {
            "train": 11_071, "val": 859, "iid": 823, "ood": 3_375,
            "novel_composition": 3_442, "novel_word": 695, "test_trivial": 3_096,
        }
    )  # fmt: skip

    source: str = "charades_cd"


@dataclass(frozen=True)
class ActivityNetCD(TimeZeroJson):
    """The same of ActivityNet Captions."""

    published = MappingProxyType({"val": 3_521, "iid": 3_443, "ood": 13_578})

    source: str = "activitynet_cd"
