"""One video dropped on the page, scored as `score` and `reel` do, in a process of its own.

A decoder may crash and a network take minutes: neither takes the page down, and nothing outlives it.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import ParamSpec, TypeVar

from highlight_lit.errors import InputError
from highlight_lit.files import output_name
from highlight_lit.installation import need
from highlight_lit.processes.children import begin_child, deaf
from highlight_lit.text import a_few, one_line

ARRAYS = (".npy", ".npz")
PAIR = ["visual.npy", "audio.npy"]  # of one video; arrays of other names could be either stream

Given = ParamSpec("Given")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Order:
    """What is to be scored.

    Attributes:
        checkpoint: As `load_detector` takes it.
        files: A video; or its features, one `.npz`, or `.npy` of one or both streams.
        clip_seconds: Length of a clip of features, as the page's field holds it: whatever a request says.
        trust: Packages whose networks the checkpoint may name.
        weights: Files of extractors that need them, as `media.arguments.weights_of` names them.
    """

    checkpoint: str
    files: tuple[Path, ...]
    clip_seconds: float | None = 1.0
    trust: tuple[str, ...] = ()
    weights: Mapping[str, Path | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Scored:
    """What came of it: the page with player and curve, the reel of a video, and all files that were written."""

    page: Path
    reel: Path | None
    files: tuple[Path, ...]


def score(order: Order, out: Path) -> Scored:
    """Score a video and write json, csv, the page, and of a raw video the reel.

    Raises:
        InputError: Other files than one video's, or what `score` and `reel` refuse.
    """
    from highlight_lit.inference.loading.load import load_detector
    from highlight_lit.inference.stored_features import scores_of_features
    from highlight_lit.media.output.page import write_page
    from highlight_lit.media.output.scores_writing import write_scores_csv, write_scores_json
    from highlight_lit.media.output.video_scores import highlights_of

    video = _check(order)
    detector = load_detector(order.checkpoint, order.trust)
    if video is None:
        from highlight_lit.inference.feature_files import videos_of

        arrays = sorted(order.files, key=lambda file: PAIR.index(file.name) if file.name in PAIR else 0)
        [scores] = scores_of_features(videos_of(arrays, detector.streams), detector, _seconds(order.clip_seconds))
    else:
        scores = detector.score_video(video, **order.weights)
    highlights = highlights_of(scores)
    stem = scores.video if video is None else video.stem
    written = [out / output_name(stem, ending) for ending in ("scores.json", "scores.csv", "html")]
    write_scores_json(written[0], scores, highlights)
    write_scores_csv(written[1], scores)
    write_page(written[2], video, scores, highlights)
    if video is None:
        return Scored(written[2], None, tuple(written))
    from highlight_lit.media.output.reel import cut_reel
    from highlight_lit.media.output.snapping import at_shots

    reel = out / output_name(stem, "reel.mp4")
    seconds = sum(each.length for each in highlights)
    cut_reel(video, at_shots(video, highlights, float(scores.span[-1, 1]), seconds), reel)
    return Scored(written[2], reel, (*written, reel))


def _check(order: Order) -> Path | None:
    """The video that is to be scored; None: features are."""
    names = sorted((file.name for file in order.files), reverse=True)
    if len(names) != 1 and names != PAIR:
        given = f"{len(names)} files ({a_few(names, 3)})" if names else "nothing was dropped"
        raise InputError(
            f"{given}; expected one video, or its features: one .npz, one .npy, or visual.npy and audio.npy"
        )
    if order.files[0].suffix.lower() in ARRAYS:
        return None
    need("media", f"{names[0]}: a video", "av")
    return order.files[0]


def _seconds(given: object) -> float:
    """The length of a clip that a request says."""
    from highlight_lit.inference.stored_features import MAX_CLIP_S

    if isinstance(given, int | float) and given is not True and 0 < given <= MAX_CLIP_S:
        return float(given)
    told = "the field is empty" if given is None else one_line(given)
    raise InputError(f"seconds of a clip: {told}; expected a number over 0 and at most {MAX_CLIP_S:g}")


def check_loads(checkpoint: str, trust: tuple[str, ...]) -> None:
    """Refuse what is no detector.

    Raises:
        InputError: As `load_detector`.
    """
    from highlight_lit.inference.loading.load import load_detector

    load_detector(checkpoint, trust)


class Scorer:
    """The process that scores, as a context manager; it is killed at the end of the block."""

    def __enter__(self) -> Scorer:
        self._pool, self._over = self._start(), False
        return self

    def _start(self) -> ProcessPoolExecutor:
        # Not forked: threads of the page's server do not live through a fork.
        return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"), initializer=begin_child)

    def do(self, work: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs) -> Result:
        """What a module's function returns there.

        Raises:
            InputError: The function's own; or the process died.
        """
        try:
            with deaf():  # the first call starts it
                future = self._pool.submit(work, *args, **kwargs)
            return future.result()
        except BrokenProcessPool:
            if not self._over:
                self._pool = self._start()
            raise InputError("the process that scores died; a damaged file or too little memory may be why") from None

    def __exit__(self, *_: object) -> None:
        self._over = True
        for process in multiprocessing.active_children():
            process.kill()
        self._pool.shutdown(cancel_futures=True)
