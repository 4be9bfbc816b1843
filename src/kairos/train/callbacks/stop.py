"""Ends a run at SIGTERM or SIGINT: after the running iteration, with its checkpoint, on all ranks."""

from __future__ import annotations

import os
import signal
import sys

import lightning as L
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.connectors.signal_connector import _SignalConnector

from kairos.core.stop_signals import Deferred, Stopped
from kairos.core.types import PromptBatch
from kairos.runs.typed import repeat_to
from kairos.train.callbacks.checkpoint import SaveEvery
from kairos.train.callbacks.fitted import callbacks_of, module_of
from kairos.train.devices import ranks
from kairos.train.grpo import GRPOModule
from kairos.train.iteration import Turn


class StopAtSignal(Callback):
    """Delivers SIGTERM and SIGINT when their iteration is over and its checkpoint saved: exit codes 143 and 130.

    Ranks agree on the iteration, if only one of them gets the signal. Before the first iteration and after the last one
    the signal ends the run where it stands, for there is nothing to save: repeated, it evaluates again. A second signal
    ends the run at once. What continues the run is said on stderr: the command as it was typed.
    """

    turn = Turn.READ  # before the checkpoint, which is saved where the trainer stops

    def __init__(self) -> None:
        self.signals = Deferred()
        self._number = 0
        self._said = False

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        trainer._signal_connector = _NoHandlers(trainer)
        self.signals = Deferred(_told if trainer.is_global_zero else None)
        self.signals.install()

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: PromptBatch, batch_idx: int
    ) -> None:
        self.signals.on = True

    def after_iteration(self, module: GRPOModule, batch: PromptBatch) -> None:
        self._number = max(ranks.gather([self.signals.received or 0]))
        if self._number:
            module.trainer.should_stop = True

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The loop is over: all iterations are done, or the trainer was told to stop."""
        self.signals.on = False
        number = self._number or self.signals.received
        if not number:
            return
        self._say(trainer, pl_module, number)
        self.signals.deliver(number)

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self.signals.remove()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        self.signals.remove()
        if isinstance(exception, Stopped):
            self._say(trainer, pl_module, exception.number)

    def _say(self, trainer: L.Trainer, pl_module: L.LightningModule, number: int) -> None:
        """Once: where the run ends, and what goes on with it."""
        if self._said or not trainer.is_global_zero:
            return
        self._said = True
        module = module_of(pl_module)
        saved = any(isinstance(callback, SaveEvery) for callback in callbacks_of(trainer))
        done = f"after iteration {module.iteration} of {module.iterations}"
        if module.iteration == 0:
            done, how = "before its first iteration", "begin"
        elif not saved:
            print(f"{_name(number)}: the run ends {done}; {_UNSAVED}", file=sys.stderr, flush=True)
            return
        else:
            how = "go on"
        print(f"{_name(number)}: the run ends {done}; {repeat_to(f'to {how}')}", file=sys.stderr, flush=True)


_UNSAVED = "nothing is saved, because callbacks.checkpoint is null"


def _name(number: int) -> str:
    return signal.Signals(number).name


def _told(number: int) -> None:
    """Runs inside the signal's handler: print may have been interrupted, so the line is written by itself."""
    line = f"\n{_name(number)}: the run ends after this iteration, with a checkpoint; at once, if it comes again\n"
    os.write(2, line.encode())


class _NoHandlers(_SignalConnector):
    """Lightning's handlers call a collective inside a handler, which waits for ever where ranks are at other places."""

    def register_signal_handlers(self) -> None:
        pass
