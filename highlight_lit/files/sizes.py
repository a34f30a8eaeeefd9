"""How much of a file is stored, and how much it may stand for."""

from __future__ import annotations

import errno
import os
from typing import BinaryIO

from highlight_lit.errors import InputError

MAX_PACKED = 100  # times that an array or tensors can be larger than what the disk or an archive holds of them
MIN_PACKED_BYTES = 32 << 20  # which any may have


def stored_bytes(file: BinaryIO) -> int:
    """Bytes of an open file that are no hole: what a sender has sent. All of them where the file system does not tell.

    Not the blocks on the disk: some file systems count those of a new file late, and pack what they store.
    """
    size, stored, at = os.fstat(file.fileno()).st_size, 0, 0
    place = os.lseek(file.fileno(), 0, os.SEEK_CUR)
    try:
        while at < size:
            at = os.lseek(file.fileno(), at, os.SEEK_DATA)
            end = os.lseek(file.fileno(), at, os.SEEK_HOLE)
            stored, at = stored + end - at, end
    except OSError as error:
        return stored if error.errno == errno.ENXIO else size  # ENXIO: nothing but a hole follows
    finally:
        os.lseek(file.fileno(), place, os.SEEK_SET)  # where whoever reads the file takes it to be
    return stored


def check_packed(size: int, held: int, where: str) -> None:
    """Refuse what is large and next to nothing of it stored: a hole in a file, or zeros in an archive.

    Args:
        size: Bytes of it.
        held: Bytes that are stored of it.
        where: The file, for the error.

    Raises:
        InputError: It is large, and over `MAX_PACKED` times what is stored.
    """
    if size > max(MIN_PACKED_BYTES, MAX_PACKED * held):
        raise InputError(
            f"{where}: {size >> 20} MiB of {held >> 10} KiB that are stored; expected at most {MAX_PACKED} times as much as is stored"
        )
