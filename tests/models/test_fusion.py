from __future__ import annotations

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from highlight_lit.models.fusion import (
    AudioOnly,
    Concatenation,
    ElementwiseProduct,
    FullTensorFusion,
    Fusion,
    LowRankFusion,
    ResidualFusion,
    VisualOnly,
)
from tests.tolerance import assert_near

SIZES = {
    "d": st.integers(2, 6),
    "R": st.integers(1, 4),
    "append_one": st.booleans(),
    "seed": st.integers(0, 999),
}


def with_one(f: Tensor) -> Tensor:
    return torch.cat([f, torch.ones(*f.shape[:-1], 1, dtype=f.dtype)], -1)


def low_rank(d: int, R: int, append_one: bool, seed: int) -> LowRankFusion:
    torch.manual_seed(seed)
    fusion = LowRankFusion(d, R, append_one).double()
    torch.nn.init.normal_(fusion.b)
    return fusion


@settings(max_examples=30, deadline=None)
@given(**SIZES)
def test_low_rank_fusion_equals_the_mode_products_with_its_materialised_core(
    d: int, R: int, append_one: bool, seed: int
) -> None:
    fusion = low_rank(d, R, append_one, seed)
    f_v, f_a = torch.randn(2, 3, 5, d, dtype=torch.float64).unbind(0)
    x, y = (with_one(f_v), with_one(f_a)) if append_one else (f_v, f_a)
    after_mode_1 = torch.tensordot(x, fusion.core(), dims=([-1], [1]))  # (3, 5, d_h, d_a)
    expected = (after_mode_1 * y[..., None, :]).sum(-1) + fusion.b
    scale = (x.norm(dim=-1) * y.norm(dim=-1)).max() * fusion.core().flatten(1).norm(dim=1).max()  # Cauchy-Schwarz
    assert_near(fusion(f_v, f_a), expected, 2 * (d + 1), R, scale=1 + scale.item())


@settings(max_examples=30, deadline=None)
@given(**SIZES)
def test_every_slice_of_the_core_has_rank_r_at_most(d: int, R: int, append_one: bool, seed: int) -> None:
    core = low_rank(d, R, append_one, seed).core()
    side = d + append_one
    assert core.shape == (d, side, side)
    assert torch.linalg.matrix_rank(core).tolist() == [min(R, side)] * d


@pytest.mark.parametrize("append_one", [False, True])
def test_full_rank_makes_any_bilinear_map_exactly(append_one: bool) -> None:
    torch.manual_seed(0)
    d = 5
    reference = FullTensorFusion(d, append_one).double()
    torch.nn.init.normal_(reference.b)
    R = d + append_one
    fusion = LowRankFusion(d, R, append_one).double()
    left, size, right = torch.linalg.svd(reference.T_c.detach())  # slice k = sum_r size_r left[:, r] right[r, :]
    U = (left * size[:, None, :]).permute(2, 0, 1).reshape(R * d, -1)
    V = right.permute(1, 0, 2).reshape(R * d, -1)
    with torch.no_grad():
        for factor, value in ((fusion.U, U), (fusion.V, V)):
            factor.weight.copy_(value[:, :d])
            if append_one:
                factor.bias.copy_(value[:, d])
        fusion.b.copy_(reference.b)
    f_v, f_a = torch.randn(2, 7, d, dtype=torch.float64).unbind(0)
    svd = 10 * d  # orthogonal transformations of the slices, of d x d, and the products of their factors
    assert_near(fusion(f_v, f_a), reference(f_v, f_a), svd, (d + 1) ** 2)


@given(d=st.integers(1, 12), seed=st.integers(0, 2**31))
def test_a_clips_score_can_be_any_bilinear_form_already_at_rank_one(d: int, seed: int) -> None:
    # The head adds up the d slices of the core, M = sum_k w_k T_c[k]: no rank R bounds a score's, the width d alone does.
    torch.manual_seed(seed)
    M = torch.randn(d, d, dtype=torch.float64)
    P, s, Q = torch.linalg.svd(M)
    fusion, head = LowRankFusion(d, R=1).double(), torch.nn.Linear(d, 1).double()
    with torch.no_grad():
        fusion.U.weight.copy_((P * s).T)
        fusion.V.weight.copy_(Q)
        head.weight.fill_(1.0)
        head.bias.zero_()
        f_v, f_a = torch.randn(2, 5, d, dtype=torch.float64).unbind(0)
        expected = ((f_v @ M) * f_a).sum(-1)
        scale = (f_v.norm(dim=-1) * s[0] * f_a.norm(dim=-1)).max().item()
        assert_near(head(fusion(f_v, f_a)).squeeze(-1), expected, 10 * d, 3 * d, scale=1 + scale)  # 10 d: the SVD's


