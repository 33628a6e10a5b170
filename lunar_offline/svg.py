"""Small figures as inline SVG: fluid width, text of a fixed size, colors from the page's CSS.

The box of each `<svg>` is the plot area, with positions in percent; labels are in its CSS margin.
All text is escaped here. The same figures by matplotlib take 8 times the bytes and 10 times the
time, and their colors do not change with a page's dark mode.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVELS = 8  # steps of a color scale; page.css has a class for each
BINS = 40


def nice_step(span: float, parts: int) -> float:
    """Return the smallest of 1, 2, 5 times a power of ten that divides `span` into <= `parts`."""
    power = 10.0 ** math.floor(math.log10(span / parts))
    return next(m * power for m in (1, 2, 5, 10) if m * power * parts >= span * (1 - 1e-9))


def number(value: float, digits: int = 0) -> str:
    """Format a number for display, with a Unicode minus sign and without negative zero."""
    text = f"{value:,.{digits}f}" if abs(value) < 1e8 else f"{value:.1e}"
    return text.lstrip("-") if float(text.replace(",", "")) == 0 else text.replace("-", "\u2212")


@dataclass(frozen=True)
class Axis:
    """A linear axis from `low` to `high`, with a label and about `parts` ticks."""

    low: float
    high: float
    label: str = ""
    parts: int = 5

    def at(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return the positions of values on the axis: 0 at `low`, 1 at `high`."""
        return (np.asarray(values, dtype=np.float64) - self.low) / (self.high - self.low)

    def ticks(self) -> list[tuple[float, str]]:
        """Return the position of each tick in percent, and its text."""
        step = nice_step(self.high - self.low, self.parts)
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        values = np.arange(first, last + 1) * step
        places = 100 * self.at(values)
        return [(p, number(v, digits)) for p, v in zip(places, values, strict=True)]


def axes(x: Axis, y: Axis) -> str:
    """Return the SVG of the y grid lines, the ticks and both labels."""
    marks = []
    for place, text in y.ticks():
        at = f"{100 - place:.2f}%"
        marks.append(f'<line class="rule" x1="0" x2="100%" y1="{at}" y2="{at}"/>')
        marks.append(f'<text x="-8" y="{at}" dy=".35em" text-anchor="end">{text}</text>')
    marks.append('<line class="axis" x1="0" x2="100%" y1="100%" y2="100%"/>')
    for place, text in x.ticks():
        marks.append(
            f'<text x="{place:.2f}%" y="100%" dy="1.5em" text-anchor="middle">{text}</text>'
        )
    if x.label:
        label = escape(x.label)
        marks.append(f'<text x="50%" y="100%" dy="3em" text-anchor="middle">{label}</text>')
    if y.label:
        marks.append(f'<text x="0" y="0" dx="-8" dy="-.9em">{escape(y.label)}</text>')
    return "".join(marks)


def figure(
    name: str, title: str, description: str, drawn: str, *, kind: str, after: str = ""
) -> str:
    """Return a figure: a drawing with a heading, and a description for screen readers.

    Args:
        name: an id, unique on the page.
        title: heading.
        description: one sentence, with numbers, on what the figure shows.
        drawn: SVG of the drawing.
        kind: the CSS class that sets height and margins.
        after: HTML below the plot, such as a legend.
    """
    return (
        f'<figure id="{name}"><figcaption>{escape(title)}</figcaption>'
        f'<svg class="{kind}" role="img" aria-labelledby="{name}-t {name}-d">'
        f'<title id="{name}-t">{escape(title)}</title>'
        f'<desc id="{name}-d">{escape(description)}</desc>{drawn}</svg>{after}</figure>'
    )


def histogram(
    values: NDArray[Any], label: str, unit: str, *, tail: float = 0.0, ticks: int = 5
) -> str:
    """Return the SVG of a histogram of at most BINS bins with a round width.

    Args:
        values: [n], finite.
        label: label of the horizontal axis.
        unit: name of the counted things.
        tail: share of the values at either end that is outside the axis and counted in its last
            bin.
        ticks: approximate number of ticks on the horizontal axis.
    """
    values = np.asarray(values, dtype=np.float64)
    low, high = np.quantile(values, [tail, 1.0 - tail])
    whole = np.array_equal(values, np.round(values))
    if high - low < 1e-9 * max(1.0, abs(high)):
        around = max(1.0 if whole else 0.5, 1e-6 * abs(high))
        low, high = low - around, high + around
    step = max(nice_step(high - low, BINS - 1), 1.0 if whole else 0.0)
    edges = np.arange(math.floor(low / step), math.floor(high / step) + 2) * step
    if whole and step == 1.0:
        edges -= 0.5  # center each bar on its integer
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    x = Axis(float(edges[0]), float(edges[-1]), label, ticks)
    y = Axis(0.0, 1.05 * int(counts.max()), unit, max(2, min(4, int(counts.max()))))
    places = 100 * x.at(edges)
    digits = 1 if edges[0] % 1.0 == 0.5 else max(0, -math.floor(math.log10(step) + 1e-9))
    heights = 100 * y.at(counts)
    bars = "".join(
        f'<rect class="bar" x="{left:.2f}%" y="{100 - height:.2f}%" width="{right - left:.2f}%" '
        f'height="{height:.2f}%"><title>{number(a, digits)} to {number(b, digits)}: '
        f"{number(count)} {escape(unit)}</title></rect>"
        for left, right, height, a, b, count in zip(
            places, places[1:], heights, edges, edges[1:], counts, strict=False
        )
        if count
    )
    return axes(x, y) + bars


