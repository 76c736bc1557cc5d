import torch

from outtakes.policy.transformer.positions import sinusoid_2d


def test_image_positions_differ_everywhere():
    table = sinusoid_2d(4, 5, 16)
    assert table.shape == (20, 16)
    assert torch.cdist(table, table).fill_diagonal_(1).min() > 1e-3
