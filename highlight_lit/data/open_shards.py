"""The files of some shards, open for plain reads, and known to be the ones that the shards were opened on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence

from highlight_lit.data.shard import Shard, identity
from highlight_lit.errors import InputError


class OpenShards:
    """Descriptors of some shards' files, for some reads; to be used with `with`.

    Args:
        shards: All shards.
        numbers: Those to open.
        tell: Called with the number of a shard before anything is done to its file.

    Raises:
        InputError: Before or after the reads a file is gone, or no longer the one that was opened: replaced, cut or
            written to.
    """

    def __init__(self, shards: Sequence[Shard], numbers: Iterable[int], tell: Callable[[int], object]) -> None:
        self._shards, self._tell = shards, tell
        self._files: dict[int, int] = {}
        try:
            for number in numbers:
                self._open(number)
        except BaseException:
            self._close()
            raise

    def __enter__(self) -> OpenShards:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            for number in self._files if kind is None else ():
                self._same(number)
        finally:
            self._close()

    def _open(self, number: int) -> None:
        self._tell(number)
        path = self._shards[number].path
        try:
            self._files[number] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise InputError(f"{path}: cannot be read any more ({error.strerror}); expected a feature shard") from error
        self._same(number)

    def _same(self, number: int) -> None:
        shard = self._shards[number]
        if identity(os.fstat(self._files[number])) != shard.identity:
            raise InputError(f"{shard.path}: replaced or changed since it was opened; expected the same file")

    def _close(self) -> None:
        for file in self._files.values():
            os.close(file)
        self._files.clear()

    def fill(self, number: int, into: memoryview, offset: int) -> None:
        """Fill a buffer from a byte of a shard's file on.

        Raises:
            InputError: The file ends too soon or cannot be read.
        """
        self._tell(number)
        while True:
            try:
                got = os.preadv(self._files[number], [into], offset)
            except (OSError, OverflowError, ValueError) as error:
                path = self._shards[number].path
                raise InputError(f"{path}: cannot be read at byte {offset} ({error})") from error
            if got == len(into):
                return
            if got == 0:
                path = self._shards[number].path
                raise InputError(f"{path}: ends before byte {offset + len(into)}: truncated or damaged")
            into, offset = into[got:], offset + got
