"""Our forward passes of layers: joint products and padded widths change nothing; without a context a layer computes
as transformers does."""

from __future__ import annotations

import pytest
import torch
from helpers.casting import cast_to_bf16
from helpers.tiny_language import FAMILIES, Tiny, batch, policy
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers.models.qwen2.configuration_qwen2 import Qwen2Config
from transformers.models.qwen2.modeling_qwen2 import Qwen2MLP

from kairos.core.types import Sampling
from kairos.policy.language import LanguagePolicy
from kairos.policy.models.fusing import fuse_layers
from kairos.policy.network.attention.automatic import Automatic
from kairos.policy.network.segments import Segments
from kairos.policy.network.text.layers import GatedMLP, PackedAttention, PackedLayer
from kairos.policy.scoring.shared_prefix import Scoring


def test_an_mlp_filled_up_with_zeros_is_the_same_in_values_and_gradients() -> None:
    torch.manual_seed(0)
    whole = nn.ModuleList([Qwen2MLP(Qwen2Config(hidden_size=16, intermediate_size=21, hidden_act="silu"))])
    theirs, x = Qwen2MLP.forward, torch.randn(5, 16, requires_grad=True)
    fuse_layers(whole)
    mlp = whole[0]
    assert isinstance(mlp, GatedMLP) and isinstance(mlp, Qwen2MLP)
    found = []
    for forward in (lambda x: mlp.joint(x, 3), lambda x: mlp.joint(x, 0), mlp, lambda x: theirs(mlp, x)):
        out = forward(x)
        found.append([out, *torch.autograd.grad(out.square().sum(), [x, *mlp.parameters()])])
    for filled, joint, ours, original in zip(*found, strict=True):
        torch.testing.assert_close(filled, original)
        torch.testing.assert_close(joint, original)
        torch.testing.assert_close(ours, original)


def test_an_mlp_computed_again_drops_the_same_numbers() -> None:
    torch.manual_seed(0)
    whole = nn.ModuleList([Qwen2MLP(Qwen2Config(hidden_size=16, intermediate_size=32, hidden_act="silu"))])
    fuse_layers(whole)
    adapted = LoraConfig(r=4, lora_dropout=0.5, target_modules=["gate_proj", "down_proj"], init_lora_weights=False)
    inject_adapter_in_model(adapted, whole)
    mlp, x = whole[0], torch.randn(5, 16, requires_grad=True)
    assert isinstance(mlp, GatedMLP)
    learnt, found = [p for p in mlp.parameters() if p.requires_grad], []
    for mlp.recompute in (False, True):
        torch.manual_seed(1)
        found.append(torch.autograd.grad(mlp(x).square().sum(), [x, *learnt]))
    for kept, again in zip(*found, strict=True):
        torch.testing.assert_close(again, kept)


def test_an_mlp_with_another_activation_is_left_alone() -> None:
    whole = nn.ModuleList([Qwen2MLP(Qwen2Config(hidden_size=8, intermediate_size=8, hidden_act="gelu"))])
    fuse_layers(whole)
    assert type(whole[0]) is Qwen2MLP


def test_without_a_context_an_attention_is_transformers_own(folder: str) -> None:
    attention = policy(folder).model.model.language_model.layers[0].self_attn
    assert isinstance(attention, PackedAttention)
    theirs = type(attention).__mro__[2]
    x = torch.randn(1, 4, attention.config.hidden_size)
    angles = torch.randn(1, 4, attention.head_dim)
    given = {"hidden_states": x, "position_embeddings": (angles.cos(), angles.sin()), "attention_mask": None}
    torch.testing.assert_close(attention(**given)[0], theirs.forward(attention, **given)[0])


