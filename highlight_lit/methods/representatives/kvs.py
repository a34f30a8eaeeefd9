"""KVS: category-specific summarisation (Potapov et al., ECCV 2014): kernel temporal segments, scored by a topic's SVM.

Videos are cut into segments by `kts`; a linear SVM separates segments of the topic's positives from those of the
negatives, and a segment's decision value is the score of its clips.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from highlight_lit.errors import InputError
from highlight_lit.methods.numerics import Floats
from highlight_lit.methods.representatives.kts import segments
from highlight_lit.methods.videos import Clips, Videos


def score(videos: Videos, seed: int = 0) -> list[Floats]:
    """Scores (T_n,) of each video to evaluate.

    Raises:
        InputError: scikit-learn is not installed.
    """
    try:
        from sklearn.svm import LinearSVC
    except ImportError:
        raise InputError("kvs needs scikit-learn: pip install 'highlight-lit[methods]'") from None
    positive, negative = (_means(side) for side in (videos.positive, videos.negative))
    label = np.repeat([1, 0], [len(positive), len(negative)])
    machine = LinearSVC(C=1.0, class_weight="balanced", random_state=seed, max_iter=5000)
    machine.fit(np.concatenate([positive, negative]), label)
    scores = []
    for video in videos.evaluation:
        cuts = segments(video.x)
        decision = machine.decision_function(_segment_means(video, cuts))
        scores.append(np.repeat(np.asarray(decision, np.float64), [stop - start for start, stop in cuts]))
    return scores


def _means(videos: Sequence[Clips]) -> Floats:
    return np.concatenate([_segment_means(video, segments(video.x)) for video in videos])


def _segment_means(video: Clips, cuts: Sequence[tuple[int, int]]) -> Floats:
    return np.stack([video.x[start:stop].mean(0, dtype=np.float64) for start, stop in cuts])
