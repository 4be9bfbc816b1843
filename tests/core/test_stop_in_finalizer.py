"""A signal that arrives while an object is finalized, where Python swallows exceptions, still stops the process."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import signal, time
from kairos.core.stop_signals import StopSignals

class Finalized:
    def __del__(self):
        signal.raise_signal(signal.SIGTERM)
        print("finalized", flush=True)

with StopSignals(60):
    Finalized()
    for _ in range(100):
        time.sleep(0.1)
    print("went on", flush=True)
"""


def test_a_signal_during_a_finalizer_stops_the_process_a_moment_later() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (143, "finalized\n", "")
