"""The sizes of a policy whose weights are neither loaded nor downloaded yet."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch

from kairos.policy.language import LanguagePolicy
from kairos.policy.memory.sizes import Sizes, of_model
from kairos.policy.models.architecture import Architecture
from kairos.policy.models.weights import SHIPPED


def sizes_of(policy: LanguagePolicy) -> Sizes | None:
    """What `policy.build()` will make, counted on torch's meta device; None where no `Architecture` says its sizes.

    Freezing and adapters are counted as the policy itself applies them.
    """
    if not isinstance(policy.config, Architecture):
        return None
    return of_model(_skeleton(policy).towers)


def _skeleton(policy: LanguagePolicy) -> LanguagePolicy:
    """The same policy without weights, on the meta device; a small tokenizer stands in for its own."""
    shadow = copy.copy(policy)
    shadow._modules = {}
    shadow.model = None
    shadow.weights = None
    shadow.processor = replace(policy.processor, tokenizer=SHIPPED)
    with torch.device("meta"):
        shadow.build()
    return shadow
