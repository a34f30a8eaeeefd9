"""What makes a video one that a corpus takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from highlight_lit.data.video import Stream, Video, all_finite


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f2", ">f4"])
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, -np.nan])
@pytest.mark.parametrize("change", [np.abs, lambda rows: -np.abs(rows), lambda rows: rows, lambda rows: rows > 0])
def test_what_is_not_finite_is_seen_among_values_of_any_sign(
    dtype: str, value: float, change: Callable[[NDArray[Any]], NDArray[Any]]
) -> None:
    rows = np.random.default_rng(0).normal(size=(3, 64)).astype(dtype)
    rows[0, :2] = np.finfo(dtype).max, np.finfo(dtype).min
    rows = change(rows).astype(dtype)
    assert all_finite(rows)
    for at in ((0, 0), (1, 5), (2, 63)):
        wrong = rows.copy()
        wrong[at] = value
        assert not all_finite(wrong)
        assert not all_finite(wrong[:, ::-1])


@pytest.mark.parametrize("value", [70000.0, -70000.0])
def test_a_value_that_the_stored_type_cannot_hold_is_named(value: float) -> None:
    rows = np.zeros((3, 4))
    rows[1, 2] = value
    assert str(Stream(4, dtype="float16").overflow(rows)).startswith(
        f"{value:.4g} in clip 1 is a value beyond the range"
    )
    assert Stream(4, dtype="float32").overflow(rows) is None


@pytest.mark.parametrize("name", ["", "a\0b", " a", "a ", "a\n", "\u00a0a"])
def test_an_id_that_a_table_or_a_file_cannot_keep_is_refused(name: str) -> None:
    def fault(name: str) -> str | None:
        return Video(name, 1.0, (), np.array([[0.0, 1.0]]), np.zeros((1, 2), np.float16)).fault({"visual": Stream(2)})

    assert (fault(name) or "").startswith("id: ")
    assert fault("a b") is None
