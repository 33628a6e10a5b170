"""The sections and tables of an HTML page."""

from collections.abc import Sequence


def section(title: str, lead: str, *parts: str, grid: str = "", after: str = "") -> str:
    """Return a section of a page.

    Args:
        title: heading.
        lead: sentence below the heading.
        *parts: HTML of the cells of a CSS grid.
        grid: further CSS classes of the grid.
        after: HTML that follows the grid.
    """
    inside = f'<div class="grid {grid}">{"".join(parts)}</div>{after}'
    return f"<section><h2>{title}</h2><p>{lead}</p>{inside}</section>"


def table(
    caption: str, head: Sequence[str], rows: Sequence[Sequence[str]], *, kind: str = ""
) -> str:
    """Return a table. Nothing is escaped: cells must be numbers or names from this package.

    Args:
        caption: of the table; empty leaves it out.
        head: column headings.
        rows: cells; the first cell of a row is its heading.
        kind: CSS class.
    """
    heads = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    lines = "".join(
        f'<tr><th scope="row">{row[0]}</th>' + "".join(f"<td>{c}</td>" for c in row[1:]) + "</tr>"
        for row in rows
    )
    above = f"<caption>{caption}</caption>" if caption else ""
    inside = f"{above}<thead><tr>{heads}</tr></thead><tbody>{lines}</tbody>"
    return f'<table class="{kind}">{inside}</table>'
