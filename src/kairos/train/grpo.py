"""The Lightning module: one RL iteration is roll out, credit, annotate, learn. It knows protocols, no method by name.

Departures from the textbook algorithm (GRPO as published), whatever the configured parts are:

1. No row is dropped. A gate or an advantage leaves rows out by weight 0, which takes them out of every term and of the
   denominator; tensors keep their shapes, and ranks make equally many backward calls.
2. The loss is a sum over a whole mini-batch of all ranks by one denominator, which is summed over ranks before
   micro-batches are cut: no mean of means. A denominator of 0 skips the optimiser's step on every rank.
3. Old log-probs are computed only if several updates follow one roll-out. With one update the ratio is pi / pi held
   fixed: its value is 1, its gradient the policy gradient. The sampler's log-probs are only logged
   (`policy/sampling_gap`), unless `importance_limit` of the surrogate weighs actions by them. Rows that older weights
   sampled (`rollout.ahead`) are always weighed.
4. Rows that the policy did not write (injected annotations) have the same ratio as its own: their old log-probs are
   those of the policy.
5. The advantage sees all groups of this rank's step, also those that over-sampling or a gate leaves out, but not those
   that fill the place of failed prompts, which are not rewarded either.
6. Over-sampling draws a fixed number of prompts and learns from a fixed number of groups: the first of positive weight,
   then, if there are too few, groups of weight 0. It never draws again.
7. The reference `start` is the policy before any update of the run; it is never updated.
8. An update whose loss or gradient is not finite on any rank is skipped on every rank, and counted.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import cast

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from kairos.core.carry import carried
from kairos.core.out_of_memory import explaining_out_of_memory
from kairos.core.protocols import (
    Advantage,
    Foresees,
    Gate,
    Injection,
    Policy,
    PreparesLearning,
    Reference,
    Reward,
    RolloutEngine,
    Scorer,
)
from kairos.core.seeds import mix
from kairos.core.stop_iteration import no_stop_iteration
from kairos.core.threads import one_host_thread
from kairos.core.types import START, ActionStats, Prompt, PromptBatch, RolloutBatch, RolloutGroup, Sampling
from kairos.credit.earned import Earned, earned, refuse_equal_groups, refuse_group_rule
from kairos.credit.injections import NoInjection
from kairos.objective.objective import Objective
from kairos.train import diagnostics, oversampling
from kairos.train.batch import collate
from kairos.train.devices import ranks, sharding
from kairos.train.devices.strategies import alone
from kairos.train.iteration import after_iteration
from kairos.train.meter import Meter
from kairos.train.optimizer import Optimizer
from kairos.train.references import build, needed

NONFINITE = "learn/nonfinite"
"""Metric: the share of an iteration's updates that were skipped because loss or gradient were not finite."""


