"""Sampling noise is a pure function: it does not know how a batch was cut."""

from __future__ import annotations

import torch

from kairos.core.seeds import mix, uniforms


def test_noise_does_not_depend_on_how_rows_are_batched():
    whole = uniforms(7, "clip", 8, 5)
    parts = torch.cat([uniforms(7, "clip", 3, 5), uniforms(7, "clip", 5, 5, first_row=3)])
    assert torch.equal(whole, parts)
    assert torch.equal(whole[:, :2], uniforms(7, "clip", 8, 2))


def test_noise_differs_by_seed_name_row_and_position():
    noise = uniforms(7, "clip", 50, 50)
    assert noise.unique().numel() == 2500
    assert not torch.equal(noise, uniforms(8, "clip", 50, 50))
    assert not torch.equal(noise, uniforms(7, "other", 50, 50))


def test_noise_is_uniform_and_never_touches_its_ends():
    noise = uniforms(0, "x", 200, 500)
    assert noise.dtype == torch.float64 and noise.shape == (200, 500)
    assert noise.min() > 0 and noise.max() < 1
    assert abs(noise.mean() - 0.5) < 0.005 and abs(noise.var() - 1 / 12) < 0.002
    counts = torch.histc(noise.float(), bins=20, min=0, max=1)
    assert (counts / 5000 - 1).abs().max() < 0.06
    neighbours = torch.corrcoef(torch.stack([noise[:, 1:].flatten(), noise[:, :-1].flatten()]))[0, 1]
    assert abs(neighbours) < 0.01


def test_the_numbers_are_the_same_for_ever():
    """A changed generator would change every run that is continued: pinned."""
    assert mix(0, "clip", 3) == 906020286880306744
    assert uniforms(0, "clip", 1, 2)[0].tolist() == [0.4555389072319836, 0.6748694408098828]


def test_mix_tells_numbers_from_names_and_parts_from_their_join():
    assert len({mix(1, 2), mix("1", 2), mix(12), mix("12"), mix(2, 1), mix("1", "2")}) == 6
    assert 0 <= mix("any") < 2**63
