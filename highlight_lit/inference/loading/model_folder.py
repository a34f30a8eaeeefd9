"""The folder of an exported detector: its weights as safetensors, its description as plain values, a card for people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from highlight_lit import __version__
from highlight_lit.errors import InputError
from highlight_lit.files import atomic_write, for_a_file, is_of_format, json_text, read_json
from highlight_lit.installation import need
from highlight_lit.untrusted.safetensors_files import read_safetensors

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
FORMAT, VERSION = "highlight-lit detector", 1
MAX_CONFIG_BYTES = 4 << 20


def is_model_folder(path: Path) -> bool:
    """Whether a folder holds a detector, or a part of one."""
    return (path / CONFIG).exists() or (path / WEIGHTS).exists()


def check_model_folder(folder: Path) -> None:
    """Refuse a place where no detector may be written.

    Raises:
        InputError: It is no folder, or has something else in it.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: not a folder; expected a new name, or the folder of a detector")
    known = {WEIGHTS, CONFIG, CARD}
    if folder.exists() and (other := sorted(each.name for each in folder.iterdir() if each.name not in known)):
        raise InputError(f"{folder}: holds {other[0]}; expected a new or empty folder, or that of a detector")


def write_model_folder(folder: Path, parts: Mapping[str, Any], tensors: Mapping[str, Tensor], card: str) -> None:
    """Write a detector; cut off anywhere, the folder is refused, never read as another detector.

    All of it is on the disk before any of it has its name: without room, what was there stays as it was.

    Args:
        folder: Made if missing.
        parts: What a checkpoint says of its network, plain values.
        tensors: The network's weights by its own names.
        card: Markdown.

    Raises:
        InputError: The extra is missing, or the folder cannot be written or holds something else.
    """
    need("export", "--to safetensors", "safetensors")
    from safetensors.torch import save

    check_model_folder(folder)
    for name in (WEIGHTS, CARD, CONFIG):
        for_a_file(folder / name)
    described = {"format": FORMAT, "version": VERSION, "highlight_lit": __version__, "hyper_parameters": dict(parts)}
    packed = save({name: tensor.contiguous() for name, tensor in tensors.items()}, {"format": "pt"})
    with atomic_write(folder / CONFIG) as config:  # the last to have its name
        config.write_text(json_text(described), encoding="utf-8")
        with atomic_write(folder / CARD) as readme:
            readme.write_text(card, encoding="utf-8", errors="backslashreplace")
            with atomic_write(folder / WEIGHTS) as weights:
                weights.write_bytes(packed)
                (folder / CONFIG).unlink(missing_ok=True)


def read_model_folder(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What a folder says of its network, and its tensors, neither of them checked any further.

    Raises:
        InputError: A file is missing or damaged, or of another format or version.
    """
    config = read_json(folder / CONFIG, "the configuration of a detector", MAX_CONFIG_BYTES)
    if not is_of_format(config, FORMAT, VERSION):
        raise InputError(
            f"{folder / CONFIG}: expected format {FORMAT!r}, version {VERSION}, as 'highlight-lit export --to safetensors' writes it"
        )
    return config, read_safetensors(folder / WEIGHTS, "a detector's weights")
