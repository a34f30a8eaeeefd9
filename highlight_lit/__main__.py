"""The command `highlight-lit`, also `python -m highlight_lit`; a signal to stop is one line even while Python imports."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType


def main() -> int:
    """Run the command line; returns its exit status."""
    before = {number: signal.signal(number, _end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        from highlight_lit.cli import main as command

        return command()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(signum: int, frame: FrameType | None) -> None:
    """End at once: nothing has begun, and an exception raised within an import may be lost or become another."""
    os.write(2, f"highlight-lit: stopped by {signal.Signals(signum).name}; the same command starts again\n".encode())
    os._exit(128 + signum)


if __name__ == "__main__":
    sys.exit(main())
