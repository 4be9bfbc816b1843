"""Callbacks see a finished iteration in turn: what any of them measures is logged and read, whatever their order."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.running import TOY, curve
from lightning.pytorch.callbacks import Callback

from kairos.compose import Experiment, build
from kairos.core.types import PromptBatch
from kairos.train.grpo import GRPOModule
from kairos.train.iteration import Turn, after_iteration


class Prompts(Callback):
    """A user's metric, through the hook for it: 4 prompts, then one less an iteration."""

    def after_iteration(self, module: GRPOModule, batch: PromptBatch) -> None:
        module.metrics["mine/prompts"] = float(len(batch) - module.iteration)


class Lightnings(Callback):
    """A user's metric, through Lightning's own hook."""

    def on_train_batch_end(self, trainer: object, pl_module: object, *rest: object) -> None:
        assert isinstance(pl_module, GRPOModule)
        pl_module.metrics["mine/lightning"] = 7.0


def trained(*overrides: str, last: Callback) -> Experiment:
    """A run whose last callback, behind the log and the checkpoint, is `last`."""
    built = build([*TOY, "name=a", "iterations=3", "callbacks.validation.every=0", *overrides])
    callbacks = getattr(built.trainer, "callbacks")  # noqa: B009 - Lightning declares it nowhere
    callbacks.append(last)
    built.trainer.fit(built.module, built.datamodule)
    return built


def test_a_metric_of_a_callback_behind_the_log_is_logged():
    run = trained(last=Prompts())
    assert curve(run.folder, "mine/prompts") == [3.0, 2.0, 1.0]


def test_a_metric_added_in_lightnings_own_hook_is_logged():
    assert curve(trained(last=Lightnings()).folder, "mine/lightning") == [7.0] * 3


def test_a_run_stops_early_by_a_metric_of_a_later_callback_and_its_last_iteration_is_saved():
    stop = "+callbacks.stop={_target_: kairos.train.callbacks.early_stop.EarlyStop, monitor: mine/prompts, patience: 1}"
    run = trained(stop, last=Prompts())
    assert run.module.iteration == 2
    assert [path.name for path in (run.folder / "checkpoints").glob("*.ckpt")] == ["iteration-000002.ckpt"]


def test_the_best_checkpoint_is_the_best_by_a_metric_of_a_later_callback():
    run = trained("callbacks.checkpoint.keep=best", "+callbacks.checkpoint.monitor=mine/prompts", last=Prompts())
    saved = torch.load(run.folder / "checkpoints" / "best.ckpt", weights_only=True)
    assert saved["iteration"] == 1


@pytest.mark.parametrize("places", [[0, 1, 2], [2, 1, 0], [1, 2, 0]])
def test_turns_go_before_the_order_of_the_list_and_within_one_the_list_decides(places: list[int]):
    called: list[str] = []

    class Named:
        def __init__(self, name: str) -> None:
            self.name = name

        def after_iteration(self, module: object, batch: PromptBatch) -> None:
            called.append(self.name)

    class Reading(Named):
        turn = Turn.READ

    class Closing(Named):
        turn = Turn.LAST

    some = [Named("measures"), Reading("reads"), Closing("closes")]
    listed = [some[place] for place in places]
    after_iteration(
        [*listed, Path(), *[type(one)(f"{one.name} too") for one in listed]], None, PromptBatch((), torch.zeros(0))
    )
    assert called == [name for one in some for name in (one.name, f"{one.name} too")]
