"""The list of members of a zip file, which Python reads whole and makes an object of 400 bytes and more of each."""

from __future__ import annotations

import io
import struct
import zipfile
from typing import IO

_END, _END_64, _LOCATOR_64 = "<4s4H2LH", "<4sQ2H2L4Q", "<4sLQL"


def check_members(file: IO[bytes], most: int) -> None:
    """Refuse a list of members that is large, or that two readers may take for different ones, before it is read.

    Args:
        file: The zip file; left at its start.
        most: Bytes of the list, 46 and a name for each member.

    Raises:
        BadZipFile: The list is over that, or the file does not end as `numpy.savez` and `torch.save` end theirs.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - 98))
    tail = file.read(98).rjust(98, b"\0")
    file.seek(0)
    if file.read(2) != b"PK":
        raise zipfile.BadZipFile("File is not a zip file")
    file.seek(0)
    signature, *_, length, begin, comment = struct.unpack(_END, tail[-22:])
    end = size - 22
    if signature != b"PK\5\6" or comment:
        raise zipfile.BadZipFile("its end is missing")
    locator = struct.unpack(_LOCATOR_64, tail[-42:-22])
    if locator[0] == b"PK\6\7":
        record = struct.unpack(_END_64, tail[:56])
        if record[0] != b"PK\6\6" or locator[2] != size - 98:
            raise zipfile.BadZipFile("its end is damaged")
        length, begin, end = record[8], record[9], size - 98
    if begin + length != end:  # Python reads the list that ends here, PyTorch the one that begins where this says
        raise zipfile.BadZipFile("its list of members does not lie before its end")
    if length > most:
        raise zipfile.BadZipFile(f"a list of members of over {most >> 20} MiB")
