"""A detector from its checkpoint, folder or hub repository, as data: nothing in the file is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from highlight_lit.data.topics.folds import is_fold
from highlight_lit.data.topics.tags import MAX_TAG
from highlight_lit.data.video import STREAMS, Stream
from highlight_lit.errors import InputError
from highlight_lit.files import plain_name
from highlight_lit.hub import fetch, is_repository
from highlight_lit.inference.detector import Detector
from highlight_lit.inference.loading.model_folder import CONFIG, is_model_folder, read_model_folder
from highlight_lit.runs.ledger import RECORD, read_record
from highlight_lit.text import shown
from highlight_lit.untrusted.checkpoint_file import LAST_CHECKPOINT, read_checkpoint
from highlight_lit.untrusted.networks import check_trusted, restore
from highlight_lit.untrusted.plain_values import plain

MAX_WIDTH = 1 << 20  # of a clip's features
MAX_NAME = MAX_TAG  # characters of a topic, which is a tag, or of an extractor and its version
NETWORK = "network."  # before the names of the network's weights; the loss may have weights of its own


def load_detector(path: Path | str, trusted: Sequence[str] = ()) -> Detector:
    """Load a detector from a file, folder or hub repository; arguments and errors are those of `Detector.load`."""
    check_trusted(trusted)
    path = located(path)
    if path.is_dir():
        file, weights = read_model_folder(path)
    else:
        file = read_checkpoint(path)
        state = _mapping(file, "state_dict", path)
        weights = {name.removeprefix(NETWORK): value for name, value in state.items() if name.startswith(NETWORK)}
    parts = plain(_mapping(file, "hyper_parameters", path), f"{path}: hyper_parameters")
    streams = _streams(_mapping(parts, "streams", path), path)
    topic = _text(parts.get("topic"), f"{path}: topic")
    widths = {name: stream.width for name, stream in streams.items()}
    network = restore(parts.get("model"), weights, str(path), trusted, Dv=widths.get("visual"), Da=widths.get("audio"))
    reads = set(getattr(network, "embeddings", streams))
    if reads != set(streams):
        raise InputError(f"{path}: streams: {', '.join(streams)}; its network reads {', '.join(sorted(reads))}")
    fold = parts.get("fold")
    if fold is not None and not is_fold(fold):
        raise InputError(f"{path}: fold: {shown(str(fold))}; expected K/n or none")
    corpus = parts.get("corpus")
    corpus = corpus and _text(corpus, f"{path}: corpus")
    return Detector(network, topic, streams, path, fold, parts, corpus)


def located(given: Path | str) -> Path:
    """Path of the checkpoint or detector's folder that a path, run's folder or hub repository means.

    Raises:
        InputError: A folder without either; a damaged record in it; or a hub that cannot be reached.
    """
    path = Path(given)
    if not path.is_dir():
        return fetch(str(given)) if not path.exists() and is_repository(str(given)) else path
    if is_model_folder(path):
        return path
    record = read_record(path) or {}
    checkpoint = path / plain_name(
        record.get("kept", {}).get("checkpoint", LAST_CHECKPOINT), f"{path / RECORD}: kept.checkpoint"
    )
    if not checkpoint.exists():
        raise InputError(
            f"{path}: a folder without {CONFIG} and {checkpoint.name}; expected a checkpoint, a run's folder, or one that"
            " 'highlight-lit export --to safetensors' wrote"
        )
    return checkpoint


def _mapping(checkpoint: Mapping[str, Any], key: str, path: Path) -> dict[str, Any]:
    """The mapping under a key of a checkpoint, refused where it is none."""
    value = checkpoint.get(key)
    if not isinstance(value, dict) or not all(type(name) is str for name in value):
        kind = "missing" if key not in checkpoint else f"a {type(value).__name__}"
        raise InputError(f"{path}: damaged, or not a checkpoint of highlight-lit ({key}: {kind})")
    return value


def _streams(given: Mapping[str, Any], path: Path) -> dict[str, Stream]:
    """What a checkpoint says of its streams, each value of its type and bounded."""
    streams = {}
    for name, facts in given.items():
        where = f"{path}: streams.{shown(_text(name, f'{path}: streams'))}"
        if name not in STREAMS or not isinstance(facts, dict) or not facts.keys() <= _FIELDS:
            raise InputError(f"{where}: expected {' or '.join(STREAMS)} with {', '.join(sorted(_FIELDS))}")
        width = facts.get("width")
        if type(width) is not int or not 0 < width <= MAX_WIDTH:
            raise InputError(f"{where}.width: expected a whole number from 1 to {MAX_WIDTH}")
        texts = {key: _text(value, f"{where}.{key}") for key, value in facts.items() if key != "width"}
        if texts.get("dtype", "float16") not in ("float16", "float32"):
            raise InputError(f"{where}.dtype: expected float16 or float32")
        streams[name] = Stream(width, **texts)
    return streams


_FIELDS = {field.name for field in fields(Stream)}


def _text(value: object, where: str) -> str:
    if type(value) is not str or len(value) > MAX_NAME or value != value.encode("utf-8", "ignore").decode():
        raise InputError(f"{where}: expected text of at most {MAX_NAME} characters, which UTF-8 can hold")
    return value
