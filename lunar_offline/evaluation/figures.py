"""Figures as PNG files. Only this module imports matplotlib; it uses no global state of it."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lunar_offline.evaluation.summary import WINDOW, window_means
from lunar_offline.storage.atomic_write import write_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GRAY = "#1f5fa8", "#d1661f", "#9aa3ad"


def _figure() -> tuple["Figure", "Axes"]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25)
    return figure, axes


def _plot_means(axes: "Axes", x: NDArray[np.int64], means: NDArray[np.float64], label: str) -> None:
    marker = "o" if len(means) == 1 else ""  # a line through one point would not be seen
    axes.plot(x, means, marker=marker, ms=5, color=BLUE, lw=2, label=label)


def _save(figure: "Figure", path: Path) -> None:
    content = io.BytesIO()
    figure.savefig(content, format="png")
    write_atomic(path, content.getvalue())


def evaluation_figure(returns: list[float], path: Path) -> None:
    """Draw the returns of held-out episodes and their mean over the last 100 (paper, Fig. 5)."""
    figure, axes = _figure()
    values = np.asarray(returns)
    means = window_means(values)
    window = min(WINDOW, len(values))
    x = np.arange(1, len(values) + 1)
    axes.plot(x, values, ".", ms=3, color=GRAY, label="episode return")
    label = f"mean of {window} episodes (worst {means.min():.1f})"
    _plot_means(axes, x[window - 1 :], means, label)
    axes.axhline(200, color=ORANGE, lw=1, ls="--", label="solved: 200")
    axes.set(
        xlabel="held-out episode", ylabel="return", title=f"Evaluation: mean {values.mean():.1f}"
    )
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=3, frameon=False)
    _save(figure, path)


def training_figure(
    episodes: Sequence[tuple[int, float]],
    validations: Sequence[tuple[int, float]],
    path: Path,
    *,
    title: str,
) -> None:
    """Draw the return of each online episode, the mean of the last 20, and the validation means.

    Args:
        episodes: (number from 0, return) of each online episode.
        validations: (online episodes so far, mean return) of each validation.
        path: of the PNG file to write.
        title: title of the figure.
    """
    figure, axes = _figure()
    if episodes:
        x = np.array([number + 1 for number, _ in episodes])
        y = np.array([value for _, value in episodes])
        axes.plot(x, y, ".", ms=4, color=GRAY, label="online episode (sampled actions)")
        window = min(20, len(y))
        _plot_means(axes, x[window - 1 :], window_means(y, window), f"mean of {window}")
    if validations:
        axes.plot(
            [number for number, _ in validations],
            [mean for _, mean in validations],
            "o-",
            ms=4,
            color=ORANGE,
            label="validation mean (deterministic)",
        )
    axes.set(xlabel="online episodes", ylabel="return", title=title)
    if episodes or validations:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=3, frameon=False)
    _save(figure, path)
