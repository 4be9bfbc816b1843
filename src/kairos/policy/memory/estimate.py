"""How much memory a training step needs on one device, estimated from shapes before anything is loaded.

Bytes per token follow what autograd keeps of our own layers under bf16 autocast with an fp32 residual stream; tests
count the saved tensors of small models, in plain torch and on a GPU, and compare.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kairos.policy.delta_net.rule import inside_bytes
from kairos.policy.memory.sizes import Sizes
from kairos.policy.text.logprobs import CHUNK_ELEMENTS

GIB = 2**30
MARGIN = 0.15
"""Of what comes and goes with the tokens: fragments, workspaces, and what the formula does not know."""
CONTEXT = 1.5 * GIB
"""CUDA's own context and the libraries' workspaces."""

Phase = Literal["always", "roll out", "learn"]


@dataclass(frozen=True)
class Load:
    """One device's work. Tokens are per prompt; `rows` and `prompts` are what one micro-batch holds.

    `at_once` prompts are sampled together. `shards` is the number of devices that weights, gradients and moments are
    divided over (fsdp2), 1 otherwise. `recompute` is none, selective or full. `moments` are Adam's bytes per trained
    parameter on the device. `fused` says whether the layers' elementwise work is (not where torch compiles them),
    `accumulating` whether gradients are added where they are computed (not where other processes wait for them).
    """

    text_tokens: int
    vision_tokens: int
    completion: int
    group: int
    at_once: int
    prompts: int
    rows: int
    shared: bool = True
    recompute: str = "none"
    reference: bool = False
    moments: int = 8
    shards: int = 1
    gpu: bool = True
    fused: bool = True
    accumulating: bool = True

    @property
    def prompt(self) -> int:
        return self.text_tokens + self.vision_tokens

    @property
    def tokens(self) -> int:
        """Tokens of one micro-batch; a shared prompt counts once."""
        return (self.prompts if self.shared else self.rows) * self.prompt + self.rows * self.completion


@dataclass(frozen=True)
class Pass:
    """What goes through the layers at once, and how: in bf16 and through `fused` kernels on a GPU; gradients are added
    where they are computed, `accumulating`, or written first."""

    tokens: int
    patches: int
    recompute: str
    gpu: bool
    fused: bool
    sharded: bool
    accumulating: bool


@dataclass(frozen=True)
class Part:
    """One line of the table: bytes, and when they are held. `exact` is what follows from parameters alone."""

    name: str
    size: float
    phase: Phase = "always"
    exact: bool = True


@dataclass(frozen=True)
class Estimate:
    """The parts of a step's memory on one device."""

    parts: tuple[Part, ...]
    margin: float

    def held(self, phase: Phase, exact: bool | None = None) -> float:
        return sum(p.size for p in self.parts if p.phase == phase and exact in (None, p.exact))

    @property
    def passing(self) -> float:
        """Bytes that the larger of the two phases adds to what is always held."""
        return max(self.held("roll out"), self.held("learn"))

    @property
    def need(self) -> float:
        return self.held("always") + self.passing + self.margin


def estimate(sizes: Sizes, load: Load) -> Estimate:
    """Upper bounds: every completion at its limit, every clip at its budget."""
    low = 2 if load.gpu else 4
    parts = [
        Part("trained weights, fp32", 4 * sizes.trained / load.shards),
        Part("frozen weights", (low if load.shards == 1 else 4) * sizes.frozen / load.shards),
        Part("gradients, fp32", 4 * sizes.trained / load.shards),
        Part("optimiser's moments, fp32", load.moments * sizes.trained / load.shards),
    ]
    if load.reference and not sizes.adapter:
        parts.append(Part("reference model", low * sizes.parameters))
    parts += _rollout(sizes, load) + _learn(sizes, load)
    kept = [part for part in parts if part.size > 0]
    whole = Estimate(tuple(kept), 0.0)
    guessed = max(whole.held("roll out", exact=False), whole.held("learn", exact=False))
    margin = MARGIN * guessed + (CONTEXT if load.gpu else 0.0)
    return Estimate(tuple(kept), margin)


