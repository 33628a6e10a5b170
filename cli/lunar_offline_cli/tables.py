"""Plain tables that fit a terminal."""

import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence

from lunar_offline_cli.messages import printable

WIDEST_NAME = 30  # characters of a line in the first column
GAP = "  "
KEY_WIDTH = 11


def terminal_width() -> int:
    """Return the number of columns to print in: those of the terminal, between 60 and 100."""
    return max(60, min(100, shutil.get_terminal_size().columns))


def aligned(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return an aligned table; one that is too wide continues below, with its first column again.

    Args:
        headings: of the columns. Those of numbers are broken into lines.
        rows: cells. The first one of a row is a name. Columns with numbers are on the right.
    """
    names = [_wrapped(row[0], WIDEST_NAME) for row in rows]
    first = max(len(line) for lines in (*names, [headings[0]]) for line in lines)
    columns = [
        (_heading(heading, [row[index] for row in rows]), [row[index] for row in rows])
        for index, heading in enumerate(headings)
    ][1:]
    blocks = []
    for block in _blocks(columns, terminal_width() - first):
        height = max(len(heading) for heading, _ in block)
        above = [[*[""] * (height - len(heading)), *heading] for heading, _ in block]
        lines = [
            _line(
                headings[0] if level == height - 1 else "", first, block, [a[level] for a in above]
            )
            for level in range(height)
        ]
        for index, name in enumerate(names):
            lines.append(_line(name[0], first, block, [cells[index] for _, cells in block]))
            lines += name[1:]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


Column = tuple[list[str], Sequence[str]]
"""The lines of a heading, and the cells."""


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(printable(text), width, break_on_hyphens=False) or [""]


def _heading(text: str, cells: Sequence[str]) -> list[str]:
    """Break a heading at spaces to about the width of its cells."""
    return _wrapped(text, max(8, *map(len, cells), *map(len, text.split())))


def _width(column: Column) -> int:
    return max(map(len, (*column[0], *column[1])))


def _side(column: Column) -> str:
    """Return the alignment of a column: words on the left, numbers on the right."""
    return ">" if any(not cell[:1].isalpha() for cell in column[1]) else "<"


def _blocks(columns: Sequence[Column], room: int) -> Iterator[list[Column]]:
    """Yield the columns that fit next to each other."""
    block: list[Column] = []
    used = 0
    for column in columns:
        needed = len(GAP) + _width(column)
        if block and used + needed > room:
            yield block
            block, used = [], 0
        block, used = [*block, column], used + needed
    yield block


def _line(name: str, first: int, block: Sequence[Column], cells: Sequence[str]) -> str:
    shown = (
        f"{cell:{_side(column)}{_width(column)}}" for column, cell in zip(block, cells, strict=True)
    )
    return GAP.join((f"{name:<{first}}", *shown)).rstrip()


def pairs(values: Mapping[str, str], *, indent: int = 0) -> str:
    """Return one line per key and value; a long value continues under its beginning."""
    lines = []
    for key, value in values.items():
        start = indent + KEY_WIDTH + len(GAP)
        head = f"{' ' * indent}{printable(key):<{KEY_WIDTH}}{GAP}"
        text = _wrapped(value, terminal_width() - start)
        if (
            len(text) > 1
            and " " not in value.strip()
            and len(value) + indent + 2 <= terminal_width()
        ):
            lines += [
                head.rstrip(),
                f"{' ' * (indent + 2)}{printable(value)}",
            ]  # keep it in one piece
            continue
        lines.append((head + text[0]).rstrip())
        lines += [" " * start + line for line in text[1:]]
    return "\n".join(lines)
