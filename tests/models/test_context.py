from __future__ import annotations

import itertools
from typing import cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from highlight_lit.models.context import TemporalContext
from tests.tolerance import FUNCTION, assert_near

STEP = 4 * 8 + 5 * FUNCTION + 5  # roundings of one step at d = 8: sums over xi, gates, their sum
SWITCHES = list(itertools.product([False, True], [False, True]))


def slow_reference(context: TemporalContext, f_h: Tensor, n: int) -> Tensor:
    """One bag, clip by clip, step by step, straight from the equations: f_h (tau, d), of which n clips exist."""
    d, zero = context.d, torch.zeros(context.d, dtype=f_h.dtype)
    h = c = [f_h[s] for s in range(n)]
    for t in range(context.T):
        at = 0 if context.shared else t
        layer = cast(nn.Linear, context.W[at])
        weight, bias = layer.weight.detach(), layer.bias
        if context.global_state:
            weight = torch.cat([weight, cast(nn.Linear, context.W_g[at]).weight], 1)
            g = sum(h, zero) / n
        new_h, new_c = [], []
        for s in range(n):
            h_before, c_before = (h[s - 1], c[s - 1]) if s > 0 else (zero, zero)
            h_after, c_after = (h[s + 1], c[s + 1]) if s < n - 1 else (zero, zero)
            xi = torch.cat([h_before, h[s], h_after, f_h[s]] + ([g] if context.global_state else []))
            blocks = list((weight @ xi + bias).view(-1, d))
            gates = [blocks.pop(0).exp() for _ in range(5 if context.global_state else 4)]
            total = sum(gates, zero)
            u = torch.tanh(blocks.pop(0))
            terms = [c_before, c[s], c_after, u] + ([g] if context.global_state else [])
            state = sum((gate / total * term for gate, term in zip(gates, terms, strict=True)), zero)
            new_c.append(state)
            new_h.append(torch.sigmoid(blocks[0]) * torch.tanh(state) if blocks else zero)
        h, c = new_h, new_c
    return torch.stack(c)


@pytest.mark.parametrize(("shared", "global_state"), SWITCHES)
@pytest.mark.parametrize("T", [0, 1, 2, 3])
def test_context_equals_a_loop_over_clips_and_steps(T: int, shared: bool, global_state: bool) -> None:
    torch.manual_seed(T)
    context = TemporalContext(3, T, shared, global_state).double()
    f_h = torch.randn(3, 6, 3, dtype=torch.float64)
    lengths = [6, 4, 1]
    mask = torch.arange(6) < torch.tensor(lengths)[:, None]
    c = context(f_h, mask)
    for bag, n in enumerate(lengths):
        assert_near(c[bag, :n], slow_reference(context, f_h[bag], n), T * STEP)
        assert not c[bag, n:].any()


@settings(max_examples=20, deadline=None)
@given(
    T=st.integers(0, 3),
    switches=st.sampled_from(SWITCHES),
    tau=st.integers(1, 7),
    padding=st.integers(1, 5),
    seed=st.integers(0, 999),
)
def test_padded_clips_change_no_clip_state(
    T: int, switches: tuple[bool, bool], tau: int, padding: int, seed: int
) -> None:
    torch.manual_seed(seed)
    context = TemporalContext(8, T, *switches).double()
    f_h = torch.randn(2, tau, 8, dtype=torch.float64)
    padded = torch.cat([f_h, 100 * torch.randn(2, padding, 8)], 1)
    mask = (torch.arange(tau + padding) < tau).expand(2, -1)
    c = context(padded, mask)
    assert_near(c[:, :tau], context(f_h, mask[:, :tau]), T * STEP)
    assert not c[:, tau:].any()


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("T", [0, 1, 2, 3])
def test_a_clip_reads_t_clips_to_either_side_and_no_others(T: int, shared: bool) -> None:
    torch.manual_seed(0)
    context = TemporalContext(4, T, shared)
    f_h = torch.randn(1, 11, 4, requires_grad=True)
    context(f_h, torch.ones(1, 11, dtype=torch.bool))[0, 5].square().sum().backward()
    assert f_h.grad is not None
    read = f_h.grad[0].abs().sum(-1) > 0
    assert read.tolist() == [abs(s - 5) <= T for s in range(11)]


def test_with_a_global_state_a_clip_reads_the_whole_bag() -> None:
    torch.manual_seed(0)
    context = TemporalContext(4, 1, global_state=True)
    f_h = torch.randn(1, 9, 4, requires_grad=True)
    mask = torch.arange(9)[None] < 7
    context(f_h, mask)[0, 0].square().sum().backward()
    assert f_h.grad is not None
    assert (f_h.grad[0].abs().sum(-1) > 0).tolist() == [True] * 7 + [False] * 2


def test_no_step_returns_the_fused_clips() -> None:
    f_h, mask = torch.randn(1, 4, 3), torch.tensor([[True, True, True, False]])
    c = TemporalContext(3, T=0)(f_h, mask)
    assert torch.equal(c[0, :3], f_h[0, :3]) and not c[0, 3].any()


@pytest.mark.parametrize(("shared", "global_state"), SWITCHES)
@pytest.mark.parametrize("T", [1, 2, 3])
def test_every_weight_learns(T: int, shared: bool, global_state: bool) -> None:
    torch.manual_seed(0)
    context = TemporalContext(4, T, shared, global_state)
    assert len(context.W) == (1 if shared else T)
    context(torch.randn(2, 5, 4), torch.ones(2, 5, dtype=torch.bool)).square().sum().backward()
    for name, parameter in context.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all() and (parameter.grad != 0).all(), name


def test_a_negative_number_of_steps_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="^T: .*from 0 to 1024, got -1"):
        TemporalContext(4, T=-1)
