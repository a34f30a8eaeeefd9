"""What the methods with a training loop of their own share: inputs in few dimensions, windows, seeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from highlight_lit.methods.numerics import TINY
from highlight_lit.methods.videos import Clips

DIMENSIONS = 64


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from a seed inside, and leave the global generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


class PrincipalAxes:
    """The leading principal axes of some videos' clips, the first scaled to unit variance.

    All axes share one scale, so that distances keep their meaning and no axis of noise is blown up.
    """

    def __init__(self, videos: Sequence[Clips]) -> None:
        """Fit to one video or more: `DIMENSIONS` axes, fewer where the features have fewer dimensions."""
        x = np.concatenate([video.x for video in videos])
        self.mean = x.mean(0, dtype=np.float64)
        centred = (x - self.mean).astype(np.float32)
        r = min(DIMENSIONS, *x.shape)
        # Block power iterations: a few products with the clips in place of an eigendecomposition of D x D.
        block = np.random.default_rng(0).normal(size=(x.shape[1], min(r + 8, *x.shape))).astype(np.float32)
        for _ in range(4):
            block = np.linalg.qr(centred.T @ (centred @ block))[0]
        _, size, right = np.linalg.svd(centred @ block, full_matrices=False)
        first = max(float(size[0]) / len(x) ** 0.5, TINY**0.5)
        self.axes = (block @ right[:r].T).astype(np.float64) / first

    def __call__(self, video: Clips) -> Tensor:
        """A video's clips along the axes, (T_n, r)."""
        return torch.from_numpy(((video.x - self.mean) @ self.axes).astype(np.float32))


@lru_cache(maxsize=2)
def principal_axes(videos: tuple[Clips, ...]) -> PrincipalAxes:
    """The axes of some videos, fitted once for all seeds."""
    return PrincipalAxes(videos)


def windows(
    videos: Sequence[Tensor], generator: np.random.Generator, tau: int, batch: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """One window of at most tau consecutive clips a video, in a new order: batches (B, tau, D) and masks (B, tau)."""
    order = generator.permutation(len(videos))
    for first in range(0, len(order), batch):
        chosen = [videos[int(i)] for i in order[first : first + batch]]
        starts = [int(generator.integers(0, max(len(video) - tau, 0) + 1)) for video in chosen]
        cut = [video[start : start + tau] for video, start in zip(chosen, starts, strict=True)]
        x = nn.utils.rnn.pad_sequence(cut, batch_first=True)
        mask = torch.arange(x.shape[1]) < torch.tensor([len(part) for part in cut])[:, None]
        yield x, mask


def passes(
    videos: Sequence[Tensor], generator: np.random.Generator, tau: int, batch: int, steps: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of `windows` for `steps` steps or more: as many passes over the videos as it takes, each whole."""
    for _ in range(-(-steps // -(-len(videos) // batch))):
        yield from windows(videos, generator, tau, batch)


class BiLSTM(nn.Module):
    """A bidirectional LSTM and a linear map: padded clips (B, tau, D) to logits (B, tau, 1)."""

    def __init__(self, D: int, hidden: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(D, hidden, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * hidden, 1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Read each video as far as its clips exist.

        Args:
            x: (B, tau, D).
            mask: (B, tau), True first, at least one.
        """
        lengths = mask.sum(1).cpu()
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        h, _ = nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=x.shape[1])
        z: Tensor = self.head(h)
        return z


def whole(x: Tensor) -> tuple[Tensor, Tensor]:
    """One whole video as a batch: (1, T_n, D) and its mask."""
    return x[None], torch.ones(1, len(x), dtype=torch.bool)


def to_numpy(z: Tensor) -> NDArray[np.float64]:
    """A tensor as float64."""
    return z.detach().double().numpy()


def descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """Take a step down a loss."""
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
