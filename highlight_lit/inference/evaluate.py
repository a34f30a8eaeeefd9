"""Judge a trained detector, or any system's scores, by a corpus' labels, from Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from highlight_lit.data.corpus import Corpus
from highlight_lit.data.topics.folds import cross_fitted
from highlight_lit.errors import InputError
from highlight_lit.evaluation.judge import Judgement, judge, labelled_videos
from highlight_lit.evaluation.scores import ClipScores
from highlight_lit.inference.detector import Detector


def evaluate(
    system: Detector | Mapping[str, ClipScores],
    corpus: Corpus | Path | str,
    topics: Sequence[str] | None = None,
    **how: Any,
) -> Judgement:
    """Judge a system by a corpus' labels, beside chance, the middle of the video and annotators.

    Args:
        system: A detector, or scores of clips by video.
        corpus: Where the labels are.
        topics: Those to judge; None: the detector's.
        how: `empty`, `draws` and `split`, as `evaluation.judge.judge` takes them.

    Returns:
        Printed, a line for each measure. Its `report.measures[name].value` is a measure, in [0, 1]; `to_dict()` has all of
        them and the levels.

    Raises:
        InputError: No labelled video, features of another kind, scores that are missing, or no topics for scores.
    """
    opened = corpus if isinstance(corpus, Corpus) else Corpus(Path(corpus))
    if isinstance(system, Detector):
        opened = judged_on(opened, [system], how.get("split", "test"))
        return judge(
            opened, topics or [system.topic], scores_of(system, opened, topics, how.get("split", "test")), **how
        )
    if topics is None:
        raise InputError("topics: missing; expected those that the scores are of")
    return judge(opened, topics, system, **how)


def judged_on(corpus: Corpus, detectors: Sequence[Detector], split: str = "test") -> Corpus:
    """The corpus with the lists that detectors are judged by: for those of a fold its videos alone, which they never saw.

    Raises:
        InputError: Detectors of several folds, or of a fold and several topics; another list than `test` is asked for; or
            the fold is of another corpus, whose videos may be among this one's under other folds.
    """
    folds = {(detector.topic, detector.fold) for detector in detectors}
    if all(fold is None for _, fold in folds):
        return corpus
    if len(folds) > 1:
        raise InputError(
            f"{detectors[0].source}: checkpoints of several folds or topics; expected those of one fold and topic "
            "(the table of their sweep puts folds together)"
        )
    if split != "test":
        raise InputError(
            f"--split {split}: {detectors[0].source} was trained without a fold, and is judged on that alone"
        )
    for detector in detectors:
        if detector.corpus is not None and detector.corpus != corpus.fingerprint:
            raise InputError(
                f"{detector.source}: trained without fold {detector.fold} of another corpus, or of {corpus.root} before it was "
                "changed; expected that corpus: in another, which videos it was trained on cannot be told"
            )
    [(topic, fold)] = folds
    return cross_fitted(corpus, topic, str(fold))


def scores_of(
    detector: Detector, corpus: Corpus, topics: Sequence[str] | None = None, split: str = "test"
) -> dict[str, ClipScores]:
    """Scores of the labelled videos of some topics, by default the detector's own, on one of the corpus' lists."""
    names = [video.id for video in labelled_videos(corpus, topics or [detector.topic], split)]
    indices = [index for name in dict.fromkeys(names) if (index := corpus.index(name)) is not None]
    return {
        corpus.ids[video].decode(): ClipScores.of_logits(corpus.rows(video, "span"), z)
        for video, z in detector.score_corpus(corpus, np.array(indices)).items()
    }
