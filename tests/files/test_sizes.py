"""What of a file is stored."""

from __future__ import annotations

import os
from pathlib import Path

from highlight_lit.files import stored_bytes


def test_holes_of_a_file_are_not_counted_as_stored(tmp_path: Path) -> None:
    with open(tmp_path / "a", "wb+") as file:
        assert stored_bytes(file) == 0
        file.write(bytes(1 << 16))  # zeros, but written
        file.flush()
        assert stored_bytes(file) == 1 << 16
        file.truncate(1 << 30)
        assert stored_bytes(file) in (1 << 16, 1 << 30)  # the latter where the file system does not tell
        file.seek(1 << 29)
        file.write(b"x")
        file.flush()
        assert stored_bytes(file) in ((1 << 16) + os.fstat(file.fileno()).st_blksize, 1 << 30)
