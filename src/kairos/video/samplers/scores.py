"""How well each frame of a clip suits the question of its prompt: what samplers choose by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor
from torch.nn.functional import cosine_similarity

from kairos.core.types import Prompt


class FrameScores(Protocol):
    """`(prompt) -> scores_T`, fp32: `CosineScores`, or a trained agent."""

    def __call__(self, prompt: Prompt) -> Tensor: ...


@runtime_checkable
class ChoosesByScores(Protocol):
    """A frame sampler that follows the scores of frames."""

    @property
    def scores(self) -> FrameScores: ...


@dataclass(frozen=True)
class CosineScores:
    """The cosine of each frame's feature and the question's, [T] in [-1, 1], without any training.

    `frames` names the feature of the clip [T, D], `question` that of the prompt [D]. ValueError when one is not there.
    """

    frames: str = "clip"
    question: str = "question"

    def __call__(self, prompt: Prompt) -> Tensor:
        frames_TD, question_D = features_of(prompt, self.frames, self.question)
        return cosine_similarity(frames_TD.float(), question_D.float()[None], dim=-1)


def features_of(prompt: Prompt, frames: str = "clip", question: str = "question") -> tuple[Tensor, Tensor]:
    """The feature `frames` of a prompt's clip [T, D] and the feature `question` of the prompt [D].

    ValueError, with the remedy, where one is missing, they are not one vector a frame, or of two widths: made by two
    different towers.
    """
    clip = prompt.clip
    if frames not in clip.features or question not in prompt.features:
        raise ValueError(
            f"prompt {prompt.uid}: scores of frames need the features {frames!r} of the clip and {question!r} of the "
            f"prompt, got {sorted(clip.features)} and {sorted(prompt.features)}: add them with an option of enrich="
        )
    frames_TD, question_D = clip.features[frames], prompt.features[question]
    if frames_TD.ndim != 2 or len(frames_TD) != len(clip):
        raise ValueError(
            f"prompt {prompt.uid}: clip {clip.uid} has {len(clip)} frames, but its features {frames!r} are of shape "
            f"{tuple(frames_TD.shape)}: they are of another clip; make them again"
        )
    if question_D.shape != frames_TD.shape[1:]:
        raise ValueError(
            f"prompt {prompt.uid}: the features {frames!r} of its frames have width {frames_TD.shape[1]}, {question!r} "
            f"of the question has {tuple(question_D.shape)}: they are of two towers; one option of enrich= makes both"
        )
    return frames_TD, question_D
