"""Counts what one device does in an iteration, phase by phase: roll-out, annotation, learning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kairos.policy.memory.sizes import Sizes
from kairos.policy.memory.workload import Workload
from kairos.policy.speed.amounts import Amounts
from kairos.policy.speed.passes import Batch, forward, looking, looking_update, update


@dataclass(frozen=True)
class Iteration:
    """One iteration of one device. Prompts and answers are as long as `load` says."""

    sizes: Sizes
    load: Workload
    sampled: int
    """Prompts that are sampled from."""
    learned: int
    """Prompts that are learned from."""
    references: Sequence[Sizes] = ()
    """Sizes of the frozen models that score every row."""
    epochs: int = 1
    """Passes over a roll-out."""
    minibatches: int = 1
    """Optimiser steps of one pass."""
    features_kept: bool = False
    """A frozen tower's features are stored, so that no clip passes it twice."""
    known: float = 0.0
    """Share of the clips whose features were stored by earlier iterations."""
    devices: int = 1
    """Devices that share the run."""
    fused_rule: bool = False
    """flash-linear-attention computes delta nets."""
    vllm: bool = False
    """vLLM samples."""

    @property
    def phases(self) -> dict[str, Amounts]:
        """What each phase does, in the order of an iteration."""
        return {"roll-out": self._roll_out(), "references": self._annotate(), "learning": self._learn()}

    def _roll_out(self) -> Amounts:
        sizes, load, rows = self.sizes, self.load, self.sampled * self.load.group
        text = 2.0 * (sizes.parameters - sizes.vision)  # bytes, in bf16
        seen = looking(sizes, (1 - self.known) * self.sampled * load.vision_tokens)
        if self.vllm:
            return seen + Amounts(
                vllm_rows=rows * load.completion * sizes.layers,
                vllm_prompts=rows * load.prompt * sizes.layers,
                decode_bytes=load.completion * text,
                decode_layers=load.completion * sizes.layers,
                sent=text,
                gathered=self._share * text if load.shards > 1 else 0,
            )
        turns = -(-self.sampled // load.at_once)
        together = self.sampled * load.prompt + rows * load.completion / 2  # tokens whose keys and values a step reads
        state = 2 * 4 * rows * sizes.state  # read and written, fp32
        reading = Batch(self.sampled, 0, load.prompt, load.vision_tokens, 0, shared=True)
        return seen + forward(sizes, reading, self.fused_rule) + Amounts(
            decode_bytes=load.completion * (turns * text + together * sizes.key_value_bytes + state),
            decode_layers=turns * load.completion * sizes.layers,
            drawn=rows * load.completion * sizes.vocabulary,
            gathered=self._share * 2 * sizes.parameters if load.shards > 1 else 0,
        )  # fmt: skip

    def _annotate(self) -> Amounts:
        scorers = [*self.references, *([self.sizes] if self.epochs * self.minibatches > 1 else [])]
        batch = self._batch(self.learned)
        done = Amounts()
        for sizes in scorers:
            done += forward(sizes, batch, self.fused_rule)
            if not self.features_kept:
                done += looking(sizes, batch.prompts * batch.vision)
        return done

    def _learn(self) -> Amounts:
        sizes, load = self.sizes, self.load
        batch = self._batch(self.learned)
        once = update(sizes, batch, self.fused_rule, load.recompute)
        if sizes.vision_trained:
            once += looking_update(sizes, batch.prompts * batch.vision, load.recompute)
        elif not self.features_kept:
            once += looking(sizes, batch.prompts * batch.vision)
        micro = max(1, -(-self.learned // max(1, load.prompts))) if load.shared else -(-batch.rows // load.rows)
        once += Amounts(passes=(micro - 1) * (3 + (load.recompute == "full")) * sizes.layers)
        steps = self.minibatches
        if load.shards > 1:  # bf16 weights twice, gradients in fp32, for every micro-batch
            once += Amounts(gathered=self._share * micro * (2 * 2 * sizes.parameters + 4 * sizes.trained))
        elif self.devices > 1:  # a ring: every gradient is sent and received; after each micro-batch
            once += Amounts(gathered=2 * self._share * micro * 4 * sizes.trained)
        return (once + Amounts(updated=steps * sizes.trained / load.shards)) * self.epochs

    def _batch(self, prompts: int) -> Batch:
        load = self.load
        return Batch(prompts, prompts * load.group, load.prompt, load.vision_tokens, load.completion, load.shared)

    @property
    def _share(self) -> float:
        """The part of all bytes that lies on other devices."""
        return 1 - 1 / self.devices
