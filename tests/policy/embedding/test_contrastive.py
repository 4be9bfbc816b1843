"""The contrastive loss: CLIP's own where each image has one caption, and shared targets where it has several."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy, normalize

from kairos.policy.embedding.contrastive import contrastive_loss, true_pairs


def test_with_one_true_caption_an_image_it_is_the_loss_of_clip():
    images, texts = torch.randn(2, 5, 8)
    logits = 3.0 * normalize(images, dim=-1) @ normalize(texts, dim=-1).T
    expected = (cross_entropy(logits, torch.arange(5)) + cross_entropy(logits.T, torch.arange(5))) / 2
    torch.testing.assert_close(contrastive_loss(images, texts, torch.eye(5).bool(), torch.tensor(3.0)), expected)


def test_captions_that_are_true_of_an_image_share_its_target():
    images = torch.eye(2, 4)
    texts = torch.tensor([[1.0, 0, 0, 0], [0, 1.0, 0, 0], [1.0, 0, 0, 0]])
    true = torch.tensor([[True, False, True], [False, True, False]])
    good, bad = (
        contrastive_loss(images, texts, true, torch.tensor(50.0)),
        contrastive_loss(images, texts, torch.tensor([[True, False, False], [False, True, True]]), torch.tensor(50.0)),
    )
    assert float(good) == pytest.approx(0.25 * torch.tensor(2.0).log().item(), abs=1e-5), "two equal captions of one"
    assert float(bad) > 5


def test_an_image_without_a_true_caption_is_refused():
    with pytest.raises(ValueError, match="every image needs a caption"):
        contrastive_loss(
            torch.randn(2, 4), torch.randn(2, 4), torch.tensor([[True, True], [False, False]]), torch.ones(())
        )


def test_a_caption_is_true_of_what_shows_all_that_it_states():
    shown = torch.tensor([[1, 1, 0], [0, 1, 1]]).bool()
    stated = torch.tensor([[1, 0, 0], [0, 1, 0], [1, 1, 0]]).bool()
    assert true_pairs(shown, stated).tolist() == [[True, True, True], [False, True, False]]
