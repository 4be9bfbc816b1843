"""Silences messages of Lightning that do not apply to our runs."""

from __future__ import annotations

import logging
import re
import warnings

_REMARKS = re.compile(
    r"GPU available|TPU available|HPU available|💡 Tip|Tip: For seamless cloud logging"
    r"|`Trainer\.fit` stopped: `max_epochs=1` reached"  # one Lightning epoch is a whole run
)
_WARNINGS = (
    r".*isinstance\(treespec, LeafSpec\).*is deprecated",
    r"You're resuming from a checkpoint that ended before the epoch ended and your dataloader is not resumable",
    r"You have overridden `transfer_batch_to_device` in `LightningModule`",
)
_LOGGERS = ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.rank_zero")


class _Filter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return not _REMARKS.match(record.getMessage())


_FILTER = _Filter()


def quieten() -> None:
    """Silence these messages in this process; safe to call twice."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_FILTER)
    for message in _WARNINGS:
        warnings.filterwarnings("ignore", message=message)
