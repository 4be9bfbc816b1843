"""A policy of two thousand parameters that writes spans, for tests of the loop: instant and deterministic on a CPU.

Three actions write an answer: one of `bins` starts ("<answer>3.5"), one of `bins` ends (" to 6.0</answer>"), and the
end token. The policy has to learn this order; its initial weights favour it. It reads the question, not the video.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kairos.core.seeds import mix, uniforms
from kairos.core.types import ActionStats, Prompt, Rollout, RolloutBatch, RolloutGroup, Sampling

_ANSWER = re.compile(r"<answer>\s*(\d+(?:\.\d+)?)\s*to\s*(\d+(?:\.\d+)?)\s*</answer>")
_STEPS = 3
_BUMPS = 8


class ToyPolicy(nn.Module):
    """Logits over starts, ends and the end token, from the words of the question, the step and the previous action.

    Start i is second i * `seconds` / `bins`; end i is one bin later. `order` is the initial bias (in logits) towards
    the order start, end, end token. `seed` draws the initial weights; a run's own seed does not change them.
    """

    microbatch_unit = "row"
    bumps: Tensor

    def __init__(
        self, seconds: float = 16.0, bins: int = 32, width: int = 8, words: int = 64, order: float = 3.0, seed: int = 0
    ) -> None:
        super().__init__()
        if seconds <= 0 or bins < 1:
            raise ValueError(f"policy.seconds must be > 0 and policy.bins >= 1, got {seconds} and {bins}")
        self.seconds, self.bins, self.words = seconds, bins, words
        self.end = 2 * bins
        generator = torch.Generator().manual_seed(seed)
        self.word = nn.Parameter(torch.randn(words, width, generator=generator))
        self.previous = nn.Parameter(0.1 * torch.randn(self.end + 2, width, generator=generator))
        self.head = nn.Parameter(0.1 * torch.randn(width, self.end + 1, generator=generator))
        kind_V = torch.arange(self.end + 1) // bins
        step_SV = order * torch.nn.functional.one_hot(kind_V, _STEPS).T.float()
        step_SV[:, self.end] += math.log(bins)  # one end token weighs as much as all starts, or all ends
        self.step = nn.Parameter(step_SV)
        self.coarse = nn.Parameter(torch.zeros(width, 2 * _BUMPS))
        centre_U, bin_N = (torch.linspace(0.0, 1.0, n) for n in (_BUMPS, bins))
        bumps_UN = torch.exp(-0.5 * ((bin_N - centre_U[:, None]) * (_BUMPS - 1)) ** 2)
        self.register_buffer("bumps", torch.block_diag(bumps_UN, bumps_UN, torch.zeros(0, 1)), persistent=False)

    def build(self) -> None:
        """Nothing to load."""

    def encode(self, text: str) -> Tensor:
        """The first answer in `text` as actions [3]: its nearest start, its nearest end, the end token. ValueError
        when `text` holds no answer."""
        found = _ANSWER.search(text)
        if found is None:
            raise ValueError(f"the toy policy writes '<answer>start to end</answer>' only, got {text!r}")
        start, end = (round(float(second) * self.bins / self.seconds) for second in found.groups())
        start, end = min(max(start, 0), self.bins - 1), min(max(end - 1, 0), self.bins - 1)
        return torch.tensor([start, self.bins + end, self.end])

    def decode(self, actions: Sequence[int]) -> str:
        """The text that the actions write; the end token writes nothing."""
        unit = self.seconds / self.bins
        pieces = []
        for action in actions:
            if action < self.bins:
                pieces.append(f"<answer>{action * unit:.1f}")
            elif action < self.end:
                pieces.append(f" to {(action - self.bins + 1) * unit:.1f}</answer>")
        return "".join(pieces)

    @torch.no_grad()
    def sample(self, prompts: Sequence[Prompt], group_size: int, sampling: Sampling, seed: int) -> list[RolloutGroup]:
        """At most three actions a row. One uniform number per (seed, uid, row, step) picks each by inverse transform;
        top_p and top_k are ignored."""
        about_BW = self._about(prompts).repeat_interleave(group_size, dim=0)
        noise_BA = torch.cat([uniforms(seed, prompt.uid, group_size, _STEPS) for prompt in prompts])
        rows, limit = len(about_BW), min(_STEPS, sampling.max_actions)
        previous_B = torch.full((rows,), self.end + 1)
        running_B = torch.ones(rows, dtype=torch.bool)
        length_B = torch.zeros(rows, dtype=torch.long)
        actions, logprobs = [], []
        for step in range(limit):
            logits_BV = self._logits(about_BW, previous_B.to(about_BW.device), torch.tensor(step))
            chosen_B, logprob_B = _choose(logits_BV.cpu(), noise_BA[:, step], sampling.temperature)
            actions.append(chosen_B)
            logprobs.append(logprob_B)
            length_B += running_B
            running_B = running_B & (chosen_B != self.end)
            previous_B = chosen_B
        actions_BA, logprobs_BA = torch.stack(actions, 1), torch.stack(logprobs, 1)
        groups = []
        for p, prompt in enumerate(prompts):
            rollouts = []
            for b in range(p * group_size, (p + 1) * group_size):
                actions_A = actions_BA[b, : length_B[b]].clone()
                behavior_A = logprobs_BA[b, : length_B[b]].clone()
                text = self.decode(actions_A.tolist())
                rollouts.append(Rollout(text, actions_A, behavior_A, truncated=bool(running_B[b])))
            groups.append(RolloutGroup(prompt, tuple(rollouts)))
        return groups

    def score(self, batch: RolloutBatch, entropy: bool = False) -> ActionStats:
        """Log-probs and, where asked, entropies [B, A] at the batch's temperature; 0 where no action counts."""
        device = self.head.device
        actions_BA, mask_BA = batch.actions_BA.to(device), batch.mask_BA.to(device)
        about_BW = self._about(batch.prompts)[batch.group_of_B.to(device)]
        first_B1 = torch.full_like(actions_BA[:, :1], self.end + 1)
        previous_BA = torch.cat([first_B1, actions_BA[:, :-1]], dim=1)
        steps_A = torch.arange(actions_BA.shape[1], device=device).clamp(max=_STEPS - 1)
        logits_BAV = self._logits(about_BW[:, None], previous_BA, steps_A)
        logprobs_BAV = (logits_BAV / (batch.temperature or 1.0)).log_softmax(-1)
        logprobs_BA = logprobs_BAV.gather(-1, actions_BA[..., None]).squeeze(-1) * mask_BA
        return ActionStats(logprobs_BA, -(logprobs_BAV.exp() * logprobs_BAV).sum(-1) * mask_BA if entropy else None)

    def forward(self, batch: RolloutBatch, entropy: bool = False) -> ActionStats:
        return self.score(batch, entropy)

    def reference(self) -> ToyPolicy:
        """A frozen copy of the policy as it is now."""
        return copy.deepcopy(self).requires_grad_(False).eval()

    def _about(self, prompts: Sequence[Prompt]) -> Tensor:
        """Each question as the mean of its words' vectors [P, W]; words are hashed into a small table."""
        index = [[mix(word) % self.words for word in prompt.question.lower().split()] or [0] for prompt in prompts]
        return torch.stack([self.word[torch.tensor(words, device=self.word.device)].mean(0) for words in index])

    def _logits(self, about: Tensor, previous: Tensor, step: Tensor) -> Tensor:
        state = about + self.previous[previous]
        return state @ (self.head + self.coarse @ self.bumps) + self.step[step]


def _choose(logits_BV: Tensor, noise_B: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Actions [B] by inverse transform from `noise` in [0, 1), and their log-probabilities [B]."""
    if temperature == 0:
        return logits_BV.argmax(-1), torch.zeros(len(logits_BV))
    logprobs_BV = (logits_BV / temperature).log_softmax(-1)
    cumulative_BV = logprobs_BV.double().exp().cumsum(-1)
    level_B1 = noise_B[:, None] * cumulative_BV[:, -1:]
    chosen_B = torch.searchsorted(cumulative_BV, level_B1, right=True).squeeze(-1).clamp(max=logits_BV.shape[-1] - 1)
    return chosen_B, logprobs_BV.gather(-1, chosen_B[:, None]).squeeze(-1)
