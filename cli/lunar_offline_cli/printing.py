"""Lines for people that may hold what a stranger's file said."""

import sys

MAX_LINE = 600


def say(line: str) -> None:
    """Print one line on stderr, without control characters and cut to a readable length."""
    printable = "".join(c if c.isprintable() else "?" for c in line)
    if len(printable) > MAX_LINE:
        printable = f"{printable[:MAX_LINE]} ..."
    print(printable, file=sys.stderr)
