"""A toy data set some of whose prompts cannot be used, for runs of this and of other processes."""

from __future__ import annotations

from collections.abc import Sequence

from torch.utils.data import Dataset

from kairos.core.types import Failure, Prompt, Template
from kairos.data.toy import ToyGrounding


class BrokenToy(Dataset[Prompt | Failure]):
    """`ToyGrounding` whose prompts at the indices `broken` are failures; `opened` lists the indices asked for."""

    def __init__(self, broken: Sequence[int], prompts: int = 16, template: Template | None = None) -> None:
        self.toy, self.broken, self.opened = ToyGrounding(prompts, template=template), frozenset(broken), []

    def __len__(self) -> int:
        return len(self.toy)

    def __getitem__(self, index: int) -> Prompt | Failure:
        self.opened.append(index)
        return Failure(f"broken/{index}", "its video cannot be decoded") if index in self.broken else self.toy[index]
