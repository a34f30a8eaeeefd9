"""The command `highlight-lit`, also `python -m highlight_lit`; Ctrl-C is one line even while Python still imports."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line; returns its exit status."""
    try:
        from highlight_lit.cli import main as command

        return command()
    except KeyboardInterrupt:
        sys.stderr.write("highlight-lit: interrupted\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
