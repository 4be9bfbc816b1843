"""Counts the work of one pass over prompts and their rows: text layers, head, vision tower, and the backward pass."""

from __future__ import annotations

from dataclasses import dataclass

from kairos.policy.memory.sizes import Sizes
from kairos.policy.speed.amounts import Amounts


@dataclass(frozen=True)
class Batch:
    """Prompts of equal length and rows of equal length behind them."""

    prompts: int
    rows: int
    prompt: float
    """Tokens of one prompt."""
    vision: float
    """Of which show the clip."""
    completion: float
    """Tokens of one row."""
    shared: bool
    """A prompt is computed once for its rows."""

    @property
    def tokens(self) -> float:
        return (self.prompts if self.shared else self.rows) * self.prompt + self.rows * self.completion

    @property
    def pairs(self) -> float:
        """Pairs of a token and one that it sees."""
        own = self.rows * self.completion * (self.prompt + self.completion / 2)
        return (self.prompts if self.shared else self.rows) * self.prompt**2 / 2 + own


def forward(sizes: Sizes, batch: Batch, fused_rule: bool) -> Amounts:
    """One forward pass that gives the log-probabilities of the rows."""
    rule = batch.tokens * (sizes.layers - sizes.attention_layers) * sizes.values
    return Amounts(
        products=2 * batch.tokens * matrices(sizes),
        attention=4 * batch.pairs * sizes.queries * sizes.attention_layers,
        head=2 * batch.rows * batch.completion * sizes.vocabulary * sizes.hidden,
        rule=0 if fused_rule else rule,
        fused_rule=rule if fused_rule else 0,
        passes=sizes.layers,
    )


def update(sizes: Sizes, batch: Batch, fused_rule: bool, recompute: str) -> Amounts:
    """Forward and backward pass of one micro-batch, and what is computed again.

    Backward, matrices count twice their forward pass, and attention 2.5 times (its scores are computed again).
    """
    once = forward(sizes, batch, fused_rule)
    again = {"none": 0.0, "selective": mlp_share(sizes), "full": 1.0}[recompute]
    whole = recompute == "full"
    return Amounts(
        products=(3 + again) * once.products,
        attention=(3.5 + whole) * once.attention,
        head=3 * once.head,
        rule=(3 + whole) * once.rule,
        fused_rule=(3 + whole) * once.fused_rule,
        passes=(3 + whole) * once.passes,
    )


def looking(sizes: Sizes, tokens: float) -> Amounts:
    """The vision tower's forward pass over the patches of `tokens` vision tokens."""
    return Amounts(tower=2 * tokens * sizes.patches * tower_matrices(sizes))


def looking_update(sizes: Sizes, tokens: float, recompute: str) -> Amounts:
    """Forward and backward pass of a trained vision tower."""
    share = vision_mlp(sizes) * sizes.vision_layers / max(1, tower_matrices(sizes))
    again = {"none": 0.0, "selective": share, "full": 1.0}[recompute]
    return looking(sizes, tokens) * (3 + again)


def matrices(sizes: Sizes) -> int:
    """Numbers in the matrices of all text layers."""
    attending = sizes.hidden * ((2 + sizes.gated) * sizes.queries + 2 * sizes.keys)
    recurrent = sizes.hidden * (2 * sizes.value_keys + 3 * sizes.values + 2 * sizes.value_heads)
    others = sizes.layers - sizes.attention_layers
    return sizes.attention_layers * attending + others * recurrent + sizes.layers * _mlp(sizes)


def mlp_share(sizes: Sizes) -> float:
    """The MLPs' share of the text layers' products."""
    return sizes.layers * _mlp(sizes) / max(1, matrices(sizes))


def tower_matrices(sizes: Sizes) -> int:
    """Numbers in the matrices of all blocks of the vision tower."""
    return sizes.vision_layers * (4 * sizes.vision_hidden**2 + vision_mlp(sizes))


def vision_mlp(sizes: Sizes) -> int:
    """Numbers in the MLP of one block of the vision tower."""
    return (3 if sizes.vision_gated else 2) * sizes.vision_hidden * sizes.vision_intermediate


def _mlp(sizes: Sizes) -> int:
    return 3 * sizes.hidden * sizes.intermediate
