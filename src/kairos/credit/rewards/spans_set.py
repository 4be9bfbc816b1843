"""A reward term that compares a list of spans with the annotated spans as sets."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kairos.core.spans import set_iou
from kairos.core.types import RolloutGroup
from kairos.credit.rewards.answered import answers, template_of
from kairos.credit.rewards.grounding import annotated_spans


@dataclass(frozen=True)
class SetIoU:
    """IoU of all stated with all annotated seconds, [G] in [0, 1]; 0 where the answer states no proper span.

    Under a template that lists spans `IoU` gives the same. ValueError under a template that reads one span, and if no
    span is annotated.
    """

    def __call__(self, group: RolloutGroup) -> Tensor:
        spans = annotated_spans(group)
        if not template_of(group.prompt).grammar.many:
            raise ValueError(
                f"prompt {group.prompt.uid!r}: its template reads one span an answer, so sets of spans cannot be "
                "compared; take a template that lists spans (template=spans), or reward=iou_format"
            )
        return torch.tensor([set_iou(answer.spans, spans) for answer in answers(group)])
