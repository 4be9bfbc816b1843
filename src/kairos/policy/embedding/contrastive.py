"""The loss that brings images and the captions that are true of them together, as CLIP is trained."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import normalize


def contrastive_loss(images_ND: Tensor, texts_MD: Tensor, true_NM: Tensor, scale: Tensor) -> Tensor:
    """Mean cross-entropy of picking a true caption for each image, and a true image for each caption.

    CLIP (arXiv 2103.00020) takes its own caption alone for true; here `true_NM` (bool) may hold several pairs a row,
    which share the target evenly (as in supervised contrastive learning, arXiv 2004.11362). `scale` multiplies the
    cosines. ValueError where an image or a caption has no true partner.
    """
    if not (true_NM.any(1).all() and true_NM.any(0).all()):
        raise ValueError("every image needs a caption that is true of it in the batch, and every caption an image")
    logits_NM = scale * normalize(images_ND, dim=-1) @ normalize(texts_MD, dim=-1).T
    return (_cross_entropy(logits_NM, true_NM) + _cross_entropy(logits_NM.T, true_NM.T)) / 2


def _cross_entropy(logits_NM: Tensor, true_NM: Tensor) -> Tensor:
    target_NM = true_NM / true_NM.sum(1, keepdim=True)
    return -(target_NM * logits_NM.log_softmax(1)).sum(1).mean()


def true_pairs(shown_NF: Tensor, stated_MF: Tensor) -> Tensor:
    """bool [N, M]: whether image n shows every fact that caption m states. Both bool, over the same facts F.

    >>> import torch
    >>> true_pairs(torch.tensor([[True, True], [True, False]]), torch.tensor([[True, False], [True, True]])).tolist()
    [[True, True], [True, False]]
    """
    return ((~shown_NF).float() @ stated_MF.float().T) == 0
