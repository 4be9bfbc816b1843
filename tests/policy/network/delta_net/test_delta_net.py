"""Gated delta nets whose states are forked at the end of a prompt, against transformers' layer on whole sequences."""

from __future__ import annotations

import copy
import logging
import weakref
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten
from transformers import Qwen3_5TextConfig

from kairos.policy.network.attention.gathered_sdpa import Gathered
from kairos.policy.network.delta_net.backends import FlashLinear, Tokens, Torch, automatic, chosen_on
from kairos.policy.network.delta_net.decode import one_token
from kairos.policy.network.delta_net.rule import over_sequences, working_bytes
from kairos.policy.network.delta_net.step import DeltaState, DeltaStep
from kairos.policy.network.kernels.dispatch import Machine
from kairos.policy.network.segments import Segments, starts
from kairos.policy.network.text.delta_layer import GatedDeltaNet
from kairos.policy.scoring.shared_prefix import Scoring

Rule = Callable[..., tuple[Tensor, Tensor]]
HEADS, KEY_HEADS, KEYS, VALUES = 4, 2, 16, 8


def token_by_token(
    q: Tensor, k: Tensor, v: Tensor, decay: Tensor, beta: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """The definition."""
    q, k = (x / (x.square().sum(-1, keepdim=True) + 1e-6).sqrt() for x in (q, k))
    q, k = (x.repeat_interleave(v.shape[2] // x.shape[2], dim=2) for x in (q, k))
    outputs = []
    for t in range(q.shape[1]):
        state = state * decay[:, t, :, None, None].exp()
        missing = v[:, t] - torch.einsum("shk,shkv->shv", k[:, t], state)
        state = state + torch.einsum("shk,shv->shkv", k[:, t], missing * beta[:, t, :, None])
        outputs.append(torch.einsum("shk,shkv->shv", q[:, t], state) * q.shape[-1] ** -0.5)
    return torch.stack(outputs, 1), state


def drawn(sequences: int, length: int) -> list[Tensor]:
    """Random inputs whose decay in one token ranges from almost none to almost all."""
    shapes = [(KEY_HEADS, KEYS), (KEY_HEADS, KEYS), (HEADS, VALUES), (HEADS,), (HEADS,)]
    q, k, v, decay, beta = (torch.randn(sequences, length, *shape) for shape in shapes)
    return [q, k, v, -(2 * decay).exp(), beta.sigmoid(), torch.randn(sequences, HEADS, KEYS, VALUES)]


@pytest.mark.parametrize("length", [1, 3, 63, 64, 65, 150])
def test_chunks_are_the_rule_token_by_token_in_values_and_gradients(length: int) -> None:
    inputs = drawn(2, length)
    weights = torch.randn(2, length, HEADS, VALUES)

    def run(rule: Rule, dtype: torch.dtype) -> list[Tensor]:
        given = [x.to(dtype, copy=True).requires_grad_() for x in inputs]
        output, state = rule(*given)
        ((output * weights.to(dtype)).sum() + state.square().sum()).backward()
        return [output.detach(), state.detach(), *(x.grad for x in given)]

    for ours, exact in zip(run(over_sequences, torch.float32), run(token_by_token, torch.float64), strict=True):
        assert (ours - exact).norm() <= 2e-6 * exact.norm()


def test_padding_leaves_sequences_and_their_states_alone() -> None:
    lengths = (70, 1, 130, 3, 64, 69)
    alone = [drawn(1, length) for length in lengths]
    tokens = Tokens(*(torch.cat([x[part][0] for x in alone]) for part in range(5)))
    output, states = Torch().scan(tokens, lengths, torch.cat([x[5] for x in alone]))
    for number, (start, inputs) in enumerate(zip(starts(lengths), alone, strict=False)):
        expected, state = token_by_token(*inputs)
        torch.testing.assert_close(output[start : start + lengths[number]], expected[0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(states[number], state[0], atol=1e-5, rtol=1e-5)


def test_one_token_more_is_a_sequence_one_longer() -> None:
    *tokens, state = drawn(3, 66)
    expected, end = over_sequences(*tokens, state)
    _, before = over_sequences(*(x[:, :65] for x in tokens), state)
    output = one_token(*(x[:, 65] for x in tokens), before)
    torch.testing.assert_close(output, expected[:, 65], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(before, end, atol=1e-5, rtol=1e-5)


@pytest.fixture
def layer() -> GatedDeltaNet:
    """Its states decay slowly, so that the prompt still affects a completion's last token."""
    config = Qwen3_5TextConfig(
        hidden_size=24, num_hidden_layers=1, layer_types=["linear_attention"], linear_key_head_dim=KEYS,
        linear_value_head_dim=VALUES, linear_num_key_heads=KEY_HEADS, linear_num_value_heads=HEADS,
    )  # fmt: skip
    net = GatedDeltaNet(config, 0)
    with torch.no_grad():
        net.A_log.copy_(torch.linspace(-6, -2, HEADS))
    return net


SEGMENTS = [
    Segments((130, 2, 64, 1, 9), (70, 1, 2, 3, 0, 5, 4, 1, 2, 3, 6), (0, 0, 0, 1, 1, 1, 2, 3, 3, 3, 4)),
    Segments((5, 3), (0, 0), (0, 1)),
    Segments((67,)),
]


def packed(layer: GatedDeltaNet, hidden_ND: Tensor, segments: Segments) -> Tensor:
    plan = Gathered().plan(segments, torch.device("cpu"))
    return layer(hidden_ND[None], context=Scoring(segments, plan))[0]


def repeated(layer: GatedDeltaNet, hidden_ND: Tensor, segments: Segments) -> Tensor:
    """Every prompt, and every prompt with each of its rows, through transformers' own forward."""
    prompts = hidden_ND[: segments.base].split(segments.prompts)
    rows = hidden_ND[segments.base :].split(segments.rows)
    outputs = [layer(prompt[None])[0] for prompt in prompts]
    for group, row in zip(segments.group, rows, strict=True):
        outputs.append(layer(torch.cat([prompts[group], row])[None])[0, len(prompts[group]) :])
    return torch.cat(outputs)


def test_projections_of_the_same_input_are_one_product(layer: GatedDeltaNet) -> None:
    """Under autocast; with a hook on one of them they are four, and the same but for what bf16 rounds."""
    segments, hidden = SEGMENTS[0], torch.randn(len(SEGMENTS[0]), 24)
    found, products = [], []
    for apart in (False, True):
        if apart:
            layer.in_proj_z.register_forward_hook(lambda module, given, output: None)
        layer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16), Products() as counted:
            output = packed(layer, hidden, segments)
        output.float().square().sum().backward()
        products.append(counted.products)
        found.append([output.detach().float(), *(p.grad.clone() for p in layer.parameters())])
    assert products[1] == products[0] + 3
    for ours, theirs in zip(*found, strict=True):
        assert (ours - theirs).norm() <= 0.02 * theirs.norm()


class Products(TorchDispatchMode):
    """Counts products of tokens with matrices."""

    products = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.products += str(function) in ("aten.mm.default", "aten.addmm.default")
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("segments", SEGMENTS, ids=["ragged", "no row goes on", "one prompt"])
def test_a_shared_prompt_is_a_repeated_one_in_values_and_gradients(layer: GatedDeltaNet, segments: Segments) -> None:
    """Prompts and rows shorter than the convolution, longer than a chunk, and of no whole number of chunks."""
    hidden, weights = torch.randn(len(segments), 24), torch.randn(len(segments), 24)
    weights[: segments.base] *= 0.1

    def run(forward: Callable[[GatedDeltaNet, Tensor, Segments], Tensor]) -> list[Tensor]:
        layer.zero_grad()
        given = hidden.clone().requires_grad_()
        output = forward(layer, given, segments)
        (output * weights).sum().backward()
        return [output.detach(), given.grad, *(p.grad.clone() for p in layer.parameters())]

    for ours, theirs in zip(run(packed), run(repeated), strict=True):
        assert (ours - theirs).norm() <= 1e-5 * theirs.norm() and theirs.norm() > 0


def test_the_gradient_into_a_prompt_comes_from_every_row(layer: GatedDeltaNet) -> None:
    segments = SEGMENTS[0]
    hidden = torch.randn(len(segments), 24)
    begins = starts(segments.rows, segments.base)

    def into_prompts(row: int) -> Tensor:
        given = hidden.clone().requires_grad_()
        packed(layer, given, segments)[begins[row] : begins[row + 1]].sum().backward()
        return given.grad[:130]

    first, second = into_prompts(0), into_prompts(1)
    assert first[0].abs().max() > 0 and second[0].abs().max() > 0, "from the prompt's first token on"
    given = hidden.clone().requires_grad_()
    packed(layer, given, segments)[begins[0] : begins[2]].sum().backward()
    torch.testing.assert_close(given.grad[:130], first + second, atol=1e-5, rtol=1e-4)


class Remembering:
    """The contexts of sampling: prompts first, then a token a row."""

    def __init__(self, lengths: tuple[int, ...], count: int) -> None:
        self.lengths, self.count, self.states = lengths, count, dict[int, DeltaState]()

    def recur(self, layer: int, step: DeltaStep) -> Tensor:
        if layer in self.states:
            return step.decode(self.states[layer])
        output, ends = step.prompts(self.lengths)
        self.states[layer] = ends.fork(self.count)
        return output


@torch.no_grad()
def test_prefill_and_single_tokens_are_the_whole_sequence(layer: GatedDeltaNet) -> None:
    lengths, count, new = (2, 70, 1), 2, 6
    prompts = [torch.randn(length, 24) for length in lengths]
    rows = torch.randn(len(lengths) * count, new, 24)
    context = Remembering(lengths, count)
    outputs = layer(torch.cat(prompts)[None], context=context)[0].split(lengths)
    steps = torch.stack([layer(rows[None, :, t], context=context)[0] for t in range(new)], dim=1)
    for row in range(len(rows)):
        prompt = prompts[row // count]
        expected = layer(torch.cat([prompt, rows[row]])[None])[0]
        torch.testing.assert_close(outputs[row // count], expected[: len(prompt)], atol=1e-6, rtol=1e-4)
        torch.testing.assert_close(steps[row], expected[len(prompt) :], atol=1e-6, rtol=1e-4)


def test_what_was_remembered_without_gradients_serves_with_them(layer: GatedDeltaNet) -> None:
    """Evaluation runs in inference mode, and training may then ask for the index tensors of the same lengths."""
    segments = Segments((7, 11), (3, 5), (0, 1))
    with torch.inference_mode():
        packed(layer, torch.randn(len(segments), 24), segments)
    packed(layer, torch.randn(len(segments), 24), segments).sum().backward()
    assert layer.A_log.grad is not None


def test_a_copy_of_a_layer_keeps_its_kernels(layer: GatedDeltaNet) -> None:
    layer.kernels = Torch()
    assert copy.deepcopy(layer).kernels == Torch()


def test_kernels_that_are_not_installed_are_refused_and_a_cpu_has_its_own() -> None:
    assert automatic(torch.device("cpu")) == Torch()
    assert chosen_on(Machine("cuda", (9, 0), has=lambda module: False)) == Torch()
    with pytest.raises(ValueError, match=r'pip install -e "\.\[fla\]"'):
        FlashLinear(has=lambda module: False)
    assert chosen_on(Machine("cuda", (9, 0), has=lambda module: module == "fla")) == FlashLinear(
        has=lambda module: True
    )


@pytest.mark.parametrize(
    ("capability", "triton", "others", "learns"),
    [
        ((9, 0), "3.6.0", (), False), ((9, 0), "3.7.1", (), True), ((9, 0), "3.3.1", (), True),
        ((8, 0), "3.6.0", (), True), ((9, 0), "3.6.0", ("tilelang",), True),
    ],
)  # fmt: skip
def test_where_the_package_gives_no_gradients_torch_computes_and_says_so(
    caplog: pytest.LogCaptureFixture, capability: tuple[int, int], triton: str, others: tuple[str, ...], learns: bool
) -> None:
    there = ("fla", "triton", *others)
    machine = Machine("cuda", capability, has=lambda module: module in there, version=lambda package: triton)
    chosen = [chosen_on(machine) for _ in range(2)]
    assert chosen == 2 * [FlashLinear(has=lambda module: True) if learns else Torch()]
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(said) == (not learns) and all("triton>=3.7.1" in text for text in said)


class Alive(TorchDispatchMode):
    """Counts the bytes of all live storages, and their peak."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.most, self.known = 0, 0, set[int]()

    def __torch_dispatch__(
        self, function: Callable[..., object], types: object, inputs: tuple[object, ...] = (),
        options: dict[str, object] | None = None,
    ) -> object:  # fmt: skip
        outputs = function(*inputs, **(options or {}))
        for tensor in tree_flatten(outputs)[0]:
            if isinstance(tensor, Tensor) and (storage := tensor.untyped_storage())._cdata not in self.known:
                self._count(storage._cdata, storage.nbytes())
                weakref.finalize(storage, self._count, storage._cdata, -storage.nbytes())
        return outputs

    def _count(self, place: int, size: int) -> None:
        (self.known.add if size > 0 else self.known.discard)(place)
        self.now += size
        self.most = max(self.most, self.now)


@pytest.mark.parametrize(("heads", "width"), [(8, 32), (8, 64), (16, 128)])
def test_what_the_rule_holds_is_what_the_plan_counts(heads: int, width: int) -> None:
    tokens = 512
    q, k = (torch.randn(1, tokens, heads // 2, width, requires_grad=True) for _ in range(2))
    v = torch.randn(1, tokens, heads, width, requires_grad=True)
    decay, beta = (torch.rand(1, tokens, heads, requires_grad=True) for _ in range(2))
    with Alive() as alive:
        over_sequences(q, k, v, -decay, beta, None)[0].sum().backward()
    counted = 1.25 * alive.most / tokens
    assert 0.85 * counted <= working_bytes(heads * width, heads) <= 1.25 * counted
