"""Work that is the same every time, captured once in a CUDA graph and replayed."""

from __future__ import annotations

from collections.abc import Callable

import torch


class Replayed:
    """`work()` must read and write only tensors that stay where they are, and never wait for the device.

    The first call runs it as it is (kernels load, libraries set up), the second captures it, all from then on replay.
    """

    def __init__(self, work: Callable[[], None]) -> None:
        self.work = work
        self.warm = False
        self.graph: torch.cuda.CUDAGraph | None = None

    def __call__(self) -> None:
        if not self.warm:
            self.work()
            self.warm = True
            return
        if self.graph is None:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self.work()
            self.graph = graph
        self.graph.replay()
