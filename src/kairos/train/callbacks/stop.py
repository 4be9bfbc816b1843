"""Ends a run at SIGTERM or SIGINT: after the running iteration, with its checkpoint, on all ranks."""

from __future__ import annotations

import signal
import sys

import lightning as L
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.connectors.signal_connector import _SignalConnector

from kairos.core.stop_signals import Deferred
from kairos.core.types import PromptBatch
from kairos.train.callbacks.checkpoint import SaveEvery
from kairos.train.callbacks.fitted import callbacks_of, module_of
from kairos.train.devices import ranks
from kairos.train.grpo import GRPOModule
from kairos.train.iteration import Turn


class StopAtSignal(Callback):
    """Delivers SIGTERM and SIGINT when their iteration is over and its checkpoint saved: exit codes 143 and 130.

    Ranks agree on the iteration, if only one of them gets the signal. Before the first iteration and after the last one
    the signal ends the run where it stands, for there is nothing to save: repeated, it evaluates again. A second signal
    ends the run at once.
    """

    turn = Turn.READ  # before the checkpoint, which is saved where the trainer stops

    def __init__(self) -> None:
        self.signals = Deferred()
        self._number = 0

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        trainer._signal_connector = _NoHandlers(trainer)
        self.signals = Deferred()
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
        if trainer.is_global_zero:
            module = module_of(pl_module)
            saved = any(isinstance(callback, SaveEvery) for callback in callbacks_of(trainer))
            how = "repeat the command to go on" if saved else "nothing is saved, because callbacks.checkpoint is null"
            name, done = signal.Signals(number).name, f"iteration {module.iteration} of {module.iterations}"
            print(f"{name}: the run ends after {done}; {how}", file=sys.stderr, flush=True)
        self.signals.deliver(number)

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self.signals.remove()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        self.signals.remove()


class _NoHandlers(_SignalConnector):
    """Lightning's handlers call a collective inside a handler, which waits for ever where ranks are at other places."""

    def register_signal_handlers(self) -> None:
        pass
