"""The file that the HDF5 library writes to, whose writes must not raise."""

from __future__ import annotations

import io
from typing import Any

from highlight_lit.processes.signals import put_off_within


class Sink(io.FileIO):
    """A file whose writes do not raise: the library crashes the process when one fails as it closes a file.

    The first error is kept in `failed`, and what is written from then on is dropped; the file is not going to be kept. A
    signal waits for the end of a write.
    """

    failed: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of it, unless a write has failed."""
        done = 0
        try:
            while done < len(data) and self.failed is None:
                done += super().write(data[done:]) or 0
        except OSError as error:
            self.failed = error
        return len(data)

    def truncate(self, size: int | None = None) -> int:
        """Give the file a size, unless a write has failed."""
        try:
            return super().truncate(size) if self.failed is None else size or 0
        except OSError as error:
            self.failed = error
            return size or 0


put_off_within(Sink.write.__code__.co_filename)
