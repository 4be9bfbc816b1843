"""A decode step's attention agrees with plain torch: on a GPU where there is one, else as Triton interprets it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from helpers.interpreting import interpret, needs_kernels
from torch import Tensor

from kairos.policy.network.attention import decode as module
from kairos.policy.network.attention.decode import PromptKV, RowKV, decode_attention, decode_attention_plain
from kairos.policy.network.kernels.dispatch import uses_triton
from kairos.policy.sampling.contexts import SamplingCache
from kairos.policy.sampling.prompt_cache import PackedPrompts, PaddedPrompts
from kairos.policy.sampling.row_cache import PackedRows, PaddedRows

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
KIND = torch.bfloat16 if torch.cuda.is_available() else torch.float32
FINE = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1e-2}


def test_the_kernels_as_triton_interprets_them() -> None:
    interpret(__file__)


@pytest.fixture(autouse=True)
def unwritten_memory_is_not_a_number() -> Iterator[None]:
    """Unwritten memory is NaN: deterministic algorithms fill it."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)


def drawn(*shape: int, kind: torch.dtype = KIND, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE, kind)


def agree(
    lengths: tuple[int, ...], group: int, heads: tuple[int, int, int], used: list[int], room: int,
    kind: torch.dtype = KIND,
) -> None:  # fmt: skip
    """Rows have used the tokens that `used` lists, in turn; the rest of their cache is NaN."""
    (many, few, width), rows = heads, len(lengths) * group
    cuts = torch.tensor([0, *lengths]).cumsum(0).to(DEVICE, torch.int32)
    prompt_kv = PromptKV(
        *(drawn(sum(lengths), few, width, kind=kind, seed=seed) for seed in (1, 2)), cuts, max(lengths)
    )
    used_B = torch.tensor(used, dtype=torch.int32).repeat(-(-rows // len(used)))[:rows].to(DEVICE)
    own = RowKV(*(drawn(rows, room, few, width, kind=kind, seed=seed) for seed in (3, 4)), used_B)
    for row, last in enumerate(used_B.tolist()):
        own.keys_BCHD[row, last:] = own.values_BCHD[row, last:] = torch.nan
    q = drawn(rows, many, width, kind=kind)
    assert uses_triton(q)
    ours, theirs = (attend(q, prompt_kv, own, width**-0.5) for attend in (decode_attention, decode_attention_plain))
    assert ours.dtype == theirs.dtype == kind and ours.shape == theirs.shape
    difference = ((ours.float() - theirs.float()).norm() / theirs.float().norm()).item()
    assert difference <= FINE[kind], difference


@needs_kernels
@pytest.mark.parametrize(
    "heads", [(7, 1, 64), (8, 1, 64), (2, 2, 80), (14, 2, 80), (8, 1, 128), (16, 2, 256), (4, 2, 8)]
)
@pytest.mark.parametrize("group", [1, 8])
def test_rows_see_their_prompt_and_themselves(group: int, heads: tuple[int, int, int]) -> None:
    agree((1, 70), group, heads, [70, 1, 5], 70)


@needs_kernels
@pytest.mark.parametrize("processors", [1, 2, 5])
def test_a_part_of_a_prompt_may_take_several_blocks(processors: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_processors", lambda device: processors)
    agree((400, 64, 3, 129), 2, (4, 2, 64), [9, 12], 12)


@needs_kernels
@pytest.mark.parametrize("used", [1, 255, 256, 257, 600])
def test_own_tokens_lie_in_parts_of_which_some_are_empty(used: int) -> None:
    agree((20,), 3, (4, 2, 16), [used], 600)


@needs_kernels
def test_more_queries_than_a_tile_holds() -> None:
    agree((70, 9), 9, (8, 1, 32), [3], 4)


@needs_kernels
def test_more_parts_than_are_joined_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MERGED", 64)
    agree((700, 5), 1, (4, 4, 16), [300, 2], 300)


@needs_kernels
def test_in_half_precision() -> None:
    """The interpreter multiplies no bf16."""
    agree((90, 40), 4, (8, 2, 128), [7, 30], 40, torch.float16)


class JointRows(PackedRows):
    """Fails where rows attend to their own tokens in a separate call."""

    def append_and_attend(self, *given: object) -> tuple[Tensor, Tensor]:
        raise AssertionError("rows and prompts are looked at in one call")


@needs_kernels
def test_steps_of_packed_caches_are_those_of_padded_ones() -> None:
    """The rows' cache grows on the way; no flash kernel is called."""
    lengths, group, (many, few, width), steps = (7, 3), 2, (4, 2, 16), 6
    rows, results = len(lengths) * group, []
    for device, prompts, own in ((DEVICE, PackedPrompts, JointRows), (torch.device("cpu"), PaddedPrompts, PaddedRows)):
        memory = SamplingCache(prompts(lengths, group, device), own(rows, 4, device), lengths, group)
        qkv = [drawn(sum(lengths), heads, width, seed=heads).to(device) for heads in (many, few, few)]
        seen = [memory.prefill.attend(0, *qkv, 0.3)]
        for step in range(steps):
            if step == 4:
                memory.rows.grow(8)
            asked, key, value = (drawn(rows, h, width, seed=9 * step + n) for n, h in enumerate((many, few, few)))
            seen.append(memory.decode.attend(0, asked.to(device), key.to(device), value.to(device), 0.3))
            memory.rows.advance()
        results.append(torch.cat([x.float().cpu() for x in seen]))
    assert ((results[0] - results[1]).norm() / results[1].norm()).item() <= FINE[KIND]