class GRPOModule(L.LightningModule):
    """Holds policy, references and objective; one Lightning batch is one iteration (manual optimisation).

    One roll-out gives `epochs` x `minibatches` updates, each over whole groups. `microbatch` bounds what is scored at
    once (groups or rows, see `Policy.microbatch_unit`; 0: everything), `clip_norm` the gradient's norm (0: no bound).
    With `oversample` n the module learns from an n-th of a batch's groups: the first of positive weight. `references`
    are frozen scorers by name; those that the objective names are built, and are not in the `state_dict`.
    """

    def __init__(
        self,
        policy: Policy,
        engine: RolloutEngine,
        reward: Reward,
        injection: Injection,
        advantage: Advantage,
        gate: Gate,
        objective: Objective,
        sampling: Sampling,
        optimizer: Optimizer,
        iterations: int,
        epochs: int = 1,
        minibatches: int = 1,
        microbatch: int = 0,
        clip_norm: float = 1.0,
        seed: int = 0,
        oversample: int = 1,
        references: Mapping[str, Reference] | None = None,
    ) -> None:
        super().__init__()
        if min(iterations, epochs, minibatches) < 1 or microbatch < 0:
            raise ValueError(f"iterations, epochs, minibatches must be >= 1: {iterations=} {epochs=} {minibatches=}")
        if oversample < 1:
            raise ValueError(f"oversample must be >= 1, got {oversample}")
        refuse_group_rule(advantage)
        self.automatic_optimization = False
        if not isinstance(policy, nn.Module):
            raise ValueError(f"a policy is an nn.Module that scores in its forward, got {policy!r}")
        self.policy: nn.Module = policy
        self.teachers = needed(objective.needs.references, references or {})
        self.references: dict[str, Scorer] = {}  # built; modules in a dict are in no state_dict, and never sharded
        self.engine, self.reward, self.injection, self.advantage, self.gate = engine, reward, injection, advantage, gate
        self.objective, self.sampling, self.optimizer = objective, sampling, optimizer
        self.iterations, self.epochs, self.minibatches = iterations, epochs, minibatches
        self.microbatch, self.clip_norm, self.seed, self.oversample = microbatch, clip_norm, seed, oversample
        self.iteration = 0
        self.meter = Meter()
        self.metrics: dict[str, float] = {}
        self.credited: list[diagnostics.Credited] = []
        self.rollouts: RolloutBatch | None = None
        self._built = False
        self._alone = False  # nobody else waits for a gradient

    # The story

    def training_step(self, batch: PromptBatch, batch_idx: int) -> None:
        del batch_idx
        with no_stop_iteration(f"iteration {self.iteration + 1}"), one_host_thread(self.device):
            self._step(batch)
        self.metrics = self.meter.reduce()
        self.iteration += 1

    def _step(self, batch: PromptBatch) -> None:
        with self.meter.phase("roll_out"):
            groups = self.roll_out(batch)
        with self.meter.phase("credit"):
            rollouts = self.credit(groups, batch)
        with self.meter.phase("annotate"):
            rollouts = self.annotate(rollouts)
        with self.meter.phase("learn"), explaining_out_of_memory("learning from the rollouts"), self._learning():
            self.learn(rollouts)
        self.rollouts = rollouts

    def roll_out(self, batch: PromptBatch) -> list[RolloutGroup]:
        """The groups of one step [P], injected rows included."""
        self.policy.eval()  # until it learns: a large policy changes its mode slowly
        with sharding.gathered(self.policy):
            self.engine.sync(self.trained)
            if batch.following is not None and isinstance(self.engine, Foresees):
                self.engine.foresee(*self._asked(batch.following, self.iteration + 1))
            groups = self.engine.generate(*self._asked(batch, self.iteration))
            self.engine.release()
        return [self.injection(group) for group in groups]

    def credit(self, groups: list[RolloutGroup], batch: PromptBatch) -> RolloutBatch:
        """Rewards, advantages and weights, and the rows of all groups as one batch. Stand-ins are not rewarded."""
        places = [place for place, used in enumerate(batch.weights_P.tolist()) if used]
        scores = {place: self.reward(groups[place]) for place in places}
        totals = [scores[place].total_G for place in places]
        found = earned(self.advantage, self.gate, totals, [groups[place].on_policy_G for place in places])
        by_place = dict(zip(places, found, strict=True))
        every = [by_place.get(place, Earned.nothing(len(group))) for place, group in enumerate(groups)]
        kept = list(range(len(groups)))
        if self.oversample > 1:
            kept = oversampling.kept([one.weights_G for one in every], len(groups) // self.oversample)
            self.meter.add("data/shortfall", sum(not every[place].weights_G.any() for place in kept) / len(kept))
            every = [one if place in kept else one.unused() for place, one in enumerate(every)]
        self.credited = [diagnostics.Credited(groups[place], scores[place], every[place]) for place in places]
        for credited in self.credited:
            diagnostics.measure(self.meter, credited)
        self.meter.add("data/failures", len(batch.failures) / max(1, len(batch)), len(batch))
        return collate(
            [groups[place] for place in kept],
            [every[place].advantages_G for place in kept],
            [every[place].weights_G for place in kept],
            self.encode,
            self.sampling.at(self.iteration, self.iterations).temperature or 1.0,
        )

    @torch.no_grad()
    def annotate(self, rollouts: RolloutBatch) -> RolloutBatch:
        """Adds old log-probs if several updates follow, and the log-probs of every reference that a term names."""
        self.policy.eval()
        if self.epochs * self.minibatches > 1:
            rollouts = replace(rollouts, old_logprobs_BA=self._score_all(self.policy, rollouts))
        logprobs = {name: self._score_all(reference, rollouts) for name, reference in self.references.items()}
        return replace(rollouts, reference_logprobs=logprobs)

    def learn(self, rollouts: RolloutBatch) -> None:
        """One update for each mini-batch of whole groups, `epochs` times over."""
        self.policy.train()
        groups = len(rollouts.prompts)
        if groups % self.minibatches:
            raise ValueError(f"{groups} groups a rank do not split into minibatches={self.minibatches}")
        per_update = groups // self.minibatches
        for _ in range(self.epochs):
            for first in range(0, groups, per_update):
                chosen = (rollouts.group_of_B >= first) & (rollouts.group_of_B < first + per_update)
                self._update(rollouts.take(chosen.nonzero().flatten()))

    # The pieces

    def _asked(self, batch: PromptBatch, iteration: int) -> tuple[Sequence[Prompt], int, Sampling, int]:
        """What the engine is asked for in an iteration."""
        sampling = self.sampling.at(iteration, self.iterations)
        size = self.injection.sampled(sampling.group_size)
        return batch.prompts, size, sampling, mix(self.seed, "rollout", iteration)

    def _update(self, mini: RolloutBatch) -> None:
        weight_BA, denominator = self.objective.weights(mini.mask_BA, mini.group_of_B, mini.weights_B)
        whole = float(ranks.total(denominator.to(self.device, torch.float64)))
        self.meter.add("learn/skipped", float(whole <= 0))
        if whole <= 0:
            return
        optimizer = cast("torch.optim.Optimizer", self.optimizers())
        for group in optimizer.param_groups:
            group["lr"] = self.optimizer.rate(self.iteration, self.iterations)
        optimizer.zero_grad()
        entropy = self.objective.needs.entropy
        broken = torch.zeros((), dtype=torch.float64, device=self.device)  # losses; nothing waits for the device
        for rows in self._microbatches(mini):
            asked = mini.take(rows)  # on the host: the policy moves what it needs, and waits for nothing
            micro, weights = asked.to(self.device), carried(weight_BA[rows], self.device)
            stats: ActionStats = self.policy(asked, entropy=entropy)
            values, terms = self.objective.values(stats, micro)
            loss = (weights * values).sum() * (ranks.world() / whole)
            self.manual_backward(loss)
            broken += ~torch.isfinite(loss.detach())
            diagnostics.measure_learning(self.meter, weights, terms, stats)
            diagnostics.measure_actions(self.meter, self.objective, stats, micro)
        norm = self._clip()
        finite = math.isfinite(norm) and not float(ranks.total(broken))
        self.meter.add(NONFINITE, float(not finite))
        if not finite:
            optimizer.zero_grad()
            return
        optimizer.step()
        self.meter.add("learn/gradient_norm", norm)
        self.meter.put("learn/rate", optimizer.param_groups[0]["lr"])

    def _learning(self) -> AbstractContextManager[None]:
        return self.policy.learning(self._alone) if isinstance(self.policy, PreparesLearning) else nullcontext()

    def _clip(self) -> float:
        parameters = [p for p in self.policy.parameters() if p.grad is not None]
        bound = self.clip_norm or math.inf
        norm = nn.utils.clip_grad_norm_(parameters, bound)
        return float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm)  # type: ignore[attr-defined]

    def _microbatches(self, batch: RolloutBatch) -> Iterator[Tensor]:
        unit = self.trained.microbatch_unit
        owner = batch.group_of_B if unit == "group" else torch.arange(len(batch))
        count = int(owner.max()) + 1
        step = self.microbatch or count
        for first in range(0, count, step):
            yield ((owner >= first) & (owner < first + step)).nonzero().flatten()

    def _score_all(self, scorer: Scorer | nn.Module, batch: RolloutBatch) -> Tensor:
        logprobs = torch.zeros_like(batch.mask_BA)
        for rows in self._microbatches(batch):
            stats: ActionStats = scorer(batch.take(rows))
            logprobs[rows] = stats.logprobs_BA.float().cpu()
        return logprobs

    @property
    def trained(self) -> Policy:
        return cast("Policy", self.policy)

    @functools.cached_property
    def encode(self) -> functools._lru_cache_wrapper[Tensor]:
        return functools.lru_cache(maxsize=65536)(self.trained.encode)

    # Lightning's hooks

    def setup(self, stage: str) -> None:
        """Before weights are loaded. ValueError if no rollout could ever have an advantage."""
        if stage == "fit" and isinstance(self.injection, NoInjection):
            refuse_equal_groups(self.advantage, self.sampling.at(0, self.iterations))

    def configure_model(self) -> None:
        """Load weights, once; the reference `start` is taken from the policy here, before any update or sharding."""
        if self._built:
            return
        self._built = True
        with sharding.home(self.device_mesh):
            self.trained.build()
            for name, reference in self.teachers.items():
                self.references[name] = build(name, reference, self.trained)
        if START in self.objective.needs.references:
            self.references[START] = self.trained.reference()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        return self.optimizer.build(self.policy.parameters())

    def on_fit_start(self) -> None:
        self._alone = alone(self.trainer.strategy)
        for reference in self.references.values():
            if isinstance(reference, nn.Module):
                reference.to(self.device)
        self.engine.setup(self.device)

    def transfer_batch_to_device(self, batch: PromptBatch, device: torch.device, dataloader_idx: int) -> PromptBatch:
        """Prompts stay on the host; the policy moves what it needs."""
        del device, dataloader_idx
        return batch

    def on_train_batch_end(self, outputs: object, batch: PromptBatch, batch_idx: int) -> None:
        """Calls the callbacks' `after_iteration`, after their own Lightning hooks."""
        del outputs, batch_idx
        with no_stop_iteration(f"the callbacks of iteration {self.iteration}"):
            after_iteration(getattr(self.trainer, "callbacks", ()), self, batch, self.meter.doing.now)
        self.meter.doing.now("waits for prompts")

    def on_save_checkpoint(self, checkpoint: dict[str, object]) -> None:
        checkpoint["iteration"] = self.iteration
        if isinstance(self.engine, Foresees):
            checkpoint["foreseen"] = ranks.gather([self.engine.state_dict()])
        loops = cast("dict[str, dict[str, dict[str, object]]]", checkpoint["loops"])
        loops["fit_loop"]["epoch_loop.batch_progress"]["is_last_batch"] = False  # a run may go on for longer than meant

    def on_load_checkpoint(self, checkpoint: Mapping[str, object]) -> None:
        iteration = checkpoint["iteration"]
        assert isinstance(iteration, int)
        self.iteration = iteration
        if isinstance(self.engine, Foresees):
            self.engine.load_state_dict(cast("list[dict[str, object]]", checkpoint.get("foreseen", [])))