def _rollout(sizes: Sizes, load: Load) -> list[Part]:
    low = 2 if load.gpu else 4
    rows = load.at_once * load.group
    cached = load.at_once * load.prompt + rows * load.completion
    width = sizes.hidden * 12 + sizes.intermediate * 3 * low + (sizes.queries + sizes.keys) * 2 * low
    states = 4 * rows * sizes.state
    looked = sizes.vision_hidden * 6 + sizes.vision_intermediate * 2
    return [
        Part("roll-out: weights to compute with", _computing(sizes, load, learning=False), "roll out"),
        Part("roll-out: keys and values", cached * sizes.key_value_bytes * low / 2 + states, "roll out", False),
        Part("roll-out: prompts read at once", load.at_once * load.prompt * width, "roll out", False),
        Part("roll-out: vision tower", _patches(sizes, load.at_once, load) * looked * low, "roll out", False),
        Part("roll-out: scores of the next token", rows * sizes.vocabulary * 28, "roll out", False),
    ]


def text_activations(sizes: Sizes, given: Pass) -> float:
    """Bytes that the text layers keep for the backward pass, with one layer whole while it is computed again."""
    attending, recurrent = _layer_bytes(sizes, given), _recurrent_bytes(sizes, given) if sizes.values else 0.0
    layers = sizes.attending * attending + (sizes.layers - sizes.attending) * recurrent
    kept = {
        "none": layers,
        "selective": layers - (sizes.layers - 1) * _inside_bytes(sizes, given),
        "full": 4 * sizes.hidden * sizes.layers + max(attending, recurrent),
    }
    return given.tokens * kept[given.recompute]


def vision_activations(sizes: Sizes, given: Pass) -> float:
    """The same of a vision tower that is trained; 0 of a frozen one."""
    block = _vision_layer_bytes(sizes, given)
    kept = {
        "none": block * sizes.vision_layers,
        "selective": block * sizes.vision_layers - (sizes.vision_layers - 1) * _vision_inside_bytes(sizes, given),
        "full": (2 if given.gpu else 4) * sizes.vision_hidden * sizes.vision_layers + block,
    }
    return given.patches * kept[given.recompute] if sizes.vision_trained else 0.0


def layer_gradient(sizes: Sizes, given: Pass) -> float:
    """Of one text layer, fp32, where it is written beside those that it is added to: from the second micro-batch on.

    Compiled layers leave theirs to autograd.
    """
    inner = sizes.hidden * (2 * sizes.queries + 2 * sizes.keys + 3 * sizes.intermediate)
    return 4 * inner if _joint(sizes, given) and not (given.accumulating and given.fused) else 0.0


def _learn(sizes: Sizes, load: Load) -> list[Part]:
    low, patches = 2 if load.gpu else 4, _patches(sizes, load.prompts, load)
    given = Pass(
        load.tokens, patches, load.recompute, load.gpu, load.gpu and load.fused, load.shards > 1,
        load.accumulating and load.gpu and load.shards == 1,
    )  # fmt: skip
    looking = 0 if sizes.vision_trained else (sizes.vision_hidden * 6 + sizes.vision_intermediate * 2) * low
    chosen = load.rows * load.completion
    logits = 2 if load.gpu else 4 * 4  # of which `token_logprobs` keeps one tensor, plain torch four
    scored = min(chosen * sizes.vocabulary, CHUNK_ELEMENTS) * logits + chosen * sizes.hidden * 4
    if not (sizes.adapter or given.accumulating):  # the head's gradient beside that it is added to
        scored += 4 * sizes.vocabulary * sizes.hidden
    inside = load.tokens * 4 * low * sizes.intermediate  # of gate, up and their product, and the product once more
    features = load.prompts * load.vision_tokens * sizes.hidden * sizes.levels * 4
    return [
        Part("learning: weights to compute with", _computing(sizes, load, learning=True), "learn"),
        Part("learning: activations of the text layers", text_activations(sizes, given), "learn", False),
        Part("learning: one delta rule computed again", load.tokens * _inside_rule(sizes), "learn", False),
        Part(
            "learning: vision tower and its features",
            vision_activations(sizes, given) + patches * looking + features,
            "learn",
            False,
        ),
        Part("learning: a layer's gradient, to be added", layer_gradient(sizes, given), "learn", False),
        Part("learning: log-probabilities, or an MLP's gradients", max(scored, inside), "learn", False),
    ]


