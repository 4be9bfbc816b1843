"""How good chosen frames are without any answerer: how much of the evidence they show, and how much they repeat."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise


def evidence_recall(picked: Sequence[float], evidence: Sequence[float], within: float) -> float:
    """Share of the moments in `evidence` with a picked frame at most `within` seconds away; all times are seconds.

    ValueError without evidence.

    >>> evidence_recall([1.0, 9.0], evidence=[2.0, 5.0], within=1.0)
    0.5
    """
    if not evidence:
        raise ValueError("the recall of no evidence is undefined")
    return sum(any(abs(second - moment) <= within for second in picked) for moment in evidence) / len(evidence)


def adjacency(picked: Sequence[Sequence[int]]) -> float:
    """Share of consecutive picks, over all clips, that are neighbouring candidates; indices rise within a clip.

    ValueError where no clip has two picks.

    >>> adjacency([[0, 1, 5], [2, 3]])
    0.6666666666666666
    """
    steps = [later - earlier for indices in picked for earlier, later in pairwise(indices)]
    if not steps:
        raise ValueError("adjacency needs a clip with at least two picks")
    return sum(step == 1 for step in steps) / len(steps)
