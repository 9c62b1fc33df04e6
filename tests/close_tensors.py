"""Compare tensors by name: types, shapes, and values relative to the largest of each."""

import torch


def assert_same(ours, stock, tolerance):
    assert ours.keys() == stock.keys()
    for name, expected in stock.items():
        assert ours[name].dtype == expected.dtype, name
        assert ours[name].shape == expected.shape, name
        scale = max(1, expected.abs().max())
        torch.testing.assert_close(ours[name] / scale, expected / scale, rtol=0, atol=tolerance, msg=name)
