"""The one exception for bad input."""

from __future__ import annotations


class InputError(ValueError):
    """What the user gave cannot be used.

    The message is one line: it names the file, video, field or key, says what is wrong with it and what was
    expected. The command line prints it alone and exits with status 2.
    """
