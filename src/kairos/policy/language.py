"""A video language model as a policy whose actions are tokens."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from transformers import GenerationConfig, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from kairos.core.out_of_memory import explaining_out_of_memory
from kairos.core.protocols import FeatureStore
from kairos.core.types import ActionStats, Prompt, RolloutBatch, RolloutGroup, Sampling
from kairos.policy.family import Family
from kairos.policy.memory.context_limit import check_context_length
from kairos.policy.memory.recompute import CHOICES, Chooser, use
from kairos.policy.memory.savings import WAYS_OUT
from kairos.policy.memory.sizes import Sizes, of_model
from kairos.policy.models import adapter_state, freezing
from kairos.policy.models.architecture import Architecture
from kairos.policy.models.building import Adapter, choose_trained, draw_model, load_model
from kairos.policy.models.export import export
from kairos.policy.models.precision import compute_precision, lower_frozen
from kairos.policy.models.weights import SHIPPED
from kairos.policy.network.kernels.joint_linear import weights_cast_once
from kairos.policy.network.kernels.weight_gradients import accumulating
from kairos.policy.network.layouts import layout_of
from kairos.policy.network.text.compiled import compile_layers, uncompiled
from kairos.policy.network.towers import Towers, VideoFeatures
from kairos.policy.network.vision.feature_cache import FeatureCache
from kairos.policy.processor import LanguageProcessor
from kairos.policy.reference import FrozenLanguage, WithoutAdapter
from kairos.policy.sampling.draw import decoding_on, draw
from kairos.policy.sampling.rollouts import rollout_groups
from kairos.policy.scoring.scorer import CompletionScorer
from kairos.policy.scoring.shared_prefix import SharedPrefix
from kairos.video.budget import PixelBudget


class LanguagePolicy(nn.Module):
    """Samples and scores text about a clip.

    `weights` names a run, a checkpoint, a Hugging Face folder or id (`weights.locate`). Without it, or with
    `random_weights`, the model has the sizes of `config(tokenizer)` and weights drawn at `seed`, on torch's default
    device (under a trainer the GPU). With `weights`, `config` states their sizes before they are loaded. `freeze` names
    parts that are not trained (`freezing.PARTS`); with an `adapter` only its matrices are trained. `features` stores
    the features of a frozen vision tower. `recompute` is one of `recompute.CHOICES`. `compile` names a backend of
    torch.compile that scoring runs the text layers with.

    Trained parameters are fp32; frozen ones turn bf16 when the module moves to a GPU, where compute is bf16 under
    autocast. On a CPU everything is fp32.
    """

    def __init__(
        self,
        processor: LanguageProcessor | None,
        weights: str | None = None,
        config: Callable[[PreTrainedTokenizerBase], PreTrainedConfig] | None = None,
        scorer: CompletionScorer | None = None,
        freeze: Sequence[str] = (),
        recompute: str = "none",
        seed: int = 0,
        random_weights: bool = False,
        adapter: Adapter | None = None,
        features: FeatureStore | None = None,
        compile: str | None = None,
    ) -> None:
        super().__init__()
        if processor is None:
            raise ValueError(
                "a language policy needs policy.processor, which is null beside policy=toy and policy=frame_agent: a "
                "language teacher goes with a language policy, such as policy=mini"
            )
        if weights is None and config is None:
            raise ValueError("a language policy needs policy.weights, or policy.config to draw random ones")
        if random_weights and config is None:
            raise ValueError("policy.random_weights needs policy.config, which says the sizes of the model")
        freezing.check(freeze)
        if recompute not in CHOICES:
            raise ValueError(f"policy.recompute must be one of {', '.join(CHOICES)}, got {recompute!r}")
        if adapter is not None and (both := adapter.adapts & set(freeze)):
            raise ValueError(
                f"policy.freeze names {sorted(both)}, which the adapter trains: leave it out of one of them"
            )
        self.processor = processor
        self.weights = None if random_weights else weights
        self.config = config
        self.scorer: CompletionScorer = SharedPrefix() if scorer is None else scorer
        self.freeze = tuple(freeze)
        self.recompute = recompute
        self.compile_with = compile
        self.seed = seed
        self.adapter = adapter
        self.model: PreTrainedModel | None = None
        self._towers: Towers | None = None
        self.adapter_facts: Tensor | None = None
        self.feature_cache = FeatureCache(features, processor.family)
        self.chooser = Chooser()
        self._tower_is_frozen = False
        self._warm_steps: set[object] = set()
        adapter_state.save_only_trained(self)

    @property
    def family(self) -> Family:
        return self.processor.family

    @property
    def towers(self) -> Towers:
        """The parts of the model; RuntimeError before `build()`."""
        if self._towers is None:
            raise RuntimeError("the policy has no weights yet: call build() first")
        return self._towers

    @property
    def microbatch_unit(self) -> str:
        """What a micro-batch counts: "group" or "row"."""
        return self.scorer.unit

    @property
    def device(self) -> torch.device:
        return self.towers.device

    def build(self) -> None:
        """Load the weights or draw them; a second call does nothing."""
        if self._towers is not None:
            return
        towers = self._created(self.processor) if self.weights is None else load_model(self.family, self.weights)
        choose_trained(towers, self.freeze, self.adapter, self.seed)
        if self.adapter is not None:
            self.adapter_facts = adapter_state.facts(towers.model, self.adapter.scaling)
        self._tower_is_frozen = not any(p.requires_grad for p in towers.vision.parameters())
        if self.recompute != "auto":
            use(towers.model, self.recompute)
        if self.compile_with is not None:
            compile_layers(towers.text.layers, self.compile_with)
        self.model, self._towers = towers.model.train(self.training), towers

    def sizes(self) -> Sizes | None:
        """Sizes of the model that `build()` will make; None where no `Architecture` states them.

        The model is drawn on torch's meta device, with the shipped tokenizer in place of the policy's own: nothing is
        loaded. Parts are frozen and the adapter attached as `build()` does it.
        """
        if not isinstance(self.config, Architecture):
            return None
        with torch.device("meta"):
            towers = self._created(replace(self.processor, tokenizer=SHIPPED))
            choose_trained(towers, self.freeze, self.adapter, self.seed)
        return of_model(towers)

    def train_nothing(self) -> None:
        """Freeze every parameter and switch to eval mode."""
        self.requires_grad_(False).eval()
        self._tower_is_frozen = True

    def unload(self) -> None:
        """Drop the weights; `build()` loads or draws them again."""
        self.model = self._towers = None

    def train(self, mode: bool = True) -> LanguagePolicy:
        """Return at once where the mode is already set: walking thousands of modules would keep the GPU waiting."""
        if self.training == mode and (self.model is None or self.model.training == mode):
            return self
        super().train(mode)
        return self

    def encode(self, text: str) -> Tensor:
        """The tokens of `text` and the end token [A]. ValueError when `text` holds a banned token."""
        ids = [*self.processor.encode(text), self.processor.end]
        if banned := set(ids) & set(self.towers.banned):
            raise ValueError(f"the text {text!r} holds vision tokens {sorted(banned)}, which no completion may contain")
        return torch.tensor(ids, dtype=torch.long)

    def sample(self, prompts: Sequence[Prompt], group_size: int, sampling: Sampling, seed: int) -> list[RolloutGroup]:
        """`group_size` completions for each prompt, in eval mode, without gradients; see `sampling.draw`."""
        towers, prompts = self.towers, self._laid_out(prompts, sampling.max_actions)
        if training := towers.model.training:
            towers.model.eval()
        doing = f"sampling {group_size} rows for each of {len(prompts)} prompts of {_tokens(prompts)} tokens together"
        try:
            with (
                explaining_out_of_memory(doing, WAYS_OUT),
                torch.no_grad(),
                compute_precision(self.device),
                weights_cast_once(),
                uncompiled(self.compile_with is not None),
            ):
                seen, decoding = self._see(prompts), decoding_on(self.device, self._warm_steps)
                drawn = draw(towers, prompts, seen, group_size, sampling, seed, self.processor.end, decoding)
        finally:
            if training:
                towers.model.train()
        return rollout_groups(drawn, prompts, self.processor)

    def score(self, batch: RolloutBatch, entropy: bool = False) -> ActionStats:
        """fp32 log-probs [B, A] on the policy's device, 0 where no action counts. Banned tokens have probability 0."""
        batch = replace(batch, prompts=tuple(self._laid_out(batch.prompts, batch.actions_BA.shape[1])))
        towers = self.towers
        doing = f"scoring {len(batch)} rows of {len(batch.prompts)} prompts of {_tokens(batch.prompts)} tokens together"
        with explaining_out_of_memory(doing, WAYS_OUT), compute_precision(self.device):
            if self.recompute == "auto" and towers.model.training and torch.is_grad_enabled():
                shared, compiled = self.scorer.unit == "group", self.compile_with is not None
                self.chooser.for_batch(towers, batch, shared, compiled)
            return self.scorer(towers, batch, self._see(batch.prompts), entropy)

    def score_text(self, batch: RolloutBatch) -> ActionStats:
        """As `score`, for prompts whose layouts have no video tokens: the vision tower is left out."""
        width = self.towers.text.embed_tokens.weight.shape[1]
        with compute_precision(self.device):
            return self.scorer(self.towers, batch, VideoFeatures(torch.zeros(0, width, device=self.device)), False)

    @torch.no_grad()
    def look(self, prompts: Sequence[Prompt], max_actions: int) -> tuple[list[Prompt], VideoFeatures]:
        """The prompts with their layouts, and the features of their video tokens, for an engine that samples itself."""
        laid_out = self._laid_out(prompts, max_actions)
        with compute_precision(self.device), weights_cast_once():
            return laid_out, self._see(laid_out)

    def forward(self, batch: RolloutBatch, entropy: bool = False) -> ActionStats:
        return self.score(batch, entropy)

    def learning(self, alone: bool) -> AbstractContextManager[None]:
        """Inside this context, backward accumulates into `weight.grad` where possible (`weight_gradients`).

        `alone`: no other process waits for the gradients; otherwise the context does nothing."""
        return accumulating(alone)

    def reference(self) -> FrozenLanguage | WithoutAdapter:
        """The policy with its adapter off; without one, a frozen copy, which shares the parameters that are frozen."""
        if self.adapter is not None:
            return WithoutAdapter(self, self.adapter)
        frozen, model = copy.copy(self), self.towers.model
        shared = {id(parameter): parameter for parameter in model.parameters() if not parameter.requires_grad}
        copied = copy.deepcopy(model, shared).requires_grad_(False).eval()
        frozen._modules, frozen._towers = {"model": copied}, self.family.towers(copied)
        return FrozenLanguage(frozen)

    def save_pretrained(
        self, folder: str | Path, dtype: torch.dtype | None = None, frames: PixelBudget | None = None
    ) -> None:
        """Write a Hugging Face folder: config, safetensors (in `dtype` where given), tokenizer and processor.

        The processor gives frames the sizes of `frames`, by default those of qwen-vl-utils. `generate` answers as
        Kairos evaluates: greedily, without penalties, never with a banned token. An adapter is merged into the weights,
        unless `adapter.merge` is false, and saved in `adapter/` in peft's form.
        """
        files = self.processor.hub_processor(frames or PixelBudget()) or self.processor.loaded
        files.save_pretrained(str(folder))
        greedy = GenerationConfig(
            do_sample=False,
            eos_token_id=self.processor.end,
            pad_token_id=self.processor.loaded.pad_token_id,
            suppress_tokens=list(self.towers.banned),
        )
        export(self.towers.model, Path(folder), dtype, self.adapter, self.weights, greedy)

    def blocks(self) -> list[nn.Module]:
        """The layers of the towers, to be sharded: those of a frozen vision tower are kept whole."""
        seen = () if self._tower_is_frozen else cast("nn.ModuleList", self.towers.vision.blocks)
        return [*seen, *self.towers.text.layers]

    def kept_whole(self) -> list[nn.Parameter]:
        """The parameters of a frozen vision tower: which clips lack stored features is another number on every rank."""
        return list(self.towers.vision.parameters()) if self._tower_is_frozen else []

    def counted(self) -> dict[str, int]:
        """Counts since the last call: clips that passed the vision tower, hits and misses of the feature store."""
        return self.feature_cache.counted()

    def _created(self, processor: LanguageProcessor) -> Towers:
        assert self.config is not None
        config = self.config
        return draw_model(self.family, lambda: config(processor.loaded), self.seed)

    def _laid_out(self, prompts: Sequence[Prompt], answer: int) -> list[Prompt]:
        laid_out = [p if p.layout is not None else replace(p, layout=self.processor(p)) for p in prompts]
        check_context_length(self.towers, laid_out, answer)
        return laid_out

    def _see(self, prompts: Sequence[Prompt]) -> VideoFeatures:
        return self.feature_cache(self.towers, prompts, self._tower_is_frozen)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> LanguagePolicy:
        super()._apply(fn, recurse)
        lower_frozen(self.parameters())
        return self


def _tokens(prompts: Sequence[Prompt]) -> int:
    return sum(len(layout_of(prompt)) for prompt in prompts)
