"""Figures of LunarLander: tracks over the ground, density of positions, use of the engines."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lunar_offline import html_parts, svg
from lunar_offline.transitions import Episode

MOST_TRACKS = 150
LEAST_MOVE = 0.015  # least distance between two drawn points of a track, in units of x and y

# The ground in units of x and y, where y is 0 for a lander that rests on the pad. Each row holds
# |x| and the lowest and highest possible hill there. The pad ends at the second |x|.
GROUND = (
    (0.0, -0.095, -0.095),
    (0.2, -0.095, -0.095),
    (0.4, -0.260, 0.070),
    (0.6, -0.425, 0.235),
    (0.8, -0.590, 0.400),
    (1.0, -0.590, 0.400),
)


def landings(episodes: Sequence[Episode], outcomes: Sequence[str]) -> str:
    """Return the HTML section with the tracks and the density of positions.

    Args:
        episodes: at least one.
        outcomes: of the same episodes.
    """
    returns = np.array([episode.episode_return for episode in episodes])
    ranked = np.argsort(returns, kind="stable").tolist()
    chosen = np.linspace(0, len(ranked) - 1, min(len(ranked), MOST_TRACKS)).round().astype(int)
    xy = np.concatenate([e.observations[:-1, :2] for e in episodes]).astype(np.float64)
    x, y = _scene(xy)
    drawn, most = svg.density(x, y, xy[:, 0], xy[:, 1], cells=(60, 60))
    ends = " ".join(f'<i class="key {name}"></i>{name}' for name in ("crashed", "truncated"))
    # each color stands for an eighth of the episodes: returns are too uneven for a linear scale
    borders = np.quantile(returns, [0.0, 0.25, 0.5, 0.75, 1.0])
    legend = svg.scale_legend(
        "t", [svg.number(float(b)) for b in borders], "Return; each color is an eighth of episodes"
    )
    tracks = svg.figure(
        "tracks",
        "Landing tracks",
        f"Paths of {len(chosen):,} of {len(ranked):,} episodes, chosen evenly by return, from the "
        f"start at the top to the pad at x 0, y 0. Returns range from "
        f"{svg.number(returns.min(), 1)} "
        f"to {svg.number(returns.max(), 1)}.",
        svg.axes(x, y) + _ground(x, y) + _tracks(x, y, episodes, outcomes, ranked, chosen),
        kind="scene",
        after=legend + f'<p class="keys">Ends: {ends}</p>',
    )
    density = svg.figure(
        "density",
        "Density of positions",
        f"Steps in each of 60 by 60 cells of x and y; at most {most:,} in one cell.",
        svg.axes(x, y) + _ground(x, y) + drawn,
        kind="scene",
        after=svg.scale_legend("d", ["1", svg.number(most)], "Steps in a cell, logarithmic"),
    )
    return html_parts.section(
        "Landings",
        "The pad is between the flags; y is 0 for a lander at rest on it. The hills differ between "
        "episodes and are in the lighter band. The axes have the env's own units.",
        tracks,
        density,
        grid="two",
    )


def _scene(xy: NDArray[np.float64]) -> tuple[svg.Axis, svg.Axis]:
    """Return axes around the points [n, 2], symmetric in x and within the env's bounds."""
    wide = float(np.clip(np.ceil(10 * np.abs(xy[:, 0]).max()) / 10, 0.5, 1.0))
    low, high = np.floor(10 * xy[:, 1].min()) / 10, np.ceil(10 * xy[:, 1].max()) / 10
    return (
        svg.Axis(-wide, wide, "x"),
        svg.Axis(float(np.clip(low, -0.6, -0.3)), float(np.clip(high, 1.5, 2.5)), "y"),
    )


def _ground(x: svg.Axis, y: svg.Axis) -> str:
    right = np.array(GROUND)
    both = np.concatenate([right[:0:-1] * [-1, 1, 1], right])
    corners = np.array([[both[-1, 0], -9.0], [both[0, 0], -9.0]])
    low, high = (np.concatenate([both[:, [0, column]], corners]) for column in (1, 2))
    edge, level = GROUND[1][:2]
    left, end = (f"{100 * float(x.at(np.array(e))):.2f}%" for e in (-edge, edge))
    top = f"{100 - 100 * float(y.at(np.array(level))):.2f}%"
    flags = "".join(
        f'<svg x="{at}" y="{top}" width="1" height="1" overflow="visible">'
        '<path class="flag" d="M0 0V-26L11 -21L0 -16"/></svg>'
        for at in (left, end)
    )
    hills = (
        f'<path class="hills" d="{svg.polyline(x, y, high)}Z"/>'
        f'<path class="ground" d="{svg.polyline(x, y, low)}Z"/>'
    )
    pad = f'<line class="pad" x1="{left}" x2="{end}" y1="{top}" y2="{top}"/>'
    return svg.scaled(hills, 1000, 1000) + pad + flags


