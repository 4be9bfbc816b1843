"""How well each frame of a clip suits the question of its prompt: what samplers choose by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor
from torch.nn.functional import cosine_similarity

from kairos.core.types import Prompt


class FrameScores(Protocol):
    """`(prompt) -> scores_T`, fp32: `CosineScores`, or a trained agent."""

    def __call__(self, prompt: Prompt) -> Tensor: ...


@dataclass(frozen=True)
class CosineScores:
    """The cosine of each frame's feature and the question's, [T] in [-1, 1], without any training.

    `frames` names the feature of the clip [T, D], `question` that of the prompt [D]. ValueError when one is not there.
    """

    frames: str = "clip"
    question: str = "question"

    def __call__(self, prompt: Prompt) -> Tensor:
        if self.frames not in prompt.clip.features or self.question not in prompt.features:
            raise ValueError(
                f"prompt {prompt.uid}: a sampler by scores needs the features {self.frames!r} of the clip and "
                f"{self.question!r} of the prompt, got {sorted(prompt.clip.features)} and {sorted(prompt.features)}: "
                "add them with an option of enrich="
            )
        frames_TD, question_D = prompt.clip.features[self.frames], prompt.features[self.question]
        return cosine_similarity(frames_TD.float(), question_D.float()[None], dim=-1)