def _computing(sizes: Sizes, load: Load, learning: bool) -> float:
    """bf16 copies that autocast makes of trained weights; or what fsdp2 gathers, and its gradients.

    A roll-out gathers all, learning a block at a time (with the next and the gradients of the last), embedding and head
    throughout.
    """
    low = 2 if load.gpu else 4
    if load.shards == 1:
        return 2 * sizes.trained if load.gpu else 0
    if not learning:
        return low * sizes.parameters
    filled = 0  # a trained tower's MLPs of an uneven width keep their filled-up weights until the backward pass
    if sizes.vision_trained and sizes.vision_gated and sizes.vision_intermediate % 8:
        filled = 3 * low * sizes.vision_layers * sizes.vision_hidden * sizes.vision_intermediate
    return 4 * low * sizes.vocabulary * sizes.hidden + 6 * low * sizes.trained / sizes.layers + filled


def _patches(sizes: Sizes, prompts: int, load: Load) -> int:
    return prompts * load.vision_tokens * sizes.patches


def _layer_bytes(sizes: Sizes, given: Pass) -> float:
    """What one text layer keeps of a token for the backward pass.

    Fused in bf16: of each norm the fp32 stream and what it gives; queries, keys, values and the output as attention
    reads and writes them. Norms of queries and keys hold what they were made of, all that was projected at once; a
    gate its sigmoid and its product.
    """
    inside = _inside_bytes(sizes, given)
    if given.fused:
        projected = 2 * ((1 + sizes.gated) * sizes.queries + 2 * sizes.keys) if sizes.normed else 0
        return 12 * sizes.hidden + inside + (4 + 4 * sizes.gated) * sizes.queries + 4 * sizes.keys + projected
    if given.gpu:
        return 14 * sizes.hidden + inside + 26 * sizes.queries + 14 * sizes.keys
    return 16 * sizes.hidden + inside + 43 * sizes.queries + 15 * sizes.keys


def _inside_bytes(sizes: Sizes, given: Pass) -> float:
    """The part of it that lies inside the MLP."""
    return _gated_bytes(sizes, given) * sizes.intermediate


def _joint(sizes: Sizes, given: Pass) -> bool:
    """Whether gated MLPs are one operator."""
    return given.gpu and not given.sharded and not sizes.adapter


def _gated_bytes(sizes: Sizes, given: Pass) -> int:
    """Of what gate and up give; where the layers are not `joint_mlp`, also of the product and, not fused, of
    silu(gate)."""
    times = 2 if _joint(sizes, given) else 3 if given.fused else 4
    return times * (2 if given.gpu else 4)


def _recurrent_bytes(sizes: Sizes, given: Pass) -> float:
    """The same of a layer with a gated delta net: what is projected, convolved, read from the state, and normed."""
    inside = _inside_bytes(sizes, given)
    if given.fused:
        return 12 * sizes.hidden + 8 * sizes.value_keys + 10 * sizes.values + 18 * sizes.value_heads + inside
    if given.gpu:
        return 20 * sizes.hidden + 18 * sizes.values + 11 * sizes.value_heads + inside
    return 24 * sizes.hidden + 36 * sizes.values + 13 * sizes.value_heads + inside


def _inside_rule(sizes: Sizes) -> int:
    """Of a token, in plain torch; flash-linear-attention needs less."""
    return inside_bytes(sizes.values, sizes.value_heads)


def _vision_layer_bytes(sizes: Sizes, given: Pass) -> float:
    """What one block of a trained tower keeps of a patch."""
    return 22 * sizes.vision_hidden * (1 if given.gpu else 2) + _vision_inside_bytes(sizes, given)


def _vision_inside_bytes(sizes: Sizes, given: Pass) -> float:
    """The part of it that lies inside the MLP."""
    bytes = _gated_bytes(sizes, given) if sizes.vision_gated else 4 * (1 if given.gpu else 2)
    return bytes * sizes.vision_intermediate
