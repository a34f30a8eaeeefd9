"""The network: embedding -> fusion -> temporal context -> heads."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from highlight_lit.models.fusion import Fusion
from highlight_lit.models.pooling import Pooling


class Detection(NamedTuple):
    """What a network says of a batch of bags.

    Attributes:
        z: clip logits, by which clips are ranked, (B, tau); 0 at padded clips, which the reader must mask.
        z_hat: bag logits, (B,).
        alpha: weights of the clips in their bag, (B, tau); 0 at padded clips. LIM while training: logits h of pairs.
    """

    z: Tensor
    z_hat: Tensor
    alpha: Tensor


class HighlightNet(nn.Module):
    """Weakly supervised highlight detector of "Temporal Cue Guided Video Highlight Detection" (ICCV 2021).

        v, a -> f_v, f_a -> f_h -> c -> z, p = sigmoid(z)
                                     -> z_hat, p_hat = sigmoid(z_hat)

    One linear head gives the logits of clips and bag (supplement, eqs. 4 and 5): labels of whole videos alone train
    a score for every clip.

    >>> from functools import partial
    >>> from highlight_lit.models.context import TemporalContext
    >>> from highlight_lit.models.fusion import LowRankFusion
    >>> from highlight_lit.models.pooling import SoftmaxGate
    >>> net = HighlightNet(512, 128, 32, partial(LowRankFusion, R=8), TemporalContext, SoftmaxGate)
    >>> clips = torch.ones(2, 60, dtype=torch.bool)
    >>> z, z_hat, alpha = net(torch.randn(2, 60, 512), torch.randn(2, 60, 128), clips, clips)
    >>> tuple(z.shape), tuple(z_hat.shape), tuple(alpha.shape)
    ((2, 60), (2,), (2, 60))
    """

    def __init__(
        self,
        Dv: int | None,
        Da: int | None,
        d: int,
        fusion: Callable[..., Fusion],
        context: Callable[..., nn.Module],
        pooling: Callable[..., Pooling],
        dropout: float = 0.5,
        tau: int = 60,
    ) -> None:
        """Build the parts.

        Args:
            Dv: width of the visual features; not read where the fusion reads no visual stream.
            Da: width of the audio features; not read where the fusion reads no audio stream.
            d: embedding width, 128 in the paper.
            fusion: makes the fusion, called with d=d; its `streams` (both, where it has none) decide which embeddings exist.
            context: makes the temporal context, called with d=d.
            pooling: makes the pooling, called with d=d.
            dropout: chance of an embedded value to be dropped in training, in [0, 1).
            tau: clips in a training bag, which some poolings need for the bias at the start.

        Raises:
            ValueError: the fusion reads a stream whose width is None.
        """
        super().__init__()
        self.fusion = fusion(d=d)
        self.context = context(d=d)
        self.pooling = pooling(d=d)
        self.head = Float32Linear(d, 1)  # W_p, b_p
        initial_bias = getattr(self.pooling, "initial_bias", None)
        nn.init.constant_(self.head.bias, initial_bias(tau) if initial_bias else 0.0)
        streams = getattr(self.fusion, "streams", ("visual", "audio"))
        self.embeddings = make_embeddings(type(self.fusion).__name__, streams, Dv, Da, d, dropout)

    @property
    def reach(self) -> int | None:
        """Clips on either side that a clip's logit z depends on; None: all of its bag, or not known."""
        fusion, context = (getattr(part, "reach", None) for part in (self.fusion, self.context))
        return None if fusion is None or context is None else fusion + context

    def forward(self, visual: Tensor | None, audio: Tensor | None, mask: Tensor, audio_mask: Tensor) -> Detection:
        """Detect highlights in a batch of bags.

        Args:
            visual: visual features, (B, tau, Dv); None where the fusion reads no visual stream.
            audio: audio features, (B, tau, Da); None where the fusion reads no audio stream.
            mask: True at clips that exist, (B, tau), at least one a bag.
            audio_mask: True at clips that have audio, (B, tau).

        Returns:
            The clips' logits, the bags' logits and the clips' weights.

        Raises:
            ValueError: a stream that the fusion reads is None.
        """
        f_v = embed(self.embeddings, "visual", visual)  # (B, tau, Dv) -> (B, tau, d)
        f_a = embed(self.embeddings, "audio", audio, audio_mask)  # (B, tau, Da) -> (B, tau, d)
        f_h = self.fusion(f_v, f_a)  # (B, tau, d)
        c = self.context(f_h, mask)  # (B, tau, d)
        z = self.head(c).squeeze(-1).masked_fill(~mask, 0.0)  # (B, tau)
        z_hat, alpha = self.pooling(c, mask, self.head)  # (B,), (B, tau)
        return Detection(z, z_hat, alpha)