def shares(names: Sequence[str], counts: Sequence[int]) -> str:
    """Return the SVG of one horizontal bar per name, with its share of the total."""
    total, most, height = sum(counts), max(counts), 100 / len(names)
    rows = []
    for index, (name, count) in enumerate(zip(names, counts, strict=True)):
        middle, width = (index + 0.5) * height, 66 * count / most
        text = f"{number(100 * count / total, 1)}%"
        rows.append(
            f'<text x="-10" y="{middle:.2f}%" dy=".35em" text-anchor="end">{escape(name)}</text>'
            f'<rect class="bar" x="0" y="{middle - 0.34 * height:.2f}%" width="{width:.2f}%" '
            f'height="{0.68 * height:.2f}%"><title>{escape(name)}: {number(count)}</title></rect>'
            f'<text class="value" x="{width:.2f}%" y="{middle:.2f}%" dx="8" dy=".35em">{text}'
            "</text>"
        )
    return "".join(rows)


def stacked(names: Sequence[str], counts: Sequence[int]) -> str:
    """Return the SVG of one bar, divided into shares, each with its name as CSS class."""
    total, left, parts = sum(counts), 0.0, []
    for name, count in zip(names, counts, strict=True):
        width = 100 * count / total
        parts.append(
            f'<rect class="{name}" x="{left:.3f}%" y="0" width="{width:.3f}%" height="100%">'
            f"<title>{name}: {number(count)}</title></rect>"
        )
        left += width
    return "".join(parts)


def density(
    x: Axis, y: Axis, xs: NDArray[Any], ys: NDArray[Any], *, cells: tuple[int, int]
) -> tuple[str, int]:
    """Draw the number of points in each cell, on a logarithmic scale of LEVELS steps.

    Returns:
        The SVG without axes, and the largest number of points in one cell. Points outside the axes
        are not counted.
    """
    columns, rows = cells
    counts, _, _ = np.histogram2d(x.at(xs), y.at(ys), bins=cells, range=((0, 1), (0, 1)))
    most = int(counts.max())
    scale = np.log(np.maximum(counts, 1.0)) / np.log(most) if most > 1 else np.ones(cells)
    levels = np.where(counts > 0, np.minimum((scale * LEVELS).astype(int), LEVELS - 1), -1)
    paths = []
    for level in range(LEVELS):
        cells_there = np.argwhere(levels == level)
        path = "".join(f"M{i} {rows - 1 - j}h1v1h-1z" for i, j in cells_there)
        if path:
            paths.append(f'<path class="d{level}" d="{path}"/>')
    return scaled("".join(paths), columns, rows), most


def scaled(drawn: str, width: int, height: int) -> str:
    """Stretch a drawing of width x height to fill the plot area, clipped at its edges."""
    return (
        f'<svg width="100%" height="100%" viewBox="0 0 {width} {height}" '
        f'preserveAspectRatio="none">{drawn}</svg>'
    )


def polyline(x: Axis, y: Axis, points: NDArray[Any], *, size: int = 1000) -> str:
    """Return SVG path data through points [n, 2], for a drawing of size x size."""
    places = np.stack([x.at(points[:, 0]), 1.0 - y.at(points[:, 1])], axis=1)
    whole = np.rint(np.clip(places, -2.0, 3.0) * size).astype(int)
    return "M" + "L".join(f"{a} {b}" for a, b in whole)


def scale_legend(prefix: str, texts: Sequence[str], title: str) -> str:
    """Return the legend of a color scale: LEVELS swatches, with texts spread evenly below them."""
    swatches = "".join(f'<i class="{prefix}{level}"></i>' for level in range(LEVELS))
    labels = "".join(f"<span>{escape(text)}</span>" for text in texts)
    return (
        f'<div class="legend"><p>{escape(title)}</p><div class="scale" aria-hidden="true">'
        f'{swatches}</div><div class="stops">{labels}</div></div>'
    )
