"""Captures repeated work in a CUDA graph once and replays it."""

from __future__ import annotations

from collections.abc import Callable

import torch


class Replayed:
    """Calls `work` through a CUDA graph. `work` may read and write tensors at fixed addresses only, without host syncs.

    The first call runs `work` directly, unless it is `warm`: kernels are loaded, libraries initialised. The next call
    captures the graph; that call and all later ones replay it.
    """

    def __init__(self, work: Callable[[], None], warm: bool = False) -> None:
        self.work = work
        self.warm = warm  # such work ran before, on other tensors
        self.graph: torch.cuda.CUDAGraph | None = None

    def __call__(self) -> None:
        if not self.warm:
            self.work()
            self.warm = True
            return
        if self.graph is None:
            self.graph = _captured(self.work)
        self.graph.replay()


def _captured(work: Callable[[], None]) -> torch.cuda.CUDAGraph:
    """Capture `work` without waiting for the device.

    `torch.cuda.graph` would wait for it, empty the allocator's cache each time, and fail when another thread (a loader
    that pins memory) allocates meanwhile.
    """
    graph, side, main = torch.cuda.CUDAGraph(), torch.cuda.Stream(), torch.cuda.current_stream()
    side.wait_stream(main)
    with torch.cuda.stream(side):
        graph.capture_begin(capture_error_mode="thread_local")
        try:
            work()
        finally:
            graph.capture_end()
    main.wait_stream(side)
    return graph
