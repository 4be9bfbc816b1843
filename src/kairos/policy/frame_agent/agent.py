"""A policy whose actions are frames: it reads frame features and a question's, and chooses K frames to look at.

Source: TSPO (arXiv 2508.04369). K frames are drawn without replacement by Gumbel top-k over the scores divided by the
temperature. What their log-probability is, is a part of its own (`choice`).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from kairos.core.seeds import uniforms
from kairos.core.types import ActionStats, Prompt, Rollout, RolloutBatch, RolloutGroup, Sampling
from kairos.policy.frame_agent.choice import NEVER, FrameChoice, Independent
from kairos.policy.frame_agent.published import read_published
from kairos.policy.frame_agent.scorer import FrameScorer
from kairos.video.samplers.scores import features_of


class TemporalAgent(FrameScorer):
    """Scores frames of `prompt.clip.features["clip"]` [T, D] for `prompt.features["question"]` [D].

    The temperature of `Sampling` divides the scores; temperature 0 takes the K best. `weights` is a safetensors file
    (or a folder with one) of a published agent; without it the agent starts from `seed`. See `FrameScorer` for the
    other sizes.
    """

    microbatch_unit = "row"

    def __init__(
        self,
        width: int = 768,
        heads: int = 8,
        window: int = 12,
        seed: int = 0,
        unused_projection: bool = True,
        choice: FrameChoice | None = None,
        weights: str | None = None,
    ) -> None:
        super().__init__(width, heads, window, seed, unused_projection)
        self.choice: FrameChoice = Independent() if choice is None else choice
        self.weights = weights

    def build(self) -> None:
        """Load the published weights, where some were named."""
        if self.weights is not None:
            self.load_state_dict(read_published(self.weights, self.projection is not None))

    def encode(self, text: str) -> Tensor:
        raise ValueError(f"the temporal agent's actions are frames; it cannot write {text!r}")

    @torch.no_grad()
    def sample(self, prompts: Sequence[Prompt], group_size: int, sampling: Sampling, seed: int) -> list[RolloutGroup]:
        """K = `sampling.max_actions` frames a row (all where there are fewer); the text is empty.

        Actions are in the order drawn where the log-probability depends on it (`choice.ordered`), else in time.
        """
        groups = []
        for prompt, scores_T in zip(prompts, self.scores_of_prompts(prompts), strict=True):
            scores_T = scores_T.cpu()
            count = min(sampling.max_actions, len(scores_T))
            if sampling.temperature == 0:
                keys_GT = scores_T.expand(group_size, -1)
            else:
                noise_GT = uniforms(seed, prompt.uid, group_size, len(scores_T))
                keys_GT = (scores_T / sampling.temperature).log_softmax(-1).double() - (-noise_GT.log()).log()
            chosen_GK = keys_GT.topk(count, dim=-1).indices
            if not self.choice.ordered:
                chosen_GK = chosen_GK.sort(dim=-1).values
            logprobs_GK = torch.zeros(chosen_GK.shape)
            if sampling.temperature:
                logprobs_GK, _ = self.choice(scores_T / sampling.temperature, chosen_GK, torch.ones(chosen_GK.shape))
            rows = (
                Rollout("", chosen_K, logprobs_K, chosen_K=chosen_K.sort().values)
                for chosen_K, logprobs_K in zip(chosen_GK, logprobs_GK, strict=True)
            )
            groups.append(RolloutGroup(prompt, tuple(rows)))
        return groups

    def score(self, batch: RolloutBatch, entropy: bool = False) -> ActionStats:
        """What `choice` says of the chosen frames [B, K]; the scores of a prompt are computed once for all its rows."""
        device = self.query.weight.device
        mask_BA, chosen_BA = batch.mask_BA.to(device), batch.actions_BA.to(device)
        scores_PT = pad_sequence(self.scores_of_prompts(batch.prompts), batch_first=True, padding_value=NEVER)
        logits_BT = scores_PT.index_select(0, batch.group_of_B.to(device)) / (batch.temperature or 1.0)
        logprobs_BA, entropy_BA = self.choice(logits_BT, chosen_BA, mask_BA)
        return ActionStats(logprobs_BA, entropy_BA if entropy else None)

    def forward(self, batch: RolloutBatch, entropy: bool = False) -> ActionStats:
        return self.score(batch, entropy)

    def reference(self) -> TemporalAgent:
        return copy.deepcopy(self).requires_grad_(False).eval()

    def scores_of(self, prompt: Prompt) -> Tensor:
        """The scores of a prompt's frames [T]. ValueError where features are missing, or of another tower or clip."""
        return self.scores_of_prompts([prompt])[0]

    def scores_of_prompts(self, prompts: Sequence[Prompt]) -> list[Tensor]:
        """`scores_of` several prompts, computed together."""
        frames, questions = zip(*map(self._features, prompts), strict=True) if prompts else ((), ())
        return self.scores_of_clips(frames, questions) if prompts else []

    def _features(self, prompt: Prompt) -> tuple[Tensor, Tensor]:
        frames_TD, question_D = features_of(prompt)
        weight = self.query.weight
        if frames_TD.shape[1] != weight.shape[1]:
            raise ValueError(
                f"prompt {prompt.uid}: its features have width {frames_TD.shape[1]}, but the agent reads features of "
                f"width {weight.shape[1]}: they are of another tower; choose the option of enrich= that the agent was "
                f"trained with, or set policy.width={frames_TD.shape[1]} for a new agent"
            )
        return frames_TD.to(weight.device, non_blocking=True), question_D.to(weight.device, non_blocking=True)
