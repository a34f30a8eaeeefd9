"""Files that one process at a time holds; who waits for one says so, and for whom. And whether a process still is."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from highlight_lit.text import say

_PERIOD_S = 0.2  # between two tries
_told: set[Path] = set()  # folders without locks, of which this process has told


@contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold a lock file, which is removed afterwards; the hold ends with the process, however that ends.

    Where the file system has no locks, a line on standard error says so and nothing is held.

    Args:
        path: The file; its folder is made, and removed again if nothing else is in it.
        what: What the holder does, for those who wait.

    Raises:
        OSError: It cannot be made or written, or something else lies there: a link, a pipe, a device.
    """
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            if os.path.lexists(path.parent) and not path.parent.is_dir():
                raise
            continue  # whoever held the folder's last file removed it while it was looked at
        try:
            file = open_lock(path)
        except FileNotFoundError:
            continue  # whoever held another file of the folder has just removed it
        except OSError:
            with contextlib.suppress(OSError):
                path.parent.rmdir()
            raise
        try:
            _wait(file, path, what)
            if is_at(file, path):
                try:
                    _sign(file, path)
                    yield
                finally:
                    path.unlink(missing_ok=True)
                    with contextlib.suppress(OSError):
                        path.parent.rmdir()
                return
        finally:
            os.close(file)


def _sign(file: int, path: Path) -> None:
    """Write into a lock who holds it.

    Raises:
        OSError: The disk is full; it names the file.
    """
    try:
        os.truncate(file, 0)
        os.pwrite(file, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def open_lock(path: Path, make: int = os.O_CREAT) -> int:
    """Open a lock file, made if missing, for reading and writing; no link is followed, and no pipe waited for.

    Raises:
        OSError: It cannot be made, or something else lies there.
    """
    file = os.open(path, os.O_RDWR | make | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:  # what is written here would be written there
        os.close(file)
        raise OSError(errno.EINVAL, "no lock file of this program: a pipe, a device, or a hard link", str(path))
    return file


def _wait(file: int, path: Path, what: str) -> None:
    """Take the lock, and say so if that takes waiting."""
    tries = 0
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            holder = os.pread(file, 512, 0).decode(errors="replace")
            tries += 1
            if tries == (1 if holder else 3):  # the holder may be about to write its name
                say(f"{what}: waits for {holder or 'another process'}, which is at it", file=sys.stderr)
            time.sleep(_PERIOD_S)
        except OSError as error:
            folder = path.parent.parent
            if folder not in _told:
                _told.add(folder)
                say(f"{folder}: no file locks here (flock: {error.strerror}); "
                    "start no second process that works in it", file=sys.stderr)  # fmt: skip
            return


def is_at(file: int, path: Path) -> bool:
    """Whether an open file still lies at a path: its last holder may have removed it."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def alive(process: int) -> bool:
    """Whether a process of this machine still is."""
    try:
        os.kill(process, 0)
    except OSError as error:
        return isinstance(error, PermissionError)
    except OverflowError:  # of a folder's name, which anybody may have made
        return False
    return True
