"""Training from Python with a Trainer of one's own: plain arguments, with the defaults of conf/."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from highlight_lit.config.run_identity import as_plain
from highlight_lit.data.corpus import Corpus
from highlight_lit.data.datamodule import HighlightData
from highlight_lit.launch import composed


class HighlightDataModule(HighlightData):
    """Bags of a topic's positive and negative videos to train on, and the topic's videos to test.

    Args:
        corpus: The corpus, or its folder.
        topic: One of its topics.
        streams: Those the network reads, of `visual` and `audio`; None: all that the corpus has.
        further: As `HighlightData` takes them: `rule`, `training`, `tau`, `pairs`, `seed`, `validation`, ...

    Attributes:
        features: By stream, what its features are: what `HighlightModule` takes as `streams`.

    Raises:
        InputError: As `HighlightData`.
    """

    def __init__(
        self, corpus: Corpus | Path | str, topic: str, streams: Sequence[str] | None = None, **further: Any
    ) -> None:
        opened = corpus if isinstance(corpus, Corpus) else Corpus(Path(corpus))
        super().__init__(opened, topic, tuple(opened.streams) if streams is None else streams, **further)
        self.features = {name: asdict(self.corpus.streams[name]) for name in self.streams}


def default_nodes(streams: Mapping[str, Any]) -> dict[str, Any]:
    """The nodes `model`, `loss` and `optimizer` of conf/, for a network that reads these streams."""
    modality = "av" if len(streams) > 1 else next(iter(streams), "av")
    config = as_plain(composed("config", [f"modality={modality}", "topic=any", "data.root=."]))
    return {name: config[name] for name in ("model", "loss", "optimizer")}
