"""A video language model as a policy: its actions are tokens."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from kairos.core.types import ActionStats, Prompt, Rollout, RolloutBatch, RolloutGroup, Sampling
from kairos.policy.families.base import Family, Seen
from kairos.policy.processor import LanguageProcessor
from kairos.policy.sampling import draw
from kairos.policy.scoring.shared_prefix import SharedPrefix
from kairos.policy.weights import locate


class CompletionScorer(Protocol):
    """`SharedPrefix` or `Repeated`; `unit` says what a micro-batch counts."""

    @property
    def unit(self) -> str: ...

    def __call__(
        self, model: PreTrainedModel, family: Family, batch: RolloutBatch, seen: Seen, entropy: bool
    ) -> ActionStats: ...


class LanguagePolicy(nn.Module):
    """Scores and samples text about a clip.

    `weights` is what `weights.locate` knows: a run, a checkpoint, a Hugging Face folder or id; without it, or with
    `random_weights`, the model is created from `config(tokenizer)`, drawn with `seed`, on torch's default device (the
    GPU's under a trainer). Beside weights, `config` says their sizes before they are loaded. `freeze` names parts that
    are not trained: "vision", "text". Trained parameters are fp32; frozen ones turn bf16 when the module moves to a
    GPU, where compute is bf16 under autocast. On a CPU everything is fp32.
    """

    def __init__(
        self,
        processor: LanguageProcessor,
        weights: str | None = None,
        config: Callable[[PreTrainedTokenizerBase], PreTrainedConfig] | None = None,
        scorer: CompletionScorer | None = None,
        freeze: Sequence[str] = (),
        gradient_checkpointing: bool = False,
        seed: int = 0,
        random_weights: bool = False,
    ) -> None:
        super().__init__()
        if weights is None and config is None:
            raise ValueError("a language policy needs policy.weights, or policy.config to draw random ones")
        if random_weights and config is None:
            raise ValueError("policy.random_weights needs policy.config, which says the sizes of the model")
        if unknown := set(freeze) - {"vision", "text"}:
            raise ValueError(f"policy.freeze may name 'vision' and 'text', got {sorted(unknown)}")
        self.processor = processor
        self.weights = None if random_weights else weights
        self.config = config
        self.scorer: CompletionScorer = SharedPrefix() if scorer is None else scorer
        self.freeze = tuple(freeze)
        self.gradient_checkpointing = gradient_checkpointing
        self.seed = seed
        self.model: PreTrainedModel | None = None

    @property
    def family(self) -> Family:
        return self.processor.family

    @property
    def microbatch_unit(self) -> str:
        return self.scorer.unit

    @property
    def device(self) -> torch.device:
        return next(self._built().parameters()).device

    def build(self) -> None:
        """Load or create the weights; a second call does nothing."""
        if self.model is not None:
            return
        if self.weights is not None:
            found = locate(self.weights)
            model = self.family.load(found.base)
            if (state := found.state()) is not None:
                model.load_state_dict({name.removeprefix("model."): value for name, value in state.items()})
        else:
            assert self.config is not None
            with torch.random.fork_rng():
                torch.manual_seed(self.seed)
                model = self.family.create(self.config(self.processor.loaded))
        parts = {"vision": self.family.vision(model), "text": cast("nn.Module", self.family.text(model))}
        for name in self.freeze:
            parts[name].requires_grad_(False)
        if self.gradient_checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        self.model = model.train()

    def encode(self, text: str) -> Tensor:
        """The tokens [A] that write `text`, end token included. ValueError when the text holds a banned token."""
        ids = [*self.processor.encode(text), self.processor.end]
        if banned := set(ids) & set(self.family.banned(self._built())):
            raise ValueError(f"the text {text!r} holds vision tokens {sorted(banned)}, which no completion may contain")
        return torch.tensor(ids, dtype=torch.long)

    def sample(self, prompts: Sequence[Prompt], group_size: int, sampling: Sampling, seed: int) -> list[RolloutGroup]:
        """`group_size` completions for each prompt, in eval mode, without gradients; see `sampling.draw`."""
        model, prompts = self._built(), self._laid_out(prompts)
        training = model.training
        model.eval()
        try:
            with self._precision():
                drawn = draw(
                    model, self.family, prompts, self._see(prompts), group_size, sampling, seed, self.processor.end
                )
        finally:
            model.train(training)
        rollouts = []
        for row, length in enumerate(drawn.length_B.tolist()):
            actions_A = drawn.actions_BA[row, :length].clone()
            rollouts.append(
                Rollout(
                    text=self.processor.decode([token for token in actions_A.tolist() if token != self.processor.end]),
                    actions_A=actions_A,
                    behavior_logprobs_A=drawn.logprobs_BA[row, :length].clone(),
                    truncated=bool(drawn.truncated_B[row]),
                )
            )
        return [
            RolloutGroup(prompt, tuple(rollouts[p * group_size : (p + 1) * group_size]))
            for p, prompt in enumerate(prompts)
        ]

    def score(self, batch: RolloutBatch, entropy: bool = False) -> ActionStats:
        """fp32 log-probs [B, A] on the policy's device, 0 where no action counts; vision tokens have no probability."""
        batch = replace(batch, prompts=tuple(self._laid_out(batch.prompts)))
        with self._precision():
            return self.scorer(self._built(), self.family, batch, self._see(batch.prompts), entropy)

    def forward(self, batch: RolloutBatch, entropy: bool = False) -> ActionStats:
        return self.score(batch, entropy)

    def reference(self) -> FrozenLanguage:
        """A frozen copy of the weights as they are now."""
        frozen = copy.copy(self)
        frozen._modules = {"model": copy.deepcopy(self._built()).requires_grad_(False).eval()}
        return FrozenLanguage(frozen)

    def save_pretrained(self, folder: str | Path, dtype: torch.dtype | None = None) -> None:
        """A Hugging Face folder: config, safetensors (in `dtype` where given) and tokenizer."""
        model = self._built()
        cast_once: dict[int, Tensor] = {}  # tied weights stay one tensor, and are stored once
        state = {
            name: cast_once.setdefault(tensor.data_ptr(), tensor if dtype is None else tensor.to(dtype))
            for name, tensor in model.state_dict().items()
        }
        model.save_pretrained(str(folder), state_dict=state)
        self.processor.loaded.save_pretrained(str(folder))

    def _built(self) -> PreTrainedModel:
        if self.model is None:
            raise RuntimeError("the policy has no weights yet: call build() first")
        return self.model

    def _laid_out(self, prompts: Sequence[Prompt]) -> list[Prompt]:
        return [p if p.layout is not None else replace(p, layout=self.processor(p)) for p in prompts]

    def _see(self, prompts: Sequence[Prompt]) -> Seen:
        return self.family.see(self._built(), prompts)

    def _precision(self) -> AbstractContextManager[object]:
        on_gpu = self.device.type == "cuda"
        return torch.autocast("cuda", dtype=torch.bfloat16) if on_gpu else nullcontext()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> LanguagePolicy:
        """Moving to a GPU turns frozen parameters bf16."""
        super()._apply(fn, recurse)
        for parameter in self.parameters():
            if parameter.is_cuda and not parameter.requires_grad and parameter.dtype == torch.float32:
                parameter.data = parameter.data.to(torch.bfloat16)
        return self


class FrozenLanguage(nn.Module):
    """A language policy that only scores, without gradients."""

    def __init__(self, policy: LanguagePolicy) -> None:
        super().__init__()
        self.policy = policy

    @torch.no_grad()
    def forward(self, batch: RolloutBatch, entropy: bool = False) -> ActionStats:
        return self.policy.score(batch, entropy)

    def train(self, mode: bool = True) -> FrozenLanguage:
        """It stays in eval mode."""
        del mode
        return super().train(False)