@pytest.mark.parametrize("tiny", FAMILIES.values(), ids=FAMILIES)
def test_a_layer_is_transformers_own_to_the_last_bit(folder: str, tiny: Tiny) -> None:
    """Values and gradients, without a context and, on a CPU, with one."""
    language = tiny.policy(folder)
    text = language.towers.text
    segments, width = Segments((5, 3), (2, 1), (0, 1)), text.embed_tokens.embedding_dim
    context = Scoring(segments, Automatic().plan(segments, torch.device("cpu")))
    x = torch.randn(1, len(segments), width, generator=torch.Generator().manual_seed(0)).requires_grad_()
    angles = text.rotary_emb(x, torch.arange(len(segments)).expand(3, 1, -1))
    for layer in text.layers:
        assert isinstance(layer, PackedLayer)
        theirs = type(layer).__mro__[2]
        for given in ({"context": context}, {}):
            found = []
            for forward in (layer, lambda x, theirs=theirs, layer=layer, **given: theirs.forward(layer, x, **given)):
                out = forward(x, position_embeddings=angles, attention_mask=None, **given)
                found.append([out, *torch.autograd.grad(out.square().sum(), [x, *layer.parameters()])])
            assert all(torch.equal(ours, original) for ours, original in zip(*found, strict=True))


class Products(TorchDispatchMode):
    """Counts matrix products, and the numbers of each weight that are cast to bf16."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.products = 0
        self.cast = {parameter.data_ptr(): 0 for parameter in model.parameters()}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        self.products += function in (torch.ops.aten.mm.default, torch.ops.aten.addmm.default)
        for source in cast_to_bf16(function, args, out):
            if source.data_ptr() in self.cast:
                self.cast[source.data_ptr()] += source.numel()
        return out


def text_linears(language: LanguagePolicy) -> list[nn.Linear]:
    layers = language.towers.text.layers
    names = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    return [module for layer in layers for name, module in layer.named_modules() if name.endswith(names)]


@pytest.mark.parametrize("tiny", FAMILIES.values(), ids=FAMILIES)
def test_joint_products_give_what_separate_ones_give(folder: str, tiny: Tiny) -> None:
    """A hook on a layer, which then has to be called, makes them separate."""
    language = tiny.policy(folder)
    rollouts = batch(tiny.prompts(), [2, 0, 1, 0], [5, 1, 9, 3], len(language.processor.loaded))
    found: list[tuple[Tensor, dict[str, Tensor], int]] = []
    for separate in (False, True):
        hooks = [part.register_forward_hook(lambda *_: None) for part in text_linears(language) if separate]
        language.zero_grad()
        with Products(language) as counted, torch.autocast("cpu", torch.bfloat16):
            logprobs = language(rollouts).logprobs_BA
        (logprobs * rollouts.mask_BA).sum().backward()
        gradients = {name: p.grad.clone() for name, p in language.named_parameters() if p.grad is not None}
        found.append((logprobs.detach(), gradients, counted.products))
        for hook in hooks:
            hook.remove()
    (ours, our_gradients, fewer), (theirs, their_gradients, more) = found
    attentions = sum(hasattr(layer, "self_attn") for layer in language.towers.text.layers)
    layers = len(language.towers.text.layers)
    assert fewer <= more - 2 * attentions - layers
    torch.testing.assert_close(ours, theirs, atol=0.1, rtol=0)
    assert our_gradients.keys() == their_gradients.keys()
    whole = torch.stack([gradient.norm() for gradient in their_gradients.values()]).norm()
    for name, gradient in their_gradients.items():
        assert our_gradients[name].dtype == torch.float32
        assert (our_gradients[name] - gradient).norm() <= 0.05 * gradient.norm() + 1e-3 * whole, name


def test_sampling_casts_a_weight_once_and_the_next_time_anew(folder: str) -> None:
    language = policy(folder)
    asked = FAMILIES["qwen3_vl"].prompts()[:1]
    weights = [part.weight for part in text_linears(language)]
    for _ in range(2):
        with torch.autocast("cpu", torch.bfloat16), Products(language) as counted:
            groups = language.sample(asked, 2, Sampling(max_actions=6, temperature=1.0), seed=0)
        assert max(len(rollout.actions_A) for rollout in groups[0].rollouts) > 2
        assert [counted.cast[weight.data_ptr()] for weight in weights] == [weight.numel() for weight in weights]
        with torch.no_grad():
            for weight in weights:
                weight.mul_(0.5)
