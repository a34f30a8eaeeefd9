"""The log-mel front end against its definition, written out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("av")
from highlight_lit.media.extractors.classic import ClassicAudio
from highlight_lit.media.extractors.log_mel import BANDS, HOP, WINDOW, log_mel, mel_filters
from highlight_lit.media.io.audio_clips import RATE
from tests.tolerance import FUNCTION, assert_near, rounding

# The DFT sums up 400 samples of up to 1 under the window, 200 in all; a band up to 20 lines; the slope of log(x + 0.01)
# is 100 at most.
LOG_MEL = rounding(400, 20, 4 * FUNCTION, scale=200 * 20 * 100)


def definition(waveform: np.ndarray) -> np.ndarray:
    """25 ms of periodic Hann every 10 ms, a 512-point DFT as sums, 64 mel triangles from 125 to 7500 Hz, log(x + 0.01)."""
    dft = np.exp(-2j * np.pi * np.outer(np.arange(400), np.arange(257)) / 512)
    hann = np.sin(np.pi * np.arange(400) / 400) ** 2
    to_mel = lambda hertz: 1127 * np.log(1 + hertz / 700)  # noqa: E731
    lowest, highest = to_mel(125), to_mel(7500)
    edges = [lowest + (highest - lowest) * k / 65 for k in range(66)]
    bank = np.zeros((257, 64))
    for line in range(1, 257):
        m = to_mel(line * 16_000 / 512)
        for band in range(64):
            left, centre, right = edges[band : band + 3]
            if left < m <= centre:
                bank[line, band] = (m - left) / (centre - left)
            elif centre < m < right:
                bank[line, band] = (right - m) / (right - centre)
    starts = range(0, len(waveform) - 400 + 1, 160)
    return np.stack([np.log(np.abs((waveform[at : at + 400] * hann) @ dft) @ bank + 0.01) for at in starts])


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(1e-4, 1.0), st.integers(400, 3000))
def test_log_mel_equals_its_definition(seed, loudness, samples):
    waveform = loudness * np.random.default_rng(seed).uniform(-1, 1, samples)
    np.testing.assert_allclose(log_mel(waveform), definition(waveform), atol=LOG_MEL, rtol=0)


def test_log_mel_of_float32_samples_is_as_exact():
    waveform = np.random.default_rng(0).uniform(-1, 1, RATE).astype(np.float32)
    np.testing.assert_allclose(log_mel(waveform), definition(waveform.astype(np.float64)), atol=LOG_MEL, rtol=0)


def test_swept_tones_land_in_the_band_they_belong_to():
    edges = np.linspace(1127 * np.log1p(125 / 700), 1127 * np.log1p(7500 / 700), BANDS + 2)
    centres = 700 * np.expm1(edges[1:-1] / 1127)
    time = np.arange(RATE) / RATE
    loudest = [int(log_mel(0.5 * np.sin(2 * np.pi * hertz * time)).mean(0).argmax()) for hertz in centres]
    # Below about 500 Hz a band is narrower than a DFT line: a neighbour may be as loud.
    assert all(abs(found - band) <= (1 if band < 16 else 0) for band, found in enumerate(loudest))


def test_tones_outside_the_bands_are_not_heard():
    time = np.arange(RATE) / RATE
    for hertz in (0.0, 7900.0):
        assert (
            log_mel(0.5 * np.cos(2 * np.pi * hertz * time)).mean()
            < log_mel(0.5 * np.cos(2 * np.pi * 1000 * time)).mean() - 0.5
        )


def test_silence_is_the_logarithm_of_the_offset():
    assert_near(log_mel(np.zeros(RATE)), np.full((98, BANDS), np.log(0.01)), FUNCTION)


def test_bands_overlap_by_half_and_leave_the_constant_out():
    filters = mel_filters()
    assert filters.shape == (257, BANDS)
    assert not filters[0].any()
    inside = slice(40, 230)  # between the first and the last centre, neighbours sum to one
    # Lines of up to 2800 mel less the edges of their bands, over the 40 mel between these.
    assert_near(filters[inside].sum(1), np.ones(190), 3 * FUNCTION, scale=2800 / 40)


def test_frames_are_counted_without_padding():
    assert log_mel(np.zeros((2, 3, WINDOW + 4 * HOP + HOP - 1))).shape == (2, 3, 5, BANDS)


def test_classic_audio_is_mean_and_deviation_of_the_bands():
    waveform = np.random.default_rng(1).uniform(-0.5, 0.5, (2, RATE)).astype(np.float32)
    rows = ClassicAudio()(waveform)
    frames = definition(waveform[1].astype(np.float64))
    assert_near(rows[1], np.concatenate([frames.mean(0), frames.std(0)]), 1)  # kept as float32, computed in float64
    assert rows.shape == (2, 128)
