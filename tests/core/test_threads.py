"""Fewer of torch's threads for a while."""

from __future__ import annotations

import pytest
import torch

from kairos.core.threads import one_host_thread, threads


@pytest.mark.parametrize(("count", "inside"), [(1, 1), (2, 2), (9, 3), (0, 1)])
def test_at_most_as_many_as_asked_at_least_one_and_then_as_before(count: int, inside: int):
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with pytest.raises(RuntimeError, match="inside"), threads(count):
            assert torch.get_num_threads() == inside
            raise RuntimeError("inside")
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("device", "inside"), [("cuda", 1), ("cpu", 3)])
def test_beside_a_gpu_one_does(device: str, inside: int):
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with one_host_thread(torch.device(device)):
            assert torch.get_num_threads() == inside
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
