"""Reading a safetensors file that anybody may have written: bounded before memory is asked for, tensors alone."""

from __future__ import annotations

import io
import json
from pathlib import Path

from torch import Tensor

from highlight_lit.errors import InputError, first_line
from highlight_lit.files import check_packed, open_regular, stored_bytes, unique_keys
from highlight_lit.installation import need
from highlight_lit.text import shown

MAX_HEADER_BYTES = 4 << 20  # of names and shapes, 60 times those of a network of 1,000 tensors


def read_safetensors(path: Path, what: str) -> dict[str, Tensor]:
    """Read all tensors of a safetensors file onto the CPU.

    Args:
        path: The file.
        what: What it should be, for the error.

    Raises:
        InputError: As `open_regular`; the extra is missing; or the file is damaged, names a tensor twice, lets two share
            bytes, or has over `MAX_HEADER_BYTES` of names.
    """
    need("export", f"{path}:", "safetensors")
    from safetensors import SafetensorError
    from safetensors.torch import load

    with open_regular(path, what) as file:
        size = file.seek(0, io.SEEK_END)
        check_packed(size, stored_bytes(file), str(path))
        file.seek(0)
        header = int.from_bytes(file.read(8), "little")
        if size < 8 or header > size - 8:
            raise InputError(f"{path}: cut off, or no safetensors file; expected {what}")
        if header > MAX_HEADER_BYTES:
            raise InputError(f"{path}: names and shapes of over {MAX_HEADER_BYTES >> 20} MiB; expected {what}")
        file.seek(0)
        content = file.read(size)
    try:
        json.loads(content[8 : 8 + header], object_pairs_hook=unique_keys)  # the library takes the last of two
        return load(content)
    except (SafetensorError, RecursionError, ValueError, KeyError, TypeError, RuntimeError, OverflowError) as error:
        reason = shown(first_line(error)[:120])
        raise InputError(f"{path}: damaged, or no safetensors file ({reason}); expected {what}") from error
