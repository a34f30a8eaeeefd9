"""Fusion of visual and audio: one clip's f_v and f_a into one f_h.

Every class is built from the width d, is called with f_v (..., d) and f_a (..., d), and returns f_h (..., d). Its
`streams` name the inputs it reads; the network builds no embedding for the others and passes None in their place.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Mean square of relu(x) for x of mean 0 and variance 1: the size at which f_v and f_a are taken to arrive. Products
# of fresh projections are the danger here: with the usual small weights two small numbers are multiplied, f_h starts
# near nothing, and with plain SGD it may take most of a training to grow. So each fusion below draws its weights for
# a mean square of f_h equal to that of f_v.
RELU_SQUARE = 0.5


class Fusion(nn.Module):
    """The interface of a fusion: two embedded streams in, one fused vector out.

    It is told no mask, so clips of a bag are not to be compared with each other: attention across clips is a context.

    Attributes:
        streams: names of the streams that are read.
        reach: clips on either side that a clip's f_h depends on; None, as here: all of its bag, so that a video is scored
            whole, however long it is.
    """

    streams: ClassVar[tuple[str, ...]] = ("visual", "audio")
    reach: ClassVar[int | None] = None

    def __init__(self, d: int) -> None:
        """Keep the width.

        Args:
            d: embedding width, of f_v, f_a and f_h alike.
        """
        super().__init__()
        self.d = d

    def forward(self, f_v: Tensor, f_a: Tensor) -> Tensor:
        """Fuse two streams.

        Args:
            f_v: embedded visual features, (..., d).
            f_a: embedded audio features, (..., d); zero where a clip is silent.

        Returns:
            f_h, (..., d).
        """
        raise NotImplementedError


class LowRankFusion(Fusion):
    """Low-rank tensor fusion: `f_h = sum_{r=1..R} (U_r f_v) * (V_r f_a) + b`, in O(R d^2).

    This is `(T_c x1 f_v) x2 f_a` (supplement, section 2) for a core whose every slice has rank R at most; `core`
    spells that core out.

    >>> fusion = LowRankFusion(d=4, R=2)
    >>> tuple(fusion(torch.ones(3, 60, 4), torch.ones(3, 60, 4)).shape)
    (3, 60, 4)
    """

    reach = 0

    def __init__(self, d: int, R: int, append_one: bool = False) -> None:
        """Draw the factors.

        Args:
            d: embedding width.
            R: rank of each slice of the core, at least 1; the paper's best is 8.
            append_one: append a 1 to f_v and to f_a, as in low-rank multimodal fusion (Liu et al. 2018). It adds
                the terms of either stream alone, so a silent clip (f_a = 0) keeps its visual part. Without it such a
                clip is left with b.

        Raises:
            ValueError: R is less than 1.
        """
        super().__init__(d)
        if R < 1:
            raise ValueError(f"R: the rank must be at least 1, got {R}")
        self.R = R
        # U_r [f_v; 1] is a linear map with a bias: appending needs no copy of f_v.
        self.U = nn.Linear(d, R * d, bias=append_one)
        self.V = nn.Linear(d, R * d, bias=append_one)
        self.b = nn.Parameter(torch.zeros(d))
        terms = 4 if append_one else 1  # product, visual, audio, constant: equal shares
        share = (RELU_SQUARE / (terms * R)) ** 0.25
        for factor in (self.U, self.V):
            nn.init.normal_(factor.weight, std=share * (RELU_SQUARE * d) ** -0.5)
            if append_one:
                nn.init.normal_(factor.bias, std=share)

    def forward(self, f_v: Tensor, f_a: Tensor) -> Tensor:
        products: Tensor = self.U(f_v) * self.V(f_a)  # (..., R*d)
        return products.view(*products.shape[:-1], self.R, self.d).sum(-2) + self.b  # (..., d)

    def core(self) -> Tensor:
        """Materialise the core tensor: `T_c[k, i, j] = sum_r U_r[k, i] V_r[k, j]`.

        Returns:
            T_c, (d, d, d), its axes those of f_h, f_v, f_a; with `append_one` (d, d+1, d+1), the 1 last.
        """
        U, V = (
            (factor.weight if factor.bias is None else torch.cat([factor.weight, factor.bias[:, None]], 1))
            for factor in (self.U, self.V)
        )
        shape = (self.R, self.d, -1)
        return torch.einsum("rki,rkj->kij", U.view(shape), V.view(shape))


class FullTensorFusion(Fusion):
    """Fusion by a whole core tensor, `f_h = (T_c x1 f_v) x2 f_a + b`: the O(d^3) reference (supplement, section 2)."""

    reach = 0

    def __init__(self, d: int, append_one: bool = False) -> None:
        """Draw the core.

        Args:
            d: embedding width; the core holds d^3 numbers.
            append_one: append a 1 to f_v and to f_a, as in `LowRankFusion`.
        """
        super().__init__(d)
        self.append_one = append_one
        column = torch.full((d,), (RELU_SQUARE * d) ** -0.5)
        terms = 1
        if append_one:
            column, terms = torch.cat([column, torch.ones(1)]), 4
        std = (RELU_SQUARE / terms) ** 0.5 * torch.outer(column, column)
        self.T_c = nn.Parameter(torch.randn(d, *std.shape) * std)
        self.b = nn.Parameter(torch.zeros(d))

    def forward(self, f_v: Tensor, f_a: Tensor) -> Tensor:
        if self.append_one:
            f_v, f_a = F.pad(f_v, (0, 1), value=1.0), F.pad(f_a, (0, 1), value=1.0)
        return F.bilinear(f_v, f_a, self.T_c, self.b)


class Concatenation(Fusion):
    """A linear map of the two streams side by side: `f_h = W [f_v; f_a] + b`.

    With modality dropout a training bag may lose a whole stream, so that neither is leant on alone (after Neverova et
    al., TPAMI 2016). The first dimension of f_v and f_a is that of bags.
    """

    reach = 0

    def __init__(self, d: int, modality_dropout: float = 0.0) -> None:
        """Draw the map.

        Args:
            d: embedding width.
            modality_dropout: q in [0, 1): in training a bag's f_v is zero with chance q, otherwise its f_a is zero with
                chance q. What stays is not scaled.

        Raises:
            ValueError: q is out of its range.
        """
        super().__init__(d)
        if not 0.0 <= modality_dropout < 1.0:
            raise ValueError(f"modality_dropout: must be in [0, 1), got {modality_dropout}")
        self.modality_dropout = modality_dropout
        self.W = nn.Linear(2 * d, d)
        nn.init.normal_(self.W.weight, std=(2 * d) ** -0.5)
        nn.init.zeros_(self.W.bias)

    def forward(self, f_v: Tensor, f_a: Tensor) -> Tensor:
        if self.training and self.modality_dropout > 0.0:
            lose_v, lose_a = (
                torch.rand(2, *f_v.shape[:1], *[1] * (f_v.dim() - 1), device=f_v.device) < self.modality_dropout
            )
            f_v, f_a = f_v.masked_fill(lose_v, 0.0), f_a.masked_fill(lose_a & ~lose_v, 0.0)
        f_h: Tensor = self.W(torch.cat([f_v, f_a], -1))
        return f_h


class ElementwiseProduct(Fusion):
    """`f_h = f_v * f_a`, without a weight of its own. A silent clip has f_h = 0."""

    reach = 0

    def forward(self, f_v: Tensor, f_a: Tensor) -> Tensor:
        return f_v * f_a


class ResidualFusion(Fusion):
    """The visual stream, plus the low-rank product by a learned scale: `f_h = f_v + s * lowrank(f_v, f_a)`.

    Training starts at the visual stream alone, and audio enters as far as it helps: a branch whose scale starts at zero, as
    in ReZero (Bachlechner et al., UAI 2021). On few videos a product of full size lets audio name each video, which
    tells bags apart and clips not at all.
    """

    reach = 0

    def __init__(self, d: int, R: int, scale: float = 0.0, append_one: bool = False) -> None:
        """Draw the product's factors.

        Args:
            d: embedding width.
            R: rank of the product's core, at least 1.
            scale: s at the start.
            append_one: as in `LowRankFusion`.

        Raises:
            ValueError: R is less than 1.
        """
        super().__init__(d)
        self.product = LowRankFusion(d, R, append_one)
        self.scale = nn.Parameter(torch.tensor(float(scale)))

    def forward(self, f_v: Tensor, f_a: Tensor) -> Tensor:
        product: Tensor = self.product(f_v, f_a)
        return f_v + self.scale * product


class VisualOnly(Fusion):
    """The visual stream alone: `f_h = f_v`."""

    reach = 0
    streams: ClassVar[tuple[str, ...]] = ("visual",)

    def forward(self, f_v: Tensor, f_a: Tensor | None = None) -> Tensor:
        return f_v


class AudioOnly(Fusion):
    """The audio stream alone: `f_h = f_a`."""

    reach = 0
    streams: ClassVar[tuple[str, ...]] = ("audio",)

    def forward(self, f_v: Tensor | None, f_a: Tensor) -> Tensor:
        return f_a
