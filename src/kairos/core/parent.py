"""Ends a process when the process that started it ends, however that ends (Linux)."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def end_with_parent(number: signal.Signals) -> None:
    """Have the kernel send this process the signal `number` when its parent ends; nothing on other systems than Linux.

    The parent is the thread that started this process: it must live as long as the parent itself.
    """
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(number))


def end_with_launcher() -> None:
    """Have this process end with its launcher, if it is a rank: under torchrun in good order, else at once.

    torchrun may be killed while its ranks can still save what they have; a rank that the main process started is of no
    use without it.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        end_with_parent(signal.SIGTERM)
    elif "LOCAL_RANK" in os.environ:
        end_with_parent(signal.SIGKILL)
