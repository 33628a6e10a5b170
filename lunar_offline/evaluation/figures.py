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

TRAINING_WINDOW = 20
BLUE, ORANGE, GRAY = "#1f5fa8", "#d1661f", "#9aa3ad"


def _figure() -> tuple["Figure", "Axes"]:
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(8, 4), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure, axes


def _plot_means(axes: "Axes", x: NDArray[np.int64], means: NDArray[np.float64], label: str) -> None:
    marker = "o" if len(means) == 1 else ""  # a line through one point would not be seen
    axes.plot(x, means, marker=marker, ms=5, color=BLUE, lw=2, label=label)


def _legend(axes: "Axes") -> None:
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=3, frameon=False)


def _save(figure: "Figure", path: Path) -> None:
    content = io.BytesIO()
    figure.savefig(content, format="png")
    write_atomic(path, content.getvalue())


def evaluation_figure(
    returns: list[float], path: Path, *, solved_return: float | None = None
) -> None:
    """Draw the returns of held-out episodes and their mean over the last 100 (paper, Fig. 5).

    Args:
        returns: of the episodes, at least one.
        path: of the PNG file to write.
        solved_return: see `EnvInfo`; its line is drawn if it is among the returns.
    """
    figure, axes = _figure()
    values = np.asarray(returns)
    axes.plot(np.arange(1, len(values) + 1), values, ".", ms=3, color=GRAY, label="episode return")
    means = window_means(values)
    if len(means):
        label = f"mean of {WINDOW} episodes (worst {means.min():.1f})"
        _plot_means(axes, np.arange(WINDOW, len(values) + 1), means, label)
    low, high = axes.get_ylim()
    if solved_return is not None and low <= solved_return <= high:
        label = f"solved: {solved_return:g}"
        axes.axhline(solved_return, color=ORANGE, lw=1, ls="--", label=label)
    axes.set(
        xlabel="held-out episode", ylabel="return", title=f"Evaluation: mean {values.mean():.1f}"
    )
    _legend(axes)
    _save(figure, path)


def training_figure(
    episodes: Sequence[tuple[int, float]],
    validations: Sequence[tuple[int, float]],
    path: Path,
    *,
    title: str,
) -> None:
    """Draw the return of each online episode, the mean of the last 20, and the validation means.

    A run without any of them has no figure.

    Args:
        episodes: (number from 0, return) of each online episode.
        validations: (online episodes so far, mean return) of each validation.
        path: of the PNG file to write.
        title: title of the figure.
    """
    if not (episodes or validations):
        return
    figure, axes = _figure()
    if episodes:
        x = np.array([number + 1 for number, _ in episodes])
        y = np.array([value for _, value in episodes])
        axes.plot(x, y, ".", ms=4, color=GRAY, label="online episode (sampled actions)")
        if len(y) >= TRAINING_WINDOW:
            means, label = window_means(y, TRAINING_WINDOW), f"mean of {TRAINING_WINDOW}"
            _plot_means(axes, x[TRAINING_WINDOW - 1 :], means, label)
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
    _legend(axes)
    _save(figure, path)
