"""Make text from files safe for a terminal."""

import sys

from lunar_offline.storage.plain_text import printable as printable

MAX_LINE = 600


def print_line(line: str) -> None:
    """Print one line on stderr, made printable and shortened to a readable length."""
    shown = printable(line)
    print(f"{shown[:MAX_LINE]} ..." if len(shown) > MAX_LINE else shown, file=sys.stderr)
