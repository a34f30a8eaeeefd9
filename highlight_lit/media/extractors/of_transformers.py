"""transformers' networks of audio: `hf:MIT/ast-finetuned-audioset-10-10-0.4593` (AST), `hf:laion/clap-htsat-unfused` (CLAP)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import scipy.signal
import torch
from numpy.typing import NDArray

from highlight_lit.errors import InputError
from highlight_lit.hub import check_size, is_reachable
from highlight_lit.media.extractors.library import fetching, imported, version_of
from highlight_lit.media.extractors.weights import device
from highlight_lit.media.io.audio_clips import RATE
from highlight_lit.text import shown

FILES = ("*.json", "*.safetensors", "*.bin")  # of a repository that are fetched, at most
# The kinds of network that are read, and the class that makes each without what is not of audio.
KINDS = {"audio-spectrogram-transformer": "ASTModel", "clap": "ClapModel"}


class TransformersAudio:
    """The extractor: a second of audio, prepared as the weights' own metadata says; what AST pools, or CLAP's embedding.

    Args:
        name: `hf:NAME` of the Hugging Face hub.
        weights: A folder as `save_pretrained` writes it, in place of the hub.
        ask: Whether the hub may be asked; where it does not answer, what is kept here counts. A name that a checkpoint gives is never asked for.

    Raises:
        InputError: transformers is missing, the network is of another kind, or it cannot be had.
    """

    batch = 8

    def __init__(self, name: str, weights: Path | None = None, ask: bool = True) -> None:
        library = imported("transformers", name)
        if weights is not None and not weights.is_dir():
            raise InputError(
                f"--audio-weights {weights}: expected a folder as save_pretrained of transformers writes it"
            )
        own = name.partition(":")[2] if weights is None else str(weights)
        asks = ask and weights is None and not Path(own).is_dir() and is_reachable(own)
        options = {"local_files_only": not asks, "trust_remote_code": False}
        option = "--audio-weights FOLDER" + ("" if ask else f" (or fetch it once: hf download {own})")
        with fetching(name, option):
            if asks:
                check_size(own, FILES, name, "it with --audio-weights FOLDER")
            kind = library.AutoConfig.from_pretrained(own, **options).model_type
            if kind not in KINDS:
                raise InputError(f"{name}: a network of the kind {shown(kind)!r}; expected one of audio: AST or CLAP")
            network = getattr(library, KINDS[kind]).from_pretrained(own, **options)
            self._prepare = library.AutoFeatureExtractor.from_pretrained(own, **options)
        self.name, self._kind, self._network = name, kind, network.eval().to(device())
        facts = {key: value for key, value in self._prepare.to_dict().items() if "version" not in key}
        self.version = version_of(kind, network, sorted(map(str, facts.items())))
        self.width = self(np.zeros((1, RATE))).shape[1]

    @torch.inference_mode()
    def __call__(self, waveforms: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """(B, 16000) samples in -1..1 at 16 kHz to (B, Da)."""
        rate = int(self._prepare.sampling_rate)
        given = waveforms if rate == RATE else scipy.signal.resample_poly(waveforms, rate, RATE, axis=1)
        inputs = self._prepare(list(given.astype(np.float32)), sampling_rate=rate, return_tensors="pt").to(device())
        if self._kind == "clap":
            embedded = self._network.get_audio_features(**inputs)
            embedded = getattr(embedded, "pooler_output", embedded)  # a tensor before transformers 5
        else:
            embedded = self._network(**inputs).pooler_output
        rows: NDArray[np.float32] = embedded.float().cpu().numpy()
        return rows
