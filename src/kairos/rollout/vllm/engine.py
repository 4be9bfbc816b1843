"""The rollout engine that samples with vLLM, beside the policy that is trained."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

import torch

from kairos.core.installing import install_line
from kairos.core.protocols import Policy
from kairos.core.types import Prompt, RolloutGroup, Sampling
from kairos.policy.language import LanguagePolicy
from kairos.policy.network.layouts import layout_of
from kairos.rollout.vllm import agreement, requests
from kairos.rollout.vllm.hooks import Hooks
from kairos.rollout.vllm.settings import Settings
from kairos.rollout.vllm.starting import start
from kairos.rollout.vllm.theirs import Engine, Model
from kairos.rollout.vllm.weights import NotSynced, send

_PROBED = Sampling(max_actions=16, group_size=1)
_SLACK = 4.0
"""The probe's few tokens may differ by this many times `tolerance`: a run must not end by chance."""
_LAST_STEPS = 8


class VLLM:
    """One vLLM engine in each training process, started at the first `sync`.

    It is given the policy's token ids, positions, video features and banned tokens, so it has no processor and no
    vision tower. Every `sync` copies the policy's weights, drops what was cached under the old ones, and lets a probe
    answer (`agreement.check_answer`); the first roll-out is scored both ways (`agreement.disagreement`). Log-probs are
    those of the distribution that is sampled. A row depends on (seed, uid, row) but, unlike `Live`'s, rounding depends
    on what it is batched with.
    """

    asks_policy = True

    def __init__(
        self,
        context: int = 16384,
        kv_cache_gib: float = 16.0,
        rows: int = 256,
        sleeps: bool = True,
        eager: bool = False,
        dtype: str | None = None,
        tolerance: float | None = 0.05,
        checked_rows: int = 8,
        ahead: int = 0,
    ) -> None:
        self.settings = Settings(context, kv_cache_gib, rows, sleeps, eager, dtype, tolerance, checked_rows)
        self.device, self.ahead = torch.device("cpu"), ahead
        self.syncs = self.rollouts = 0
        self.gap_of_probe = 0.0
        self._engine: Engine | None = None
        self._policy: LanguagePolicy | None = None
        self._hooks: Hooks | None = None
        self._asleep = self._compared = False

    def setup(self, device: torch.device) -> None:
        """ValueError where vLLM is not installed."""
        if find_spec("vllm") is None:
            raise ValueError(f"rollout=vllm needs vLLM, which is not installed: {install_line('vllm')}")
        self.device = device

    def sync(self, policy: Policy) -> None:
        """ValueError for a policy that is no language policy; NotSynced, Disagreement where weights did not arrive."""
        if not isinstance(policy, LanguagePolicy):
            raise ValueError(f"rollout=vllm samples from a language policy, not from a {type(policy).__name__}")
        self._policy = policy
        dtype = self.settings.dtype_on(self.device)
        if self._engine is None:
            self._engine = start(policy, self.device, self.settings)
            self._hooks = Hooks(policy.towers.banned, dtype)
            self._hooks.install(self.model)
        engine = self._engine
        if self._asleep:
            engine.wake_up(["weights"])
            for buffer in getattr(self.model, "deepstack_input_embeds", []):
                buffer.zero_()  # added to every token that has no video feature; sleep leaves what it finds
        send(policy, self.model, dtype)
        if self._asleep:
            engine.wake_up(["kv_cache"])
        self._asleep, self.syncs = False, self.syncs + 1
        self._forget()
        self.gap_of_probe = self._probe()
        if self.settings.tolerance is not None:
            agreement.check_answer(self.gap_of_probe, _SLACK * self.settings.tolerance)

    def generate(self, prompts: Sequence[Prompt], group_size: int, sampling: Sampling, seed: int) -> list[RolloutGroup]:
        policy, hooks = self._policy, self._hooks
        if policy is None or hooks is None or self._engine is None or self._asleep:
            raise RuntimeError("vLLM has no weights: call sync(policy) first")
        prompts, seen = policy.look(prompts, sampling.max_actions)
        self._check_length(prompts, sampling)
        video = policy.towers.video_token
        counts = [int((layout_of(prompt).ids_L == video).sum()) for prompt in prompts]
        self.rollouts += 1
        names = [f"{self.rollouts}-{number}" for number in range(len(prompts))]  # no name comes twice
        for number, (name, prompt, part) in enumerate(zip(names, prompts, agreement.split(seen, counts), strict=True)):
            hooks.offer(name, number, layout_of(prompt), part)
        try:
            groups = self._answered(prompts, names, group_size, sampling, seed)
            if not self._compared and sampling.temperature and not (sampling.top_k or sampling.top_p < 1):
                self._compare(groups, sampling.temperature, sorted(set(names) - hooks.asked))
        finally:
            hooks.clear()
            self._engine.llm_engine.reset_encoder_cache()
        return groups

    def release(self) -> None:
        """Give the GPU's memory back until the next `sync`."""
        if self._engine is not None and self.settings.sleeps and self.device.type != "cpu" and not self._asleep:
            self._engine.sleep(level=2)  # nothing is kept: the next sync sends every weight
            self._asleep = True

    @property
    def model(self) -> Model:
        """vLLM's model."""
        assert self._engine is not None
        return self._engine.apply_model(lambda model: model)[0]

    def _answered(
        self, prompts: Sequence[Prompt], names: Sequence[str], rows: int, sampling: Sampling, seed: int
    ) -> list[RolloutGroup]:
        assert self._policy is not None and self._engine is not None
        processor, video = self._policy.processor, self._policy.towers.video_token
        inputs = [
            requests.engine_input(layout_of(prompt), name, number, video)
            for number, (prompt, name) in enumerate(zip(prompts, names, strict=True))
        ]
        asked = [
            requests.parameters(sampling, rows, requests.seed_of(seed, prompt), processor.end) for prompt in prompts
        ]
        replies = requests.answers(self._engine, inputs, asked)
        return [
            requests.group(prompt, reply, rows, sampling, processor)
            for prompt, reply in zip(prompts, replies, strict=True)
        ]

    def _forget(self) -> None:
        """Drop keys, values and features that were computed with earlier weights. NotSynced where vLLM keeps them."""
        assert self._engine is not None
        core = self._engine.llm_engine
        for _ in range(_LAST_STEPS):
            if self._engine.reset_prefix_cache():
                break
            core.step()  # its scheduler runs ahead: a step may be in flight although every row has ended
        else:
            raise NotSynced("vLLM does not give up the keys and values of earlier weights")
        self._engine.reset_mm_cache()
        core.reset_encoder_cache()

    def _probe(self) -> float:
        """How far vLLM is from the policy on a text without a video, in nats a token."""
        assert self._policy is not None
        groups = self._answered([agreement.text_prompt(self._policy)], [agreement.PROBE], 1, _PROBED, self.syncs)
        return agreement.gap(self._policy, groups, _PROBED.temperature, video=False)

    def _compare(self, groups: Sequence[RolloutGroup], temperature: float, unasked: Sequence[str]) -> None:
        assert self._policy is not None
        tolerance, checked = self.settings.tolerance, agreement.first_rows(groups, self.settings.checked_rows)
        if tolerance is not None and not (found := agreement.gap(self._policy, checked, temperature)) <= tolerance:
            raise agreement.disagreement(found, tolerance, self._probe(), unasked)
        self._compared = True

    def _check_length(self, prompts: Sequence[Prompt], sampling: Sampling) -> None:
        longest = max((len(layout_of(prompt)) for prompt in prompts), default=0) + sampling.max_actions
        if longest > self.settings.context:
            raise ValueError(
                f"a prompt and its answer may have {longest} tokens together, and rollout.context is "
                f"{self.settings.context}: set it to that, or lower sampling.max_actions or the frames' size"
            )
