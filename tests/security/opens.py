"""Opens of the files in a folder, by whatever opens them: an audit hook sees Python's alone, and not HDF5's or FFmpeg's."""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path

_IN_ACCESS, _IN_MODIFY, _IN_OPEN = 1, 2, 0x20
_HEAD = struct.Struct("iIII")


class Opens:
    """Notes each open, read and write of what lies in a folder, with inotify of Linux.

    Args:
        folder: Nothing but the test's own may lie in it.
    """

    def __init__(self, folder: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._file = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        assert libc.inotify_add_watch(self._file, os.fsencode(folder), _IN_ACCESS | _IN_MODIFY | _IN_OPEN) >= 0

    def __call__(self) -> list[str]:
        """Names of what was opened since the last call; of the folder itself an empty one."""
        try:
            events = os.read(self._file, 1 << 16)
        except BlockingIOError:
            return []
        found, at = [], 0
        while at < len(events):
            length = _HEAD.unpack_from(events, at)[3]
            at += _HEAD.size
            found.append(events[at : at + length].rstrip(b"\0").decode())
            at += length
        return found
