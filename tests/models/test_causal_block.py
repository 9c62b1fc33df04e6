import pytest
import torch

from hf_nextfail.models.causal_block import CausalBlock


def block(width=24):
    torch.manual_seed(0)
    return CausalBlock(width).double()


def norm(x):
    return x / (x.pow(2).mean(dim=-1, keepdim=True) + torch.finfo(x.dtype).eps).sqrt()


def test_it_is_a_pre_norm_block_that_ends_with_a_norm():
    made, states = block(width=16), torch.randn(1, 5, 16, dtype=torch.float64)
    keys, values = (norm(states[0]) @ made.key_value.weight.T).chunk(2, dim=1)
    for t in range(5):
        query = norm(states[0, t]) @ made.query.weight.T
        seen = ((keys[: t + 1] @ query) / 16**0.5).softmax(dim=0)
        state = states[0, t] + made.attention_output.weight @ (seen @ values[: t + 1])
        first, _, second = made.mlp
        inner = torch.nn.functional.gelu(first.weight @ norm(state) + first.bias)
        state = state + second.weight @ inner + second.bias
        torch.testing.assert_close(made(states)[0, t], norm(state))


def test_no_state_is_mixed_with_later_ones():
    made, states = block(), torch.randn(2, 6, 24, dtype=torch.float64)
    changed = states.clone()
    changed[:, 3] += 1
    before, after = made(states), made(changed)
    torch.testing.assert_close(after[:, :3], before[:, :3])
    assert ((after - before)[:, 3:].abs().amax(dim=2) > 1e-3).all()


@pytest.mark.parametrize("num_kept", [1, 4, 6])
def test_the_last_positions_alone_are_those_of_all(num_kept):
    made, states = block(), torch.randn(2, 6, 24, dtype=torch.float64)
    torch.testing.assert_close(made(states, num_kept), made(states)[:, -num_kept:])


@pytest.mark.parametrize(("width", "num_heads"), [(16, 1), (24, 3), (128, 2), (384, 6)])
def test_a_head_of_attention_is_64_wide_where_that_goes(width, num_heads):
    assert width // CausalBlock(width).head_width == num_heads
