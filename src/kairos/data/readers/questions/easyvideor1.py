"""Reads EasyVideoR1's copies of benchmarks (eval/data/valid_data/*.json), some of which are parts of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from kairos.core.answers import blocks
from kairos.data.readers.multiple_choice import MultipleChoice


@dataclass(frozen=True)
class EasyVideoR1(MultipleChoice):
    """Rows of {path, problem, options ["A. ..."], solution "<answer>B</answer>", data_source, problem_id}.

    minerva, lvbench and mvbench are parts of the benchmarks (1,515, 1,549 and 4,000 questions): their scores cannot be
    compared with those of the whole. Its Charades-STA is corrupt and is not read.
    """

    published = MappingProxyType(
        {"holmes": 1_837, "minerva": 1_431, "mlvu-test": 502, "lvbench": 1_492, "mvbench": 3_586}
    )
    calls = MappingProxyType(
        {
            "video": "path", "question": "problem", "options": "options", "answer": "solution",
            "category": "data_source", "id": "problem_id",
        }
    )  # fmt: skip

    def adapted(self, values: dict[str, object]) -> Mapping[str, object]:
        answer = values.get("answer")
        return {**values, "answer": next(blocks(answer), answer)} if isinstance(answer, str) else values
