"""A trained detector: features, a corpus or a raw video in, scores out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import scipy.special
import torch
from numpy.typing import NDArray
from torch import nn

from highlight_lit.data.batch import Bags
from highlight_lit.data.corpus import Corpus
from highlight_lit.data.loaders import VideoLoader
from highlight_lit.data.video import Stream
from highlight_lit.errors import InputError, first_line
from highlight_lit.inference.whole_video import Rows, bag_of_rows, whole_video_logits
from highlight_lit.installation import need
from highlight_lit.text import a_few

if TYPE_CHECKING:
    from highlight_lit.media.output.video_scores import VideoScores


@dataclass(frozen=True)
class Detector:
    """A network ready to score clips.

    Attributes:
        network: The trained network, in evaluation mode.
        topic: What it was trained for.
        streams: The streams it reads; features must have the same width, and extractor where both name one.
        source: Its checkpoint, or its folder.
        fold: The fold of the topic's videos that it was trained without, K/n; None: it was trained on the corpus' list.
        parts: What its file says of it, plain values: `model`, `loss`, `optimizer`, `streams`, `topic`, `fold`.
        corpus: Fingerprint of the corpus that the fold is of; None without a fold, or where that is not known.
    """

    network: nn.Module
    topic: str
    streams: dict[str, Stream]
    source: Path
    fold: str | None = None
    parts: Mapping[str, Any] = field(default_factory=dict)
    corpus: str | None = None

    def check(self, streams: Mapping[str, Stream], where: str) -> None:
        """Refuse features that are not of the kind it was trained on.

        Raises:
            InputError: A stream is missing, or its width, extractor or version differs.
        """
        for name, expected in self.streams.items():
            stream = streams.get(name)
            if stream is None:
                raise InputError(f"{where}: {name}: no such stream, but {self.source} reads it")
            for fact in ("width", "extractor", "version"):
                theirs, ours = getattr(stream, fact), getattr(expected, fact)
                if theirs != ours:
                    raise InputError(f"{where}: {name}: {fact} {theirs!r}, but {self.source} was trained on {ours!r}")

    @classmethod
    def load(cls, path: Path | str, trusted: Sequence[str] = ()) -> Detector:
        """Load a detector as data: its network alone is made, of the classes of `highlight_lit.models`.

        Args:
            path: A checkpoint; or a run's folder; or the folder that `highlight-lit export --to safetensors` wrote, or such a
                repository of the Hugging Face hub, OWNER/NAME. What is there on disk wins over the hub.
            trusted: Further packages whose networks it may name.

        Raises:
            InputError: It is missing, out of reach, damaged, not of this package, or names another class.
        """
        from highlight_lit.inference.loading.load import load_detector

        return load_detector(path, trusted)

    def score_video(self, path: Path | str, **weights: Path | None) -> VideoScores:
        """Decode a raw video and score its clips of a second; needs the extra `media`.

        Args:
            path: The video.
            weights: Files of extractors that need them: `visual_weights`, `audio_weights`, `audio_pca`.

        Raises:
            InputError: Not a video, or this detector was trained on features that are not computed here.
        """
        need("media", "a raw video", "av")
        from highlight_lit.inference.raw_video import score_video

        return score_video(Path(path), self, **weights)

    def score(
        self, visual: Rows | None, audio: Rows | None = None, audio_mask: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float64]:
        """Scores p = sigmoid(z) in [0, 1] of a video's clips, (T_n,); arguments as `logits`."""
        p: NDArray[np.float64] = scipy.special.expit(self.logits(visual, audio, audio_mask))
        return p

    def logits(
        self, visual: Rows | None, audio: Rows | None = None, audio_mask: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float64]:
        """Logits z of a video's clips, (T_n,): they rank clips as p does, and do not tie where p reaches 1.

        Args:
            visual: (T_n, Dv), an array or a tensor; None if it reads no visual stream.
            audio: (T_n, Da), or None: a video without audio.
            audio_mask: (T_n,) where a clip has audio; None: everywhere if there is any.

        Raises:
            InputError: A stream is missing, non-finite, or of another width or length.
        """
        return self._detect(bag_of_rows(visual, audio, audio_mask, self.streams))

    @overload
    def score_corpus(self, corpus: Corpus, videos: NDArray[np.intp]) -> dict[int, NDArray[np.float64]]: ...

    @overload
    def score_corpus(self, corpus: Corpus, videos: Sequence[str] | None = None) -> dict[str, NDArray[np.float64]]: ...

    def score_corpus(
        self, corpus: Corpus, videos: NDArray[np.intp] | Sequence[str] | None = None
    ) -> dict[int, NDArray[np.float64]] | dict[str, NDArray[np.float64]]:
        """Logits z of videos of a corpus, (T_n,) each.

        Args:
            corpus: Its features.
            videos: Ids, which the result's keys are then too; or (V,) indices into `corpus.ids`, likewise; None: all ids.

        Raises:
            InputError: Features of another kind, no such video, or a damaged shard.
        """
        self.check(corpus.streams, str(corpus.root))
        if isinstance(videos, np.ndarray) and videos.dtype.kind in "iu":
            loader = VideoLoader(corpus, videos, tuple(self.streams))
            return {video: self._detect(bags) for video, bags in loader}
        names = [name.decode() for name in corpus.ids] if videos is None else [str(name) for name in videos]
        indices = {name: corpus.index(name) for name in names}
        if strange := [name for name, index in indices.items() if index is None]:
            raise InputError(
                f"{corpus.root}: {a_few(strange)}: no such video; expected ids as {corpus.ids[0].decode()!r}"
            )
        logits = self.score_corpus(corpus, np.array(list(indices.values()), np.intp))
        return dict(zip(indices, logits.values(), strict=True))

    @torch.inference_mode()
    def _detect(self, bags: Bags) -> NDArray[np.float64]:
        """Logits (T_n,) of a batch of one bag; the network's parts may not fit together, or its weights be absurd."""
        try:
            z = whole_video_logits(self.network, bags).double()
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise InputError(f"{self.source}: its network cannot score clips ({first_line(error)})") from error
        if z.shape != bags.mask[0].shape or not z.isfinite().all():
            raise InputError(f"{self.source}: its network gives no finite score for each of {bags.mask.shape[1]} clips")
        logits: NDArray[np.float64] = z.numpy()
        return logits
