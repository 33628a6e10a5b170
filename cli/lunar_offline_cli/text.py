"""Text from files, made safe for a terminal."""


def printable(text: str) -> str:
    """Replace control characters, escape sequences with them, by question marks."""
    return "".join(c if c.isprintable() else "?" for c in text)
