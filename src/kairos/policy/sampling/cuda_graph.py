"""Work that is the same every time, captured once in a CUDA graph and replayed."""

from __future__ import annotations

from collections.abc import Callable

import torch


class Replayed:
    """`work()` must read and write only tensors that stay where they are, and never wait for the device.

    Unless it is `warm`, the first call runs it as it is (kernels load, libraries set up); the next captures it, and
    replays it as all from then on do.
    """

    def __init__(self, work: Callable[[], None], warm: bool = False) -> None:
        self.work = work
        self.warm = warm  # it has run before, with other tensors
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
    """While the device still works on what it was given before.

    Not through `torch.cuda.graph`, which waits for it, gives the allocator's free memory back each time, and fails when
    another thread (a loader that pins memory) allocates meanwhile.
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
