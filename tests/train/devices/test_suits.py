"""Options of a GPU, on a machine without one, are answered with what to say before anything is decoded or loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.running import TINY, TOY

from kairos.compose import compose, part, train
from kairos.policy.network.attention.cudnn import Cudnn
from kairos.policy.network.attention.varlen import Varlen
from kairos.policy.network.kernels.dispatch import Machine
from kairos.train.devices.suits import NotHere, check_devices

MODEL = [*TINY, "data=mini", "template=answer", "trainer=cpu", "callbacks.progress=null", "prompts=2"]
without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")


@without_gpu
@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([*TOY, "trainer=gpu"], "trainer=gpu: torch sees no GPU here.*: say trainer=cpu"),
        ([*TOY, "trainer=gpu", "trainer.devices=2", "strategy=ddp"], "say trainer=cpu"),
        ([*TOY, "strategy=fsdp2"], "strategy=fsdp2 .* shards weights over GPUs.*: say strategy=single"),
        ([*TOY, "strategy=fsdp2", "trainer.devices=2"], "say strategy=single"),
        ([*TOY, "strategy=fsdp2_offload", "trainer.devices=2"], "say strategy=single"),
        ([*TOY, "strategy=hsdp", "trainer.devices=4"], "strategy=fsdp2 .and hsdp. shards .*: say strategy=single"),
        ([*TOY, "strategy=hsdp"], "hsdp: 1 device.s. do not make .*replicas=2 replicas .*: say trainer.devices=4"),
        ([*TOY, "strategy=hsdp", "trainer.devices=3"], "hsdp: 3 device.*say trainer.devices=4"),
        (
            [*TOY, "strategy=hsdp", "trainer.devices=8", "trainer.strategy.replicas=3"],
            "hsdp: 8 .*say trainer.devices=6",
        ),
        (
            [*TOY, "+trainer.precision=bf16-mixed"],
            "trainer.precision=bf16-mixed: on a CPU everything is fp32.*leave it",
        ),
        ([*MODEL, "enrich=clip", "+enrich.clip.device=cuda"], "enrich.clip.device=cuda: torch sees no GPU here"),
        ([*MODEL, "attn=varlen"], "attn: FlashAttention-2 runs on a GPU, and this run is on a CPU: say attn=automatic"),
        ([*MODEL, "attn=flash_attention_2"], "attn: FlashAttention-2 runs on a GPU"),
        ([*MODEL, "attn=flash_attention_3"], "attn: FlashAttention-3 runs on a GPU"),
        ([*MODEL, "attn=flash_attention_4"], "attn: FlashAttention-4 runs on a GPU"),
    ],
    ids=lambda value: " ".join(value[-2:]) if isinstance(value, list) else "",
)
def test_an_option_of_a_gpu_is_refused_where_there_is_none(given: list[str], words: str, workplace: Path):
    with pytest.raises(Exception, match=words):
        train([*given, "iterations=1", "name=a"])
    assert not (workplace / "runs" / "a" / "config.yaml").exists(), "the run has not begun"
    assert not (workplace / ".cache").exists(), "nothing was rendered or decoded"


@pytest.mark.parametrize(
    ("devices", "enough"),
    [(1, True), (2, True), (3, False), (-1, True), ("auto", True), ([1], True), ([0, 2], False), ("1,", True),
     ("2,", False), ("3", False), (compose(["trainer=gpu", "trainer.devices=[2]"]).trainer.devices, False)],
)  # fmt: skip
def test_devices_are_counted_as_lightning_reads_them(devices: object, enough: bool):
    if enough:
        check_devices("gpu", devices, "bf16-mixed", found=2)
        return
    with pytest.raises(NotHere, match=r"torch sees 2 GPUs here: say trainer.devices=2"):
        check_devices("gpu", devices, None, found=2)


def test_kernels_say_what_they_lack():
    cpu, bare = Machine("cpu"), Machine("cuda", (9, 0), has=lambda module: False)
    for attn in (Varlen("FA4"), Cudnn(flash=Varlen("FA4"))):
        assert "FlashAttention-4 runs on a GPU" in str(attn.lacking(cpu))
        assert "FlashAttention-4 is missing here, install flash-attn-4" in str(attn.lacking(bare))
    assert Varlen().lacking(bare) is None and Varlen("FA3").lacking(Machine("cuda", has=lambda module: True)) is None
    for option in ("automatic", "sdpa"):
        assert part(compose([f"attn={option}"]).attn).lacking(cpu) is None
