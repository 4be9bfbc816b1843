"""Builds the references (frozen scorers) that terms of the loss name, and checks that they fit the policy."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from kairos.core.protocols import ChecksTokens, Policy, Reference, Scorer
from kairos.core.types import START

_PROBE = "<answer>2.0 to 6.5</answer>"


def needed(names: frozenset[str], configured: Mapping[str, Reference]) -> dict[str, Reference]:
    """The configured references that terms name, without `start`. ValueError for a name that is not configured."""
    if START in configured:
        raise ValueError(f"references.{START}: {START!r} is the policy before any update; choose another name")
    if unknown := sorted(names - {START, *configured}):
        known = ", ".join([f"{START} (the policy before any update)", *sorted(configured)])
        raise ValueError(
            f"the objective compares with the reference {unknown[0]!r}, and there are: {known}. Configure it as "
            f"references.{unknown[0]} (conf/references/teacher.yaml shows how), or correct the term's `reference`"
        )
    return {name: configured[name] for name in sorted(names - {START})}


def build(name: str, reference: Reference, policy: Policy) -> Scorer:
    """Load a reference's weights and freeze them. ValueError if its actions (tokens) are not those of `policy`."""
    reference.build()
    if isinstance(reference, nn.Module):
        reference.requires_grad_(False).eval()
    try:
        if isinstance(reference, ChecksTokens):
            reference.check_tokens(policy)
        elif isinstance(reference, Policy):
            _check_encoding(reference, policy)
    except ValueError as error:
        raise ValueError(f"references.{name} cannot score what the policy writes: {error}") from error
    return reference


def _check_encoding(reference: Policy, policy: Policy) -> None:
    mine, theirs = _encoded(policy), _encoded(reference)
    if mine != theirs:
        raise ValueError(f"{_PROBE!r} is {mine} to the policy and {theirs} to the reference")


def _encoded(policy: Policy) -> list[int] | None:
    """The actions that write `_PROBE`; None if actions are not text."""
    try:
        return policy.encode(_PROBE).tolist()
    except ValueError:
        return None
