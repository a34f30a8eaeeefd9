"""Temporal context: each clip reads its neighbours, one step of the clock at a time."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MAX_STEPS = 1024  # T: a clip then reads 17 minutes on either side; a file may ask for a billion


class TemporalContext(nn.Module):
    """T steps in which every clip at once reads the clip before, itself and the clip after.

    The encoder is the hierarchical temporal context encoder of the paper, whose output is c_s^(T) and whose T is 2
    (supplement, sections 1 and 4). The cell is in the manner of the sentence-state LSTM (Zhang et al. 2018), not that
    of it: theirs puts a sigmoid before the softmax over the gates, adds the embedding through a gate of its own, and
    gives the sentence node gates. With h and c those of step t-1, and zero beyond a bag's ends:

        xi_s = [h_{s-1}; h_s; h_{s+1}; f_h]            h^0 = c^0 = f_h
        l, f, r, i = softmax over the four gates of W xi_s + b, dimension by dimension
        u = tanh(W_u xi_s + b_u)
        c_s <- l * c_{s-1} + f * c_s + r * c_{s+1} + i * u
        h_s <- sigmoid(W_o xi_s + b_o) * tanh(c_s)

    So c_s^(T) depends on clips s-T .. s+T alone, 2T+1 of them, unless there is a global state.

    >>> context = TemporalContext(d=4, T=2)
    >>> mask = torch.tensor([[True, True, False]])
    >>> context(torch.ones(1, 3, 4), mask)[0, 2].tolist()
    [0.0, 0.0, 0.0, 0.0]
    """

    def __init__(self, d: int, T: int = 2, shared: bool = False, global_state: bool = False) -> None:
        """Draw the weights of the steps.

        Args:
            d: width of f_h and of the states.
            T: number of steps, from 0 to `MAX_STEPS`; 0 makes no encoder, and c = f_h.
            shared: every step uses the same weights.
            global_state: the mean g of the bag's h (of step t-1) is one more input to every gate, and has a gate e
                and a term e * g of its own: every clip then reads the whole bag.

        Raises:
            ValueError: T is out of its range.
        """
        super().__init__()
        if not 0 <= T <= MAX_STEPS:
            raise ValueError(f"T: the number of context steps must be from 0 to {MAX_STEPS}, got {T}")
        self.d, self.T, self.shared, self.global_state = d, T, shared, global_state
        self.reach = None if global_state else T  # clips on either side that a clip reads; None: the whole bag
        self.gates = 5 if global_state else 4
        # Rows of a step's weight, in blocks of d: the gates l, f, r, i (and e), then u, then o. Nobody reads h^(T),
        # so the last step has no o, and no parameter is left without a gradient.
        blocks = [self.gates + 2] * (T - 1) + [self.gates + 1] * min(T, 1)
        if shared:
            blocks = blocks[:1]
        self.W = nn.ModuleList(nn.Linear(4 * d, n * d) for n in blocks)
        self.W_g = nn.ModuleList(nn.Linear(d, n * d, bias=False) for n in blocks if global_state)

    def forward(self, f_h: Tensor, mask: Tensor) -> Tensor:
        """Read T steps of context into each clip.

        Args:
            f_h: fused clips, (B, tau, d).
            mask: True at clips that exist, (B, tau).

        Returns:
            Clip states c, (B, tau, d); zero at padded clips.
        """
        padded = ~mask.unsqueeze(-1)  # (B, tau, 1)
        clips = mask.sum(1).clamp(min=1)[:, None, None]  # (B, 1, 1)
        f_h = f_h.masked_fill(padded, 0.0)
        h = c = f_h
        for t in range(self.T):
            # Padded clips have h = 0, so a plain sum is the sum over those that exist.
            g = h.sum(1, keepdim=True) / clips if self.global_state else None  # (B, 1, d)
            gates, u, o = self._gates(t, h, f_h, g)

            # c_s <- l c_{s-1} + f c_s + r c_{s+1} + i u (+ e g)
            c = gates[0] * _before(c) + gates[1] * c + gates[2] * _after(c) + gates[3] * u
            if g is not None:
                c = c + gates[4] * g
            c = c.masked_fill(padded, 0.0)

            if o is not None:  # h_s <- o tanh(c_s), zero where c is
                h = o * torch.tanh(c)
        return c

    def _gates(
        self, t: int, h: Tensor, f_h: Tensor, g: Tensor | None
    ) -> tuple[tuple[Tensor, ...], Tensor, Tensor | None]:
        """Gates (l, f, r, i and e), proposal u and output gate o (None at the last step), each (B, tau, d)."""
        last = t == self.T - 1
        blocks = self.gates + (1 if last else 2)
        rows = blocks * self.d
        step = 0 if self.shared else t
        layer = cast(nn.Linear, self.W[step])
        W, b = layer.weight[:rows], layer.bias[:rows]
        # All gates of all clips in one matrix product with xi = [h_{s-1}; h_s; h_{s+1}; f_h].
        xi = [_before(h), h, _after(h), f_h]
        if t == 0:  # h_s is f_h: adding up their two weights saves a quarter of the product
            before, own, after, fused = W.chunk(4, 1)
            W, xi = torch.cat([before, own + fused, after], 1), xi[:3]
        a = F.linear(torch.cat(xi, -1), W, b)  # (B, tau, blocks*d)
        if g is not None:  # one g for all clips of a bag: multiplied once, then broadcast
            a = a + F.linear(g, cast(nn.Linear, self.W_g[step]).weight[:rows])
        a = a.view(*a.shape[:-1], blocks, self.d)  # (B, tau, blocks, d)
        gates = a[..., : self.gates, :].softmax(-2).unbind(-2)
        u = torch.tanh(a[..., self.gates, :])
        return gates, u, None if last else torch.sigmoid(a[..., self.gates + 1, :])


def _before(x: Tensor) -> Tensor:
    """x_{s-1} at clip s of (B, tau, d), zero at the first."""
    return F.pad(x, (0, 0, 1, -1))


def _after(x: Tensor) -> Tensor:
    """x_{s+1} at clip s of (B, tau, d), zero at the last."""
    return F.pad(x, (0, 0, -1, 1))