def _tracks(
    x: svg.Axis,
    y: svg.Axis,
    episodes: Sequence[Episode],
    outcomes: Sequence[str],
    ranked: Sequence[int],
    chosen: NDArray[np.intp],
) -> str:
    """Draw the episodes at the chosen ranks, low returns on top, and mark ends without landing."""
    paths, ends = [], []
    for rank in chosen[::-1]:
        episode = episodes[ranked[rank]]
        level = rank * svg.LEVELS // len(ranked)
        how = outcomes[ranked[rank]]
        title = (
            f"episode {ranked[rank]}: return {svg.number(episode.episode_return, 1)}, "
            f"{len(episode)} steps, {how}"
        )
        points = thin(episode.observations[:, :2].astype(np.float64))
        path = svg.polyline(x, y, points)
        paths.append(f'<path class="t{level}" d="{path}"><title>{title}</title></path>')
        if how != "landed":
            across, up = 100 * x.at(points[-1, :1])[0], 100 - 100 * y.at(points[-1, 1:])[0]
            if 0 <= across <= 100 and 0 <= up <= 100:
                ends.append(f'<circle class="end {how}" cx="{across:.2f}%" cy="{up:.2f}%" r="4"/>')
    return f'<g class="track">{svg.scaled("".join(paths), 1000, 1000)}</g>' + "".join(ends)


def thin(points: NDArray[np.float64], least: float = LEAST_MOVE) -> NDArray[np.float64]:
    """Keep each point of [n, 2] at a distance of `least` or more from the last kept one.

    The first and the last point are always kept.
    """
    kept = [0]
    for index in range(1, len(points)):
        if np.hypot(*(points[index] - points[kept[-1]])) >= least:
            kept.append(index)
    if kept[-1] != len(points) - 1:
        kept.append(len(points) - 1)
    return points[kept]


def action_density(main: NDArray[np.float64], side: NDArray[np.float64]) -> str:
    """Return a figure of the density of the throttles.

    Args:
        main: of the main engine, [steps] in [-1, 1].
        side: of the side engines, [steps] in [-1, 1].
    """
    x, y = (
        svg.Axis(-1.0, 1.0, "side engines: left \u2212, right +"),
        svg.Axis(-1.0, 1.0, "main engine"),
    )
    drawn, most = svg.density(x, y, side, main, cells=(40, 40))
    lines = '<line class="threshold" x1="0" x2="100%" y1="50%" y2="50%"/>' + "".join(
        f'<line class="threshold" x1="{at}" x2="{at}" y1="0" y2="100%"/>' for at in ("25%", "75%")
    )
    return svg.figure(
        "actions",
        "Throttles",
        f"Steps in each of 40 by 40 cells of both throttles; at most {most:,} in one cell.",
        svg.axes(x, y) + drawn + lines,
        kind="scene",
        after=svg.scale_legend("d", ["1", svg.number(most)], "Steps in a cell, logarithmic"),
    )


def throttles(taken: NDArray[np.float64]) -> str:
    """Return the section on both throttles, actions [steps, 2] in [-1, 1]."""
    ends = np.quantile(taken, [0.0, 0.25, 0.5, 0.75, 1.0], axis=0)
    rows = [
        (name, *(svg.number(float(v), 2) for v in column))
        for name, column in zip(("main engine", "side engines"), ends.T, strict=True)
    ]
    main, side = taken.T
    burning = [
        (name, f"{svg.number(100 * float(on.mean()), 1)}%")
        for name, on in (
            ("main engine on", main > 0),
            ("left engine on", side < -0.5),
            ("right engine on", side > 0.5),
            ("no engine on", (main <= 0) & (np.abs(side) <= 0.5)),
        )
    ]
    return html_parts.section(
        "Action coverage",
        "The pairs of throttles that were taken. The main engine is on above 0, a side engine "
        "below \u22120.5 or above 0.5; dashed lines mark these limits.",
        action_density(main, side),
        '<div class="stack"><div class="card">'
        + html_parts.table("Engines", ("", "share of steps"), burning)
        + '</div><div class="card">'
        + html_parts.table(
            "Quantiles", ("", "min", "25%", "median", "75%", "max"), rows, kind="range"
        )
        + "</div></div>",
        grid="two",
    )
