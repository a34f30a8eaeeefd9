"""Whether a process still is."""

from __future__ import annotations

import os


def alive(process: int) -> bool:
    """Whether a process of this machine still is."""
    try:
        os.kill(process, 0)
    except OSError as error:
        return isinstance(error, PermissionError)
    except OverflowError:  # of a folder's name, which anybody may have made
        return False
    return True
