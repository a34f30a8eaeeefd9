"""What a stream's features are divided by before they enter a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a configuration is checked without PyTorch
    from torch import Tensor

SCALES = ("dimension", "stream")


def scaled(std: Tensor, scale: str) -> Tensor:
    """Deviations of a stream's dimensions, (D,), as one of `SCALES` has them.

    `dimension` leaves them as they are. `stream` gives each the root of their mean square: the dimensions of a PCA lie in one
    space, and divided by their own deviations the last ones, which are noise, would count as the first.
    """
    if scale == "dimension":
        return std
    return std.double().square().mean().sqrt().to(std).expand_as(std).clone()
