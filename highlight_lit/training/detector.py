"""A trained detector from its checkpoint: data in, scores out, nothing in the file is run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.special
import torch
from numpy.typing import NDArray

from highlight_lit.config import trusted
from highlight_lit.data.corpus import Corpus
from highlight_lit.data.datamodule import VideoLoader
from highlight_lit.data.video import Stream
from highlight_lit.errors import InputError
from highlight_lit.training.checkpoints import read_checkpoint
from highlight_lit.training.module import HighlightModule


@dataclass(frozen=True)
class Detector:
    """A network ready to score clips.

    Attributes:
        module: The trained module, in evaluation mode.
        topic: What it was trained for.
        streams: The streams it reads; features must have the same width, and extractor where both name one.
        source: Its checkpoint.
    """

    module: HighlightModule
    topic: str
    streams: dict[str, Stream]
    source: Path

    def check(self, streams: Mapping[str, Stream], where: str) -> None:
        """Refuse features that are not of the kind it was trained on.

        Raises:
            InputError: A stream is missing, or its width, extractor or version differs.
        """
        for name, expected in self.streams.items():
            found = streams.get(name)
            if found is None:
                raise InputError(f"{where}: {name}: no such stream, but {self.source} reads it")
            for field in ("width", "extractor", "version"):
                theirs, ours = getattr(found, field), getattr(expected, field)
                if theirs != ours:
                    raise InputError(f"{where}: {name}: {field} {theirs!r}, but {self.source} was trained on {ours!r}")

    def score(
        self,
        visual: NDArray[np.floating[Any]] | None,
        audio: NDArray[np.floating[Any]] | None,
        heard: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.float64]:
        """Scores p = sigmoid(z) in [0, 1] of a video's clips, (T,); arguments as `logits`."""
        p: NDArray[np.float64] = scipy.special.expit(self.logits(visual, audio, heard))
        return p

    @torch.inference_mode()
    def logits(
        self,
        visual: NDArray[np.floating[Any]] | None,
        audio: NDArray[np.floating[Any]] | None,
        heard: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.float64]:
        """Logits z of a video's clips, (T,): they rank clips as p does, and do not tie where p reaches 1.

        Args:
            visual: (T, Dv), or None if it reads no picture.
            audio: (T, Da), or None: a video without sound.
            heard: (T,) where a clip has sound; None: everywhere if there is audio.
        """
        clips = len(visual if visual is not None else audio if audio is not None else ())
        if clips == 0:
            raise InputError("zero clips; expected features of at least one")
        silent = np.zeros((clips, self.streams["audio"].width), np.float32) if "audio" in self.streams else None
        sound = np.full(clips, audio is not None) if heard is None else heard
        rows = {"visual": visual, "audio": silent if audio is None else audio}
        tensors = [torch.from_numpy(np.asarray(rows[name])[None]) if name in self.streams else None for name in rows]
        mask, heard_mask = torch.ones(1, clips, dtype=torch.bool), torch.from_numpy(np.asarray(sound, bool)[None])
        detection = self.module.network(*tensors, mask, heard_mask)
        z: NDArray[np.float64] = detection.z[0].double().numpy()
        return z

    def score_corpus(self, corpus: Corpus, videos: NDArray[np.intp]) -> dict[int, NDArray[np.float64]]:
        """Logits z of videos of a corpus by their index, (T_n,) each."""
        self.check(corpus.streams, str(corpus.root))
        logits = {}
        for video, bags in VideoLoader(corpus, videos, tuple(self.streams)):
            with torch.inference_mode():
                logits[video] = self.module(bags).z[0].double().numpy()
        return logits


def load_detector(path: Path) -> Detector:
    """Load a checkpoint as data: no pickle, and no class outside `highlight_lit.models` is made from it.

    Raises:
        InputError: The file is missing, damaged, not a checkpoint of this package, or names another class.
    """
    checkpoint = read_checkpoint(Path(path))
    try:
        parts, weights = checkpoint["hyper_parameters"], checkpoint["state_dict"]
        streams = {name: Stream(**stream) for name, stream in parts["streams"].items()}
        topic = str(parts["topic"])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path}: damaged, or not a checkpoint of highlight-lit ({first})") from error
    for part in ("model", "loss"):
        trusted(parts.get(part), str(path))
    module = HighlightModule(parts["model"], parts["loss"], parts["optimizer"], parts["streams"], topic)
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(
            f"{path}: its weights do not fit its network ({str(error).splitlines()[-1].strip()})"
        ) from error
    return Detector(module.eval(), topic, streams, Path(path))
