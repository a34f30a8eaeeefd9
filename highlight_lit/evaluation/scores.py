"""Scores of any system's clips, and those of them that are of a corpus' videos."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from highlight_lit.data.corpus import Corpus
from highlight_lit.errors import InputError
from highlight_lit.text import a_few
from highlight_lit.unicode_forms import own_ids

TOLERANCE_S = 2.0  # by which clips may run past a video: lengths in whole seconds, frame rates that were estimated


@dataclass(frozen=True)
class ClipScores:
    """A system's scores of one video: higher is more of a highlight.

    Attributes:
        span: (T_n, 2) seconds.
        score: (T_n,) a network's p in [0, 1]; another system's, on any scale.
        logit: (T_n,) a network's z, which ranks clips where p ties; None of a system without.
    """

    span: NDArray[np.float64]
    score: NDArray[np.float64]
    logit: NDArray[np.float64] | None = None

    @classmethod
    def of_logits(cls, span: NDArray[np.float64], logit: NDArray[np.float64]) -> ClipScores:
        """Scores of a network, from its logits (T_n,)."""
        return cls(span, expit(logit), logit)

    @property
    def ranking(self) -> NDArray[np.float64]:
        """(T_n,) what clips are ranked by: the logit where there is one, else the score."""
        return self.score if self.logit is None else self.logit


def matched(
    scores: Mapping[str, ClipScores], corpus: Corpus, where: str, report: Callable[[str], None]
) -> dict[str, ClipScores]:
    """The scores of a corpus' videos, under the ids that it has them by; ids are compared as they are, then in one Unicode form.

    Args:
        scores: By video.
        corpus: The corpus.
        where: What the scores came from, for errors and reports.
        report: Called with a line for what is left out.

    Raises:
        InputError: None of the videos is in the corpus, one may be two of its videos, or clips run past a video's end:
            they are another video's.
    """
    kept: dict[str, ClipScores] = {}
    meant = {name: name for name in scores if corpus.index(name) is not None}
    if len(meant) < len(scores):  # decoding all ids of a large corpus takes a while
        others = [name for name in scores if name not in meant]
        meant |= own_ids(others, (name.decode() for name in corpus.ids), where)
    for name, own in meant.items():
        if own in kept:
            raise InputError(f"{where}: video {own!r}: occurs twice, in two Unicode forms; expected one of them")
        kept[own] = scores[name]
    strange = [name for name in scores if name not in meant]
    if not kept:
        raise InputError(
            f"{where}: none of its {len(scores)} videos is in {corpus.root}: {a_few(strange)}; "
            f"expected ids as {corpus.ids[0].decode()!r}"
        )
    if strange:
        report(
            f"{where}: {len(strange)} of {len(scores)} videos are not in {corpus.root} and are left out: {a_few(strange)}"
        )
    holed = [name for name, clip_scores in kept.items() if not _cover(name, clip_scores, corpus, where)]
    if holed:
        report(
            f"{where}: {len(holed)} videos have seconds without a score, which get that of the nearest clip: {a_few(holed)}"
        )
    return kept


def _cover(name: str, scores: ClipScores, corpus: Corpus, where: str) -> bool:
    """Whether a video's clips leave out less than half of one, up to its end; refused where they go further."""
    index = corpus.index(name)
    assert index is not None
    duration = float(corpus.duration[index])
    clip = float(np.median(np.ptp(scores.span, axis=1)))
    allowed = TOLERANCE_S + min(duration, clip)
    past = (scores.span[:, 0] > duration + TOLERANCE_S) | (scores.span[:, 1] > duration + allowed)
    if past.any():
        start, end = scores.span[int(np.argmax(past))]
        raise InputError(
            f"{where}: video {name!r}: {int(past.sum())} of {len(past)} clips lie past its end at {duration:.2f} s, the first from "
            f"{start:.2f} to {end:.2f}; expected scores of this video, in seconds"
        )
    start, end = scores.span[np.argsort(scores.span[:, 0])].T
    reached = np.maximum.accumulate([0.0, *end])  # before each clip, and after the last
    return bool((start - reached[:-1]).max() <= clip / 2 and reached[-1] >= duration - allowed)
