import pytest
import torch


@pytest.fixture
def exact_float(monkeypatch):
    """Let transformers compute in float64: its `.float()` is meant to widen, but narrows, too."""
    to_float32 = torch.Tensor.float
    monkeypatch.setattr(
        torch.Tensor, "float", lambda tensor: tensor if tensor.dtype == torch.float64 else to_float32(tensor)
    )
