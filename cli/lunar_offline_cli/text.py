"""Text from files, made safe for a terminal."""

import sys

MAX_LINE = 600


def printable(text: str) -> str:
    """Replace control characters, escape sequences with them, by question marks."""
    return "".join(c if c.isprintable() else "?" for c in text)


def say(line: str) -> None:
    """Print one line on stderr, made printable and cut to a readable length."""
    shown = printable(line)
    print(f"{shown[:MAX_LINE]} ..." if len(shown) > MAX_LINE else shown, file=sys.stderr)
