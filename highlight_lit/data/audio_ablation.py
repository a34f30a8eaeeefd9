"""Ablations of a corpus' audio: read with something taken away, since what a network loses tells what it used."""

from __future__ import annotations

import copy
import zlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from highlight_lit.data.corpus import Corpus

AUDIO_ABLATIONS = ("as_is", "centred", "mean", "shuffled")


@dataclass(frozen=True)
class AudioAblation:
    """How the audio rows of a whole video are changed as they are read.

    Attributes:
        name: `centred` takes the video's mean away, so that what it sounds like as a whole is lost; `mean` puts it in
            each clip's place, so that when is lost; `shuffled` exchanges the clips, so that only the pairing with the
            visual stream is.
        seed: Of `shuffled`.
    """

    name: str
    seed: int

    def __call__(self, rows: NDArray[Any], there: NDArray[np.bool_], video: bytes) -> NDArray[Any]:
        """Change a video's rows, in their type; rows of clips without audio stay.

        Args:
            rows: (T_n, Da).
            there: (T_n,) where a clip has audio.
            video: Its id, on which the order of `shuffled` depends.
        """
        changed = rows.copy()
        if not there.any():
            return changed
        own = rows[there].astype(np.float64)
        if self.name == "shuffled":
            order = np.random.default_rng([self.seed, zlib.crc32(video)]).permutation(len(own))
            changed[there] = rows[there][order]
        else:
            mean = own.mean(axis=0)
            changed[there] = own - mean if self.name == "centred" else mean
        return changed


def with_audio(corpus: Corpus, way: str, seed: int) -> Corpus:
    """The corpus with its audio read in one of `AUDIO_ABLATIONS`, under a version of its own: no detector mixes them up."""
    if way == "as_is" or "audio" not in corpus.streams:
        return corpus
    view = copy.copy(corpus)
    view.audio_way = AudioAblation(way, seed)
    audio = corpus.streams["audio"]
    view.streams = {**corpus.streams, "audio": replace(audio, version=f"{audio.version} {way}".strip())}
    return view
