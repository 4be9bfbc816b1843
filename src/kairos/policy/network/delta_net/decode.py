"""One decode step of a gated delta net for B sequences: two kernels on a GPU, plain torch (`*_plain`) elsewhere."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import silu

from kairos.policy.network.delta_net.rule import l2_normalized, repeat_heads
from kairos.policy.network.kernels.dispatch import uses_triton
from kairos.policy.network.kernels.elementwise import contiguous_by_token
from kairos.policy.network.kernels.launch import launch, next_power_of_2

_CHANNELS = 512  # of one program of the convolution
_VALUES = 32  # columns of a state that one program updates


def convolve_one(mixed_BD: Tensor, recent_BKD: Tensor, weight_DK: Tensor) -> Tensor:
    """silu(convolution) of each sequence's next input: [B, D] in the dtype of `mixed`.

    `recent` [B, K - 1, D] holds the last inputs; it is shifted by one in place.
    """
    if not uses_triton(mixed_BD):
        return convolve_one_plain(mixed_BD, recent_BKD, weight_DK)
    from kairos.policy.network.kernels.triton import delta_decode as decode_kernels  # Triton is not everywhere

    assert recent_BKD.is_contiguous()
    (rows, width), mixed, weight = mixed_BD.shape, contiguous_by_token(mixed_BD), weight_DK.contiguous()
    out = mixed.new_empty(mixed.shape)
    launch(
        decode_kernels.convolve, (rows, -(-width // _CHANNELS)),
        mixed, recent_BKD, weight, out, mixed.stride(0), width,
        REACH=weight.shape[1], BLOCK=_CHANNELS, num_warps=4,
    )  # fmt: skip
    return out


def convolve_one_plain(mixed_BD: Tensor, recent_BKD: Tensor, weight_DK: Tensor) -> Tensor:
    window_BKD = torch.cat([recent_BKD, mixed_BD[:, None]], dim=1)
    recent_BKD.copy_(window_BKD[:, 1:])
    return silu(weighed(window_BKD, weight_DK))


def weighed(window_MKD: Tensor, weight_DK: Tensor) -> Tensor:
    """Windows of K inputs times their channels' weights, summed in fp32: [M, D]."""
    return (window_MKD.float() * weight_DK.T.float()).sum(1).to(window_MKD.dtype)


def one_token(
    q_BHK: Tensor, k_BHK: Tensor, v_BHV: Tensor, decay_BH: Tensor, beta_BH: Tensor, state_BHKV: Tensor
) -> Tensor:
    """The delta rule for one token: fp32 outputs [B, H, V]. Updates the contiguous fp32 state in place; no gradient."""
    if not uses_triton(state_BHKV):
        return one_token_plain(q_BHK, k_BHK, v_BHV, decay_BH, beta_BH, state_BHKV)
    from kairos.policy.network.kernels.triton import delta_decode as decode_kernels  # Triton is not everywhere

    assert state_BHKV.is_contiguous()
    q, k, v = (x if x.stride()[1:] == (x.shape[2], 1) else x.contiguous() for x in (q_BHK, k_BHK, v_BHV))
    rows, heads, keys, values = state_BHKV.shape
    out = state_BHKV.new_empty(rows, heads, values)
    block = min(_VALUES, next_power_of_2(values))
    launch(
        decode_kernels.delta, (rows * heads, -(-values // block)),
        q, k, v, decay_BH.contiguous(), beta_BH.contiguous(), state_BHKV, out,
        q.stride(0), k.stride(0), v.stride(0), keys**-0.5,
        HEADS=heads, SHARE=heads // q.shape[1], KEYS=keys, VALUES=values, ROWS=next_power_of_2(keys), BLOCK=block,
        num_warps=4,
    )  # fmt: skip
    return out


def one_token_plain(
    q_BHK: Tensor, k_BHK: Tensor, v_BHV: Tensor, decay_BH: Tensor, beta_BH: Tensor, state_BHKV: Tensor
) -> Tensor:
    with torch.autocast(q_BHK.device.type, enabled=False):
        heads = v_BHV.shape[1]
        q, k = (l2_normalized(repeat_heads(x, heads)) for x in (q_BHK, k_BHK))
        state_BHKV.mul_(decay_BH.float().exp()[..., None, None])
        missing = v_BHV.float() - (k[:, :, None] @ state_BHKV).squeeze(2)
        written = missing * beta_BH.float()[..., None]
        state_BHKV.flatten(0, 1).baddbmm_(k.flatten(0, 1)[:, :, None], written.flatten(0, 1)[:, None])
        return (q[:, :, None] @ state_BHKV).squeeze(2) * q.shape[-1] ** -0.5
