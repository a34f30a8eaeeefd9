"""Methods to compare with, other than the networks that `train` trains: one file each, behind one interface.

A method's module has `score(videos, seed) -> list of (T_n,) scores`, one a video to evaluate. `videos` is a `Videos`, which
holds no clip label and leads to none; methods of `supervised`, and they alone, get `SupervisedVideos`.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from highlight_lit.data.corpus import Corpus
from highlight_lit.errors import InputError
from highlight_lit.evaluation.scores import ClipScores
from highlight_lit.methods.numerics import Floats
from highlight_lit.methods.videos import Videos, view


@dataclass(frozen=True)
class Method:
    """A method to compare with.

    Attributes:
        path: Its module, below this package.
        title: Its name in tables.
        supervision: What it learns from: `none`; `unsupervised`, videos alone; `topic tags`; `weak`, the weak label rule
            (tags and durations); `full`, the labels of the training list's clips.
        random: Whether a seed changes its scores.
        source: The paper.
        differs: What is not as in the paper, in a line.
    """

    path: str
    title: str
    supervision: str
    random: bool
    source: str
    differs: str

    @property
    def name(self) -> str:
        """Its name on the command line: the last part of `path`."""
        return self.path.rpartition(".")[2]

    @property
    def module(self) -> str:
        """Full name of its module."""
        return f"{__name__}.{self.path}"

    def load(self) -> Any:
        """Import its module, which is imported no earlier than this."""
        return importlib.import_module(self.module)

    def score(self, videos: Any, seed: int = 0) -> list[Floats]:
        """Scores (T_n,) of each video to evaluate, finite.

        Args:
            videos: A `Videos`, or a `SupervisedVideos` for a method with full supervision.
            seed: A whole number of at least 0.

        Raises:
            InputError: The method cannot work on these videos.
        """
        if seed >= 1 << 32:  # most generators take no more bits
            seed = int(np.random.SeedSequence(seed).generate_state(1)[0])
        scores: list[Floats] = self.load().score(videos, seed)
        for video, clip_scores in zip(videos.evaluation, scores, strict=True):
            if clip_scores.shape != (len(video),) or not np.isfinite(clip_scores).all():
                raise InputError(f"{self.name}: video {video.id!r}: its scores are not {len(video)} finite numbers")
        return scores


_ALL = (
    Method("representatives.smrs", "SMRS", "none", False, "Elhamifar et al., CVPR 2012",
           "64 principal dimensions and at most 512 clips of a video, interpolated; no removal of outliers"),
    Method("representatives.quasi", "Quasi", "none", False, "Zhao and Xing, CVPR 2014",
           "segments of 5 clips; every clip keeps its reconstruction error as score, not the new ones alone"),
    Method("representatives.mbf", "MBF", "topic tags", False, "Chu et al., CVPR 2015",
           "edges at one standard deviation above the mean similarity; at most 12 other videos and 4 bicliques a pair"),
    Method("representatives.cvs", "CVS", "topic tags", False, "Panda and Roy-Chowdhury, CVPR 2017",
           "clips, not shots; 256 clips of the other videos; one coefficient for all row norms"),
    Method("representatives.kvs", "KVS", "topic tags", False, "Potapov et al., ECCV 2014",
           "the SVM learns from segments that inherit their video's weak label, not from whole videos' Fisher vectors"),
    Method("networks.desumnet", "DSN (surrogate)", "topic tags", True, "Panda et al., ICCV 2017",
           "a surrogate: the gradient of a topic classifier on fixed clip features, not of a 3D CNN on pixels"),
    Method("networks.vesd", "VESD", "weak", True, "Cai et al., ECCV 2018",
           "the web videos are the topic's positives; a Gaussian code; one reconstruction of the video's clips"),
    Method("networks.sum_gan", "SG", "unsupervised", True, "Mahasseni et al., CVPR 2017",
           "features of 64 principal dimensions, windows of 60 clips; one discriminator step a step; no keyframe labels"),
    Method("recurrence.recurrence", "Recurrence", "weak", False, "Islam et al., WACV 2025",
           "the similarity alone, without clusters: nearest clips of positives less those of negatives"),
    Method("recurrence.recurrence_change", "Recurrence and change", "weak", False, "this project, after Islam et al., WACV 2025",
           "recurrence with audio centred within its video, plus how much the visual features change, over five clips"),
    Method("recurrence.recurrence_network", "Recurrence, two stages", "weak", True, "Islam et al., WACV 2025",
           "pseudo labels by the training-free score above the median; a perceptron learns them, without attention"),
    Method("supervised.slstm", "sLSTM", "full", True, "Zhang et al., ECCV 2016 (vsLSTM)",
           "64 principal dimensions; targets are clips above their video's mean label; cross entropy"),
    Method("supervised.dpp", "DPP", "full", True, "Gong et al., NeurIPS 2014 (seqDPP)",
           "a clip's score is its marginal probability in its segment of 10 clips, given what was kept before"),
    Method("supervised.submodular", "SM", "full", False, "Gygli et al., CVPR 2015",
           "three objectives (interest, representation, coverage in time); ridge regression gives the interest"),
    Method("supervised.labelled", "This network, with clip labels", "full", True, "this project",
           "the guided network; a clip's target is the rank of its label in place of its teacher's"),
)  # fmt: skip
METHODS: dict[str, Method] = {method.name: method for method in _ALL}


def find(name: str) -> Method:
    """The method of a name.

    Raises:
        InputError: There is none.
    """
    if name not in METHODS:
        raise InputError(f"method {name!r}: expected one of {', '.join(METHODS)}")
    return METHODS[name]


def videos_for(method: Method, corpus: Corpus, topic: str, **options: str) -> Any:
    """What a method may see of a topic: `Videos`, or `SupervisedVideos` for one with full supervision.

    Args:
        method: One of `METHODS`.
        corpus, topic: As of `view`.
        options: `modality`, `rule` and `training`, as of `view`.

    Raises:
        InputError: As of `view`; or there is no labelled training video for a supervised method.
    """
    videos: Videos = view(corpus, topic, **options)
    if method.supervision != "full":
        return videos
    return importlib.import_module(f"{__name__}.supervised.videos").supervise(corpus, videos)


def score(method: str, corpus: Corpus, topic: str, *, seed: int = 0, **options: str) -> dict[str, ClipScores]:
    """Score the clips of a topic's videos to evaluate.

    Args:
        method: A key of `METHODS`.
        corpus: The corpus; its clip labels are read for supervised methods alone, on its training list alone.
        topic: One of its topics.
        seed: Of the methods that draw.
        options: `modality`, `rule` and `training`, as of `view`.

    Returns:
        Scores by video id.

    Raises:
        InputError: An unknown method, modality or topic, or videos that the method cannot work on.
    """
    chosen = find(method)
    videos = videos_for(chosen, corpus, topic, **options)
    scores = chosen.score(videos, seed)
    return {video.id: ClipScores(video.span, z) for video, z in zip(videos.evaluation, scores, strict=True)}
