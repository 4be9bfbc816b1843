"""What `strategy=single` and `strategy=ddp` do when a run ends, and on which device they train."""

from __future__ import annotations

import gc
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import lightning as L
import pytest
import torch
import torch.distributed as dist
from helpers.running import TOY
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins import Precision, TorchCheckpointIO
from lightning.pytorch.plugins.environments import LightningEnvironment
from torch import nn

from kairos.compose import Experiment, build, train

RUN = [*TOY, "iterations=2", "callbacks.validation=null", "callbacks.export=null", "callbacks.checkpoint.every=1"]
OURS = pytest.mark.parametrize("strategy", ["single", "ddp"])


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No process group, and no word of one in the environment, for the tests that follow."""
    environment = dict(os.environ)
    yield
    if dist.is_initialized():
        dist.destroy_process_group()
    os.environ.clear()
    os.environ.update(environment)


class Moves(nn.Module):
    """Counts how often that is moved or cast of which it is a part."""

    count = 0

    def _apply(self, *arguments: object, **options: object) -> Moves:
        self.count += 1
        return super()._apply(*arguments, **options)  # type: ignore[arg-type]


class End(Callback):
    """Watches module and optimiser from the end of training on, and which of Lightning's last hooks follow."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.later = error, []  # type: ignore[var-annotated]
        self.module, self.moments = Moves(), Moves()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        pl_module.end = self.module
        next(iter(trainer.optimizers[0].state.values()))["end"] = self.moments
        if self.error:
            raise self.error

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.later.append("on_fit_end")

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self.later.append("teardown")


def moved(built: Experiment, end: End) -> tuple[int, int]:
    """Fit; how often the module, and the optimiser's state, were moved after training had ended."""
    built.trainer.callbacks.append(end)  # type: ignore[attr-defined]
    with pytest.raises(type(end.error)) if end.error else nullcontext():
        built.trainer.fit(built.module, built.datamodule)
    return end.module.count, end.moments.count


@OURS
def test_nothing_is_moved_when_a_run_ends_and_the_hooks_behind_it_are_called(strategy: str):
    end = End()
    built = build([*RUN, f"strategy={strategy}"])
    assert moved(built, end) == (0, 0)
    assert end.later == ["on_fit_end", "teardown"]
    assert built.trainer.lightning_module is built.module
    assert built.trainer.strategy.model is built.module, "DDP's wrapper is taken off"


@pytest.mark.parametrize("strategy", ["auto", "ddp"])
def test_lightnings_own_strategies_move_both_or_ours_are_needless(strategy: str):
    assert moved(build([*RUN, f"trainer.strategy={strategy}"]), End()) == (1, 1)


def test_a_failed_run_on_one_device_goes_to_the_host_for_the_error_keeps_it_alive():
    built = build([*RUN, "strategy=single"])
    assert moved(built, End(RuntimeError("broken"))) == (1, 1)
    assert not built.trainer.strategy.failed, "the next run of this trainer is another"


@OURS
def test_the_rest_of_lightnings_teardown_is_done(strategy: str, monkeypatch: pytest.MonkeyPatch):
    done = []
    for part in (CPUAccelerator, Precision, TorchCheckpointIO, LightningEnvironment):
        monkeypatch.setattr(part, "teardown", lambda self, part=part: done.append(part))
    built = build([*RUN, f"strategy={strategy}"])
    built.trainer.fit(built.module, built.datamodule)
    group = [LightningEnvironment] if strategy == "ddp" else []
    assert done == [*group, Precision, CPUAccelerator, TorchCheckpointIO]


@OURS
def test_a_checkpoint_after_the_run_equals_that_of_its_last_iteration(strategy: str, workplace: Path):
    built = build([*RUN, f"strategy={strategy}"])
    built.trainer.fit(built.module, built.datamodule)
    built.trainer.save_checkpoint(workplace / "after.ckpt")
    after = torch.load(workplace / "after.ckpt", weights_only=True)
    last = torch.load(built.folder / "checkpoints" / "iteration-000002.ckpt", weights_only=True)
    assert last["optimizer_states"][0]["state"]
    for part in ("state_dict", "optimizer_states"):
        torch.testing.assert_close(after[part], last[part], atol=0, rtol=0)


@pytest.mark.parametrize(
    ("place", "device"),
    [
        (["trainer=cpu"], "cpu"),
        (["trainer=gpu"], "cuda:0"),
        (["trainer=gpu", "trainer.devices=[2]"], "cuda:2"),
        (["trainer=gpu", "trainer.devices='3,'"], "cuda:3"),
    ],
)
def test_the_root_device_is_that_which_lightning_chooses(
    place: list[str], device: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    for strategy in ("trainer.strategy=auto", "strategy=single"):
        trainer = build([*RUN, *place, strategy]).trainer
        assert trainer.strategy.root_device == torch.device(device)
        assert trainer.num_devices == trainer.world_size == 1


@pytest.mark.parametrize("several", ["trainer.devices=2", "trainer.num_nodes=2"])
def test_several_devices_are_refused(several: str):
    with pytest.raises(Exception, match=r"strategy=single trains on one device, got .* say strategy=ddp"):
        build([*RUN, "strategy=single", several])


class Witness(Callback):
    """Knows the modules that were trained, without keeping them."""

    seen: list[weakref.ref[L.LightningModule]] = []  # noqa: RUF012 - of the class: the run makes its own instance

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.seen.append(weakref.ref(pl_module))


@OURS
def test_no_module_outlives_its_run(strategy: str):
    Witness.seen.clear()
    gc.disable()  # the run has to collect what it leaves
    try:
        train([*RUN, f"strategy={strategy}", "+callbacks.witness={_target_: test_strategies.Witness}"])
        assert [module() for module in Witness.seen] == [None]
    finally:
        gc.enable()


@OURS
def test_a_policy_is_told_whether_another_process_waits_for_its_gradients(strategy: str):
    built = build([*RUN, "name=a", f"strategy={strategy}", "updates.microbatch=1"])
    told = []

    @contextmanager
    def learning(alone: bool) -> Iterator[None]:
        told.append(alone)
        yield

    built.module.policy.learning = learning  # type: ignore[assignment]
    built.trainer.fit(built.module, built.datamodule)
    assert told and set(told) == {strategy == "single"}
