"""Reading what `torch.save` wrote, of strangers too: as data alone, and in no more memory than the file is large.

`torch.load(weights_only=True)` makes tensors and plain values, and runs nothing. It does not bound memory: members of the
zip file may be compressed a thousandfold, a short pickle may ask for gigabytes, and a tensor may repeat one number
without end. All of these are refused here.
"""

from __future__ import annotations

import io
import pickletools
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from highlight_lit.errors import InputError, first_line
from highlight_lit.files import check_packed, open_regular, stored_bytes
from highlight_lit.text import shown
from highlight_lit.untrusted.zip_files import check_members

MAX_PICKLE_BYTES = 4 << 20  # of names and shapes, 60 times those of a network of 1,000 tensors; a byte may make 64
MAX_MEMBERS_BYTES = 8 << 20  # of the zip file's list of members: one a tensor
# All that tensors in dictionaries and lists are made of. `torch.load` knows more, and some of that takes memory.
_DATA = re.compile(
    r"collections\.(OrderedDict|Counter)|(builtins|__builtin__)\.set"
    r"|torch\._utils\._rebuild_(tensor_v2|parameter)|torch\.Size|torch\.([A-Z]\w*Storage|storage\.UntypedStorage)"
)
# Those that copy what they are given: a short pickle may have a long list copied a hundred thousand times.
_COPYING = re.compile(r"collections\..*|builtins\..*|torch\.Size")
_PUTS, _GETS = ("PUT", "BINPUT", "LONG_BINPUT"), ("GET", "BINGET", "LONG_BINGET")
MAX_COPIES = 32  # a state_dict has one, the state of a schedule too
_LEGACY_PICKLES = 5  # magic number, protocol, machine, value, keys of the storages; their numbers follow


def read_tensors(
    path: Path,
    what: str,
    *,
    most: int | None = None,
    legacy: bool = False,
    builders: Sequence[tuple[Callable[..., Any], str]] = (),
) -> Any:
    """Read a file that `torch.save` wrote onto the CPU.

    Args:
        path: The file.
        what: What it should be, for the error ("a PyTorch checkpoint").
        most: Bytes that it may have; None: as many as it has.
        legacy: Whether it may have the format from before PyTorch 1.6, which has no checksums.
        builders: Further functions that the file may call with anything, each with its name in the file.

    Returns:
        The value: tensors, what `builders` make, and plain values in dictionaries and lists.

    Raises:
        InputError: As `open_regular`; or the file is over `most`, damaged (each member is checked against its CRC-32), holds more
            than data, or asks for more memory than its size.
    """
    with open_regular(path, what) as file:
        size = file.seek(0, io.SEEK_END)
        if most is not None and size > most:
            raise InputError(f"{path}: {size >> 20} MiB; expected {what} of at most {most >> 20} MiB")
        check_packed(size, stored_bytes(file), str(path))
        try:
            if not legacy and not _is_zip(file):  # by its first bytes, as torch.load tells the formats apart
                raise InputError("no zip file")
            pickles = _members(file, size) if _is_zip(file) else _legacy_pickles(file)
            _check_names(pickles, {name for _, name in builders})
            file.seek(0)
            with torch.serialization.safe_globals(list(builders)):
                value = torch.load(file, map_location="cpu", weights_only=True)
            _check_sizes(value, size)
        except Exception as error:  # torch and zipfile raise nearly anything for a file that they did not write
            reason = shown(first_line(error)[:120])
            raise InputError(f"{path}: damaged, or not {what} of tensors and plain values ({reason})") from error
    return value


def _is_zip(file: BinaryIO) -> bool:
    file.seek(0)
    return file.read(4) == b"PK\3\4"


def _members(file: BinaryIO, size: int) -> Iterator[bytes]:
    """The pickle of a zip file whose members are stored as they are, lie side by side, and are whole."""
    check_members(file, MAX_MEMBERS_BYTES)
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise InputError("a compressed member; expected stored ones, as torch.save writes them")
        if sum(member.file_size for member in members) > size:
            raise InputError("its members overlap")
        pickles = [member for member in members if member.filename.lower().endswith(".pkl")]
        if any(member.file_size > MAX_PICKLE_BYTES for member in pickles):
            raise InputError(f"names and shapes of over {MAX_PICKLE_BYTES >> 20} MiB")
        if (bad := archive.testzip()) is not None:
            raise InputError(f"{bad}: its CRC-32 differs")
        yield from (archive.read(member) for member in pickles)


def _legacy_pickles(file: BinaryIO) -> Iterator[bytes]:
    """The pickles before the numbers."""
    file.seek(0)
    head = io.BytesIO(file.read(MAX_PICKLE_BYTES))
    for _ in range(_LEGACY_PICKLES):
        start = head.tell()
        for _ in pickletools.genops(head):  # stops behind the pickle
            pass
        yield head.getvalue()[start : head.tell()]


def _check_names(pickles: Iterator[bytes], known: set[str]) -> None:
    """Refuse a pickle that names anything but what builds data, or copies data again and again."""
    for content in pickles:
        copies, callables = 0, set[object]()
        called = False  # whether what came last is to be called with what follows
        for operation, argument, _ in pickletools.genops(content):
            kind = operation.name
            if kind in _PUTS:
                (callables.add if called else callables.discard)(argument)
                continue
            if kind in ("NEWOBJ", "DUP"):
                raise InputError(f"an operation that torch.save does not write ({kind})")
            if kind == "BUILD" or (called and kind != "EMPTY_TUPLE"):
                copies += 1
            called = kind in _GETS and argument in callables
            if kind in ("GLOBAL", "INST", "STACK_GLOBAL"):
                name = str(argument).replace(" ", ".")
                if name not in known and not _DATA.fullmatch(name):
                    raise InputError(f"it calls {name}")
                called = _COPYING.fullmatch(name) is not None
        if copies > MAX_COPIES:
            raise InputError(f"over {MAX_COPIES} mappings or lists made of others")


def _check_sizes(value: Any, size: int) -> None:
    """Refuse tensors that are larger than what the file holds of them."""
    total, counted = 0, set[int]()
    for tensor in _tensors(value):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in counted:
            counted.add(storage.data_ptr())
            total += storage.nbytes()
        if total > size or tensor.numel() * tensor.element_size() > storage.nbytes():
            raise InputError(f"a tensor of {tuple(tensor.shape)}, more than the file holds")


def _tensors(value: Any) -> Iterator[Tensor]:
    """Every tensor in dictionaries, lists and sets, each once; they may contain themselves."""
    left, seen = [value], set[int]()
    while left:
        each = left.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, Tensor):
            yield each
        elif isinstance(each, Mapping):
            left += [*each.keys(), *each.values()]
        elif isinstance(each, list | tuple | set | frozenset):
            left += each
