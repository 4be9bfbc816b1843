"""Ends a process in good order at SIGTERM and SIGINT, at once at a second signal, and within a bounded time."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Self, TypeAlias

Handler: TypeAlias = Callable[[int, FrameType | None], object] | int | None

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_ONE_PRESS = 0.5  # seconds within which signals are one: Ctrl-C reaches a process from the terminal and its parent


class Stopped(SystemExit):
    """A signal asked this process to end. Its exit code is 128 + the signal's number: 143 for SIGTERM, 130 for SIGINT.

    `number`: the signal's number.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number


class StopSignals:
    """Inside this context SIGTERM and SIGINT raise `Stopped` in the main thread.

    A second signal ends the process at once, and so do `seconds` after the first, whatever the main thread does: also
    inside a call that never returns, and whoever has taken over the handlers meanwhile (`Deferred`). A signal that the
    parent process has set to be ignored stays ignored. Processes that are forked meanwhile ignore SIGINT, which a
    terminal sends to all, and leave it to this one to end them. Outside the main thread nothing is changed.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._before: dict[signal.Signals, Handler] = {}
        self._noted: socket.socket | None = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            watched, self._noted = socket.socketpair()
            self._noted.setblocking(False)
            self._before_fd = signal.set_wakeup_fd(self._noted.fileno(), warn_on_full_buffer=False)
            self._before = taken_over(_raise)
            threading.Thread(target=self._watch, args=(watched,), name="stop-signals", daemon=True).start()
            os.register_at_fork(after_in_child=self._forked)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        """Restores what was there before; but the time within which a stopped process must end goes on."""
        if self._noted is None or isinstance(error, Stopped):
            return
        for number, before in self._before.items():
            signal.signal(number, before)
        signal.set_wakeup_fd(self._before_fd)
        self._noted.close()
        self._noted = None

    def _watch(self, watched: socket.socket) -> None:
        """Runs in a thread: Python writes the number of every signal that has a handler to the other end."""
        first = _next(watched)
        if first is None:
            return
        noted, why = time.monotonic(), f"and {self.seconds:.0f} s later not ended"
        while (left := noted + self.seconds - time.monotonic()) > 0:
            watched.settimeout(left)
            try:
                if _next(watched) is None:
                    return
            except TimeoutError:
                break
            if time.monotonic() - noted > _ONE_PRESS:
                why = "and a second signal"
                break
        print(f"{signal.Signals(first).name}, {why}: ended at once", file=sys.stderr, flush=True)
        os._exit(128 + first)

    def _forked(self) -> None:
        if self._noted is not None:
            signal.set_wakeup_fd(-1)
            for number in self._before:
                signal.signal(number, signal.SIG_IGN if number == signal.SIGINT else signal.SIG_DFL)
            self._noted = None


class Deferred:
    """Takes over the handlers of SIGTERM and SIGINT: while `on`, the first signal is noted and delivered later.

    Otherwise, and from the second signal on, whoever handled them before gets them at once. Nothing is taken over
    outside the main thread. `told`, if given, is called inside the handler when the first signal is noted.
    """

    def __init__(self, told: Callable[[int], None] | None = None) -> None:
        self.told = told
        self.on = False
        self.received: int | None = None
        """The number of the first signal while it was on."""
        self._before: dict[signal.Signals, Handler] = {}

    def install(self) -> None:
        if not self._before and threading.current_thread() is threading.main_thread():
            self._before = taken_over(self._note)

    def remove(self) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        self._before = {}

    def deliver(self, number: int) -> None:
        """Hand the signal to whoever handled it before; returns only if that does."""
        handler = self._before.get(signal.Signals(number), signal.SIG_DFL)
        self.remove()
        if callable(handler):
            handler(number, None)  # raising the signal would count as a second one
        elif handler == signal.SIG_DFL:
            signal.raise_signal(number)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.on and self.received is None:
            self.received = number
            if self.told is not None:
                self.told(number)
        else:
            self.deliver(number)


def taken_over(handler: Callable[[int, FrameType | None], None]) -> dict[signal.Signals, Handler]:
    """Let `handler` handle SIGTERM and SIGINT, unless the parent has them ignored; returns the handlers before."""
    taken = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    return {number: signal.signal(number, handler) for number in taken}


def _raise(number: int, frame: FrameType | None) -> None:
    """Raise `Stopped`, a moment later where Python would swallow it: an exception in a finalizer ends nothing."""
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            again = threading.Timer(_ONE_PRESS / 10, os.kill, (os.getpid(), number))
            again.daemon = True
            again.start()
            return
        frame = frame.f_back
    raise Stopped(number)


def _next(watched: socket.socket) -> int | None:
    """The number of the next signal; None when the other end is closed."""
    while byte := watched.recv(1):
        if byte[0] in _SIGNALS:
            return byte[0]
    return None
