"""The exceptions for bad input and for a run that was told to stop, the first line of any error, and a command's status."""

from __future__ import annotations

import errno
import functools
import os
import signal
import sys
from collections.abc import Callable
from typing import ParamSpec

from highlight_lit.text import one_line, say

Given = ParamSpec("Given")
_OUT_OF_REACH = (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG)  # asked whether a file is there, Python raises these
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class InputError(ValueError):
    """What the user gave cannot be used.

    The message is one line: it names the file, video, field or key, says what is wrong with it and what was
    expected. The command line prints it alone and exits with status 2.
    """

    def __str__(self) -> str:
        """The message: one line of at most `MAX_LINE` characters, whatever the names and values in it hold."""
        return one_line(super().__str__())


class Interrupted(BaseException):
    """A run was told to stop by a signal.

    Not an `Exception`: nothing that handles a failed run may take it for one.

    Args:
        signum: The signal's number.
        then: What the same command does next.
    """

    def __init__(self, signum: int, then: str = "the same command goes on from the last checkpoint") -> None:
        super().__init__(signum, then)
        self.signum, self.then = signum, then

    @property
    def status(self) -> int:
        """Exit status, as shells give it: 143 after SIGTERM, 130 after SIGINT."""
        return 128 + self.signum

    def __str__(self) -> str:
        return f"stopped by {signal.Signals(self.signum).name}; {self.then}"


def first_line(error: BaseException) -> str:
    """The first line of an error that is not blank; the name of its type where it says nothing."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def with_kind(error: BaseException) -> str:
    """The first line of an error after the name of its type, which an `InputError` does without."""
    kind, first = type(error).__name__, first_line(error)
    return first if isinstance(error, InputError) or first == kind else f"{kind}: {first}"


def wants_traceback() -> bool:
    """Whether HIGHLIGHT_LIT_TRACEBACK=1 asks for the traceback of what else is one line."""
    return os.environ.get("HIGHLIGHT_LIT_TRACEBACK") == "1"


def answered(program: str, work: Callable[[], int]) -> int:
    """The status that a command ends with; bad input and a full disk are a line on standard error and 2."""
    try:
        return work()
    except BrokenPipeError:  # the reader of our output, `head` say, has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (InputError, OSError) as error:
        if wants_traceback() or (fault := _fault(error)) is None:
            raise
        say(f"{program}: {fault}", file=sys.stderr)
        return 2


def _fault(error: InputError | OSError) -> str | None:
    """What to say of an error; None of one that is a fault of the program's own."""
    if isinstance(error, InputError):
        return str(error)
    if error.filename is not None and error.errno in _OUT_OF_REACH:
        return f"{error.filename}: {error.strerror}; expected a name in a folder that this user may look into"
    if error.errno not in NO_ROOM:
        return None
    if error.filename is not None:
        return f"{error.filename}: cannot be written ({error.strerror})"
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python's own end fails on it again
    return f"standard output, or a file, cannot be written ({error.strerror}); expected room for it"


def command(program: str) -> Callable[[Callable[Given, int]], Callable[Given, int]]:
    """Have a script's main function answer bad input as the command line does: a line on standard error, status 2."""

    def of(main: Callable[Given, int]) -> Callable[Given, int]:
        @functools.wraps(main)
        def told(*words: Given.args, **named: Given.kwargs) -> int:
            return answered(program, lambda: main(*words, **named))

        return told

    return of
