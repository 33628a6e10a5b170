"""Make text from files safe for messages and terminals."""

import re


def printable(text: str) -> str:
    """Replace control characters, including those of escape sequences, by question marks."""
    return "".join(c if c.isprintable() else "?" for c in text)


def one_line(error: BaseException) -> str:
    """Return the first line of an error's message, shortened and printable."""
    if isinstance(error, RecursionError):
        return "nested too deep"
    lines = str(error).splitlines()
    return printable(lines[0][:200]) if lines else type(error).__name__


def without_links(markdown: str) -> str:
    """Replace Markdown links by their text."""
    return re.sub(r"\[([^\[\]]*)\]\(https?://[^()\s]*\)", r"\1", markdown)