def test_full_tensor_fusion_equals_a_loop_over_its_three_modes() -> None:
    torch.manual_seed(0)
    fusion = FullTensorFusion(3, append_one=True).double()
    f_v, f_a = torch.randn(2, 3, dtype=torch.float64).unbind(0)
    x, y = [*f_v.tolist(), 1.0], [*f_a.tolist(), 1.0]
    expected = [
        sum(fusion.T_c[k, i, j].item() * x[i] * y[j] for i in range(4) for j in range(4)) + fusion.b[k].item()
        for k in range(3)
    ]
    assert_near(fusion(f_v, f_a), torch.tensor(expected, dtype=torch.float64), 16)


def test_a_silent_clip_without_the_appended_one_is_left_with_the_bias() -> None:
    fusion = low_rank(6, 3, append_one=False, seed=1)
    f_h = fusion(torch.randn(9, 6, dtype=torch.float64), torch.zeros(9, 6, dtype=torch.float64))
    assert torch.equal(f_h, fusion.b.expand(9, 6))


def test_a_silent_clip_with_the_appended_one_keeps_its_visual() -> None:
    fusion = low_rank(6, 3, append_one=True, seed=1)
    f_v = torch.randn(9, 6, dtype=torch.float64)
    f_h = fusion(f_v, torch.zeros_like(f_v))
    visual = fusion.core()[:, :6, 6]  # the terms in which the appended 1 stands in for audio
    constant = fusion.core()[:, 6, 6] + fusion.b
    assert_near(f_h, f_v @ visual.T + constant, 2 * 7, 3)
    assert torch.linalg.matrix_rank(visual) == 6


@pytest.mark.parametrize("d", [32, 128])
@pytest.mark.parametrize(
    "make",
    [
        partial(LowRankFusion, R=1),
        partial(LowRankFusion, R=8),
        partial(LowRankFusion, R=8, append_one=True),
        partial(FullTensorFusion),
        partial(FullTensorFusion, append_one=True),
        partial(Concatenation),
        partial(ResidualFusion, R=8),
        partial(VisualOnly),
    ],
)
def test_a_fresh_fusion_has_about_the_size_of_the_picture(make: partial[Fusion], d: int) -> None:
    torch.manual_seed(0)
    ratios = []
    for _ in range(8):
        f_v, f_a = torch.relu(torch.randn(2, 100, d)).unbind(0)
        ratios.append(make(d=d)(f_v, f_a).square().mean() / f_v.square().mean())
    assert 0.5 < torch.stack(ratios).mean() < 2.0


def test_residual_fusion_is_the_picture_plus_the_scaled_product() -> None:
    torch.manual_seed(0)
    fusion = ResidualFusion(4, R=2).double()
    f_v, f_a = torch.randn(2, 5, 4, dtype=torch.float64).unbind(0)
    assert torch.equal(fusion(f_v, f_a), f_v)  # where training starts
    torch.nn.init.constant_(fusion.scale, 0.3)
    assert_near(fusion(f_v, f_a), f_v + 0.3 * fusion.product(f_v, f_a), 2)
    fusion(f_v, f_a).sum().backward()
    assert fusion.scale.grad is not None and fusion.scale.grad != 0


def test_concatenation_is_a_sum_of_one_map_a_stream() -> None:
    torch.manual_seed(0)
    fusion = Concatenation(4).double()
    f_v, f_a = torch.randn(2, 5, 4, dtype=torch.float64).unbind(0)
    weight, bias = fusion.W.weight, fusion.W.bias
    assert_near(fusion(f_v, f_a), f_v @ weight[:, :4].T + f_a @ weight[:, 4:].T + bias, 8 + 1)


def test_the_fusions_without_weights() -> None:
    f_v, f_a = torch.randn(2, 5, 4).unbind(0)
    assert torch.equal(ElementwiseProduct(4)(f_v, f_a), f_v * f_a)
    assert torch.equal(VisualOnly(4)(f_v, None), f_v)
    assert torch.equal(AudioOnly(4)(None, f_a), f_a)


def test_each_fusion_names_the_streams_it_reads() -> None:
    assert VisualOnly(4).streams == ("visual",)
    assert AudioOnly(4).streams == ("audio",)
    for fusion in (LowRankFusion(4, 2), FullTensorFusion(4), Concatenation(4), ResidualFusion(4, 2)):
        assert fusion.streams == ("visual", "audio")


@pytest.mark.parametrize("fusion", [LowRankFusion, ResidualFusion])
def test_a_rank_of_zero_is_refused_by_name(fusion: type[LowRankFusion | ResidualFusion]) -> None:
    with pytest.raises(ValueError, match="^R: .*at least 1, got 0"):
        fusion(4, R=0)