class Embedding(nn.Module):
    """One stream's features into the common width: `drop(relu(W (x - mean) / std + b))`.

    Extractors differ tenfold in scale, so each input dimension is standardised, by statistics of the training clips
    that are stored with the weights. They are folded into the linear map, `(W / std) x + (b - (W / std) mean)`: d x D
    numbers are divided in place of B x tau x D, one pass less over the widest array of the network.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, D: int, d: int, dropout: float = 0.5) -> None:
        """Draw the weights; the statistics are mean 0 and std 1 until `fit_statistics`.

        Args:
            D: width of the stream's features.
            d: embedding width.
            dropout: chance of a value to be dropped in training, in [0, 1).
        """
        super().__init__()
        self.linear = nn.Linear(D, d)
        nn.init.normal_(self.linear.weight, std=D**-0.5)  # standardised in, unit scale into the relu
        nn.init.zeros_(self.linear.bias)
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("mean", torch.zeros(D))
        self.register_buffer("std", torch.ones(D))

    @torch.no_grad()
    def fit_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Take the statistics of the training clips.

        No std is taken below the stream's average. Features that went through a relu have dimensions that are silent
        in nearly every clip; divided by their own small std they would drown all others wherever they do fire.

        Args:
            mean: per dimension, (D,).
            std: per dimension, (D,), at least 0.

        Raises:
            ValueError: a shape is not (D,), or a value is not finite, or a std is negative.
        """
        for name, value in (("mean", mean), ("std", std)):
            if value.shape != self.mean.shape:
                raise ValueError(f"{name}: expected shape {tuple(self.mean.shape)}, got {tuple(value.shape)}")
            if not torch.isfinite(value).all():
                raise ValueError(f"{name}: expected finite values")
        if (std < 0).any():
            raise ValueError("std: expected values of at least 0")
        std = std.to(self.std)
        floor = std.mean()
        self.mean.copy_(mean)
        self.std.copy_(std.clamp(min=floor) if floor > 0 else torch.ones_like(std))

    def forward(self, x: Tensor) -> Tensor:
        """Embed clips.

        Args:
            x: features in any floating type, (..., D).

        Returns:
            Embedded clips, (..., d), at least 0.
        """
        W = self.linear.weight / self.std  # (d, D)
        # A sum of products, not `W @ mean`, which autocast would round to half precision.
        b = self.linear.bias - (W * self.mean).sum(-1)  # (d,)
        f: Tensor = self.dropout(F.relu(F.linear(x.to(W.dtype), W, b)))
        return f


class Float32Linear(nn.Linear):
    """A linear map that autocast leaves alone.

    Clips are ranked by what comes out of it. In bfloat16, with its 8 significant bits, close clips would tie.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., d) to (..., outputs) in the type of the weights."""
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.to(self.weight.dtype))


def make_embeddings(
    reader: str, streams: Collection[str], Dv: int | None, Da: int | None, d: int, dropout: float
) -> nn.ModuleDict:
    """An `Embedding` for each of the streams that a network reads, by the stream's name.

    Raises:
        ValueError: an unknown stream or none, or its width is None; that message begins with `reader`.
    """
    if not streams or not set(streams) <= {"visual", "audio"}:
        raise ValueError(f"streams: expected visual, audio or both, got {list(streams)}")
    embeddings = nn.ModuleDict()
    for stream, width in (("visual", Dv), ("audio", Da)):
        if stream in streams:
            if width is None:
                raise ValueError(f"{reader} reads the {stream} stream: its width is missing")
            embeddings[stream] = Embedding(width, d, dropout)
    return embeddings


def embed(
    embeddings: nn.ModuleDict, stream: str, features: Tensor | None, audio_mask: Tensor | None = None
) -> Tensor | None:
    """Embed one stream, if the network reads it.

    Args:
        embeddings: the network's embeddings by the name of their stream.
        stream: "visual" or "audio".
        features: (B, tau, D), or None.
        audio_mask: where given, clips that are False here are zero in the result, (B, tau).

    Returns:
        (B, tau, d), or None where the network has no embedding for this stream.

    Raises:
        ValueError: the network reads the stream and the features are None.
    """
    if stream not in embeddings:
        return None
    if features is None:
        raise ValueError(f"the network reads the streams {', '.join(embeddings)}, and the {stream} features are None")
    f = cast(Tensor, embeddings[stream](features))
    return f if audio_mask is None else f.masked_fill(~audio_mask.unsqueeze(-1), 0.0)
