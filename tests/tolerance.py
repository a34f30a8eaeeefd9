"""How far apart two right computations of one value may lie: from the computation, not from the machine it ran on.

Processors, thread counts and libraries add up in different orders, so the last digits of a sum differ between machines.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

FUNCTION = 4  # roundings in an elementary function (exp, tanh, log) or a quotient: two units in the last place
SIGMAS = 6.0


def rounding(*terms: int, dtype: torch.dtype = torch.float64, scale: float = 1.0) -> float:
    """Bound on the difference of two computations of the same sums.

    A rounding is off by at most u, half the distance from 1 to the next number. A sum of n terms is off by at most n u
    times the sum of its terms' magnitudes in any order (Higham, Accuracy and Stability of Numerical Algorithms, 2002,
    section 4.2). Roundings differ in sign, so a long sum is off by about sqrt(n) u times its size, one standard
    deviation (Higham and Mary, 2019). Sums that feed each other, as layers do, add up their roundings. Two
    computations are apart by `6 sqrt(2 n) u scale`, six standard deviations, and never by more than `2 n u scale`.

    Args:
        terms: how many terms each of the sums on the way to the value has; FUNCTION for an elementary function.
        dtype: the type that is computed in.
        scale: the largest size that a value has on the way: of the sum, or of its terms where they cancel out.

    Returns:
        The absolute tolerance.
    """
    n = sum(terms)
    return min(SIGMAS * (2 * n) ** 0.5, 2 * n) * torch.finfo(dtype).eps / 2 * scale


def assert_near(found: Any, expected: Any, *terms: int, scale: float | None = None) -> None:
    """Fail unless all values are apart by `rounding` at most, in the coarser type of the two.

    Args:
        found: a tensor, an array or a number.
        expected: the same shape; a number counts as float64.
        terms: how many terms each of the sums on the way to a value has, as `rounding` takes them.
        scale: the largest size that a value has on the way; left out, the largest one expected, and 1 at least, for
            tests whose inputs are of the order of 1.
    """
    found, expected = _tensor(found), _tensor(expected)
    assert found.shape == expected.shape
    dtype = max(found.dtype, expected.dtype, key=lambda dtype: torch.finfo(dtype).eps)
    if scale is None:
        scale = float(np.max(np.abs(expected.double().numpy()), initial=1.0))
    apart = rounding(*terms, dtype=dtype, scale=scale)
    np.testing.assert_allclose(found.double().numpy(), expected.double().numpy(), rtol=0, atol=apart)


def _tensor(value: Any) -> torch.Tensor:
    tensor = value.detach().cpu() if isinstance(value, torch.Tensor) else torch.from_numpy(np.asarray(value))
    return tensor if tensor.is_floating_point() else tensor.double()
