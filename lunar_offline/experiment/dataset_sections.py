"""The sections of a dataset's page: figures, each with its numbers in a table beside it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lunar_offline import envs
from lunar_offline.data.reader import OfflineDataset
from lunar_offline.experiment import landing_figures, svg


def section(title: str, said: str, *parts: str, grid: str = "", after: str = "") -> str:
    """Return a section: a heading, a sentence, parts in a CSS grid and what stands after it."""
    inside = f'<div class="grid {grid}">{"".join(parts)}</div>{after}'
    return f"<section><h2>{title}</h2><p>{said}</p>{inside}</section>"


def table(
    caption: str, head: Sequence[str], rows: Sequence[Sequence[str]], *, kind: str = ""
) -> str:
    """Return a table; the first cell of a row names it. Cells are numbers or names of our own."""
    heads = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    lines = "".join(
        f'<tr><th scope="row">{row[0]}</th>' + "".join(f"<td>{c}</td>" for c in row[1:]) + "</tr>"
        for row in rows
    )
    above = f"<caption>{caption}</caption>" if caption else ""
    inside = f"{above}<thead><tr>{heads}</tr></thead><tbody>{lines}</tbody>"
    return f'<table class="{kind}">{inside}</table>'


def episodes(dataset: OfflineDataset, measured: Mapping[str, Any]) -> str:
    """Return the section on returns, lengths and outcomes; `measured` is of `statistics`."""
    returns, lengths = measured["returns"], measured["lengths"]
    rows = [
        (name, svg.number(returns[key], 1), svg.number(lengths[key], 1))
        for name, key in (
            ("mean", "mean"),
            ("standard deviation", "sd"),
            ("interquartile mean", "iqm"),
            ("lowest", "min"),
            ("lower quartile", "quartile_low"),
            ("median", "median"),
            ("upper quartile", "quartile_high"),
            ("highest", "max"),
        )
    ]
    steps = np.diff(dataset.transitions.episode_ends(), prepend=0)
    figures = [
        svg.figure(
            name,
            title,
            f"A histogram over {measured['episodes']:,} episodes: median "
            f"{svg.number(spread['median'], 1)}, half of them between "
            f"{svg.number(spread['quartile_low'], 1)} and "
            f"{svg.number(spread['quartile_high'], 1)}.",
            svg.histogram(values, label, "episodes"),
            kind="plot",
        )
        for name, title, label, values, spread in (
            ("returns", "Returns", "undiscounted return", dataset.episode_returns(), returns),
            ("lengths", "Lengths", "env steps", steps, lengths),
        )
    ]
    return section(
        "Episodes",
        "What they returned, how long they took and how they ended. A return of 200 counts as "
        "solved.",
        *figures,
        _outcomes(measured),
        f'<div class="card">{table("Summary", ("", "return", "length"), rows)}</div>',
        grid="two",
    )


def _outcomes(measured: Mapping[str, Any]) -> str:
    counts, episodes = measured["outcomes"], measured["episodes"]
    rows = [
        (
            f'<i class="key {name}"></i>{name}',
            svg.number(count),
            f"{svg.number(100 * count / episodes, 1)}%",
        )
        for name, count in counts.items()
    ]
    said = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    return svg.figure(
        "outcomes",
        "Outcomes",
        f"One bar of {episodes:,} episodes: {said}.",
        svg.stacked(list(counts), list(counts.values())),
        kind="band",
        after=table("", ("", "episodes", "share"), rows)
        + '<p class="note">Landed: came to rest, +100. Crashed: the body touched the ground, or '
        "the lander left the screen, \u2212100. Truncated: cut off by a limit of steps.</p>",
    )


def states(dataset: OfflineDataset) -> str:
    """Return the section on the parts of the observation."""
    observations = dataset.transitions.observations.astype(np.float64)
    figures, rows = [], []
    for index, name in enumerate(envs.OBSERVATIONS):
        values = observations[:, index]
        ends = np.quantile(values, [0.0, 0.01, 0.5, 0.99, 1.0])
        numbers = [svg.number(float(v), 2) for v in ends]
        rows.append((name, *numbers))
        if name.endswith("leg"):
            down = int(np.count_nonzero(values > 0.5))
            said = f"Bars: it touches the ground in {down:,} of {len(values):,} steps."
            drawn = svg.shares(("in the air", "down"), (len(values) - down, down))
        else:
            said = f"A histogram over all steps, from {numbers[0]} to {numbers[-1]}."
            drawn = svg.histogram(values, "", "steps", tail=0.001, ticks=4)
        kind = "legs" if name.endswith("leg") else "small"
        figures.append(svg.figure(f"state-{index}", name, said, drawn, kind=kind))
    ranges = table("Range", ("", "min", "1%", "median", "99%", "max"), rows, kind="range")
    return section(
        "State coverage",
        "How often each part of the observation takes which values, in the env's own units. One "
        "step in a thousand at either end is counted in the outermost bar.",
        *figures,
        grid="four",
        after=f'<div class="grid"><div class="card">{ranges}</div></div>',
    )


def actions(dataset: OfflineDataset, measured: Mapping[str, Any]) -> str:
    """Return the section on the actions of either space."""
    if dataset.env.discrete:
        return _discrete_actions(measured["actions"])
    return _throttles(dataset.transitions.actions.astype(np.float64))


def _discrete_actions(taken: Sequence[int]) -> str:
    names = envs.DISCRETE_ACTIONS
    counts = [*taken, *[0] * (len(names) - len(taken))]
    shown = [f"{svg.number(100 * count / sum(counts), 1)}%" for count in counts]
    said = ", ".join(f"{name} {share}" for name, share in zip(names, shown, strict=True))
    rows = [
        (name, svg.number(count), share)
        for name, count, share in zip(names, counts, shown, strict=True)
    ]
    return section(
        "Action coverage",
        "How often each action was taken.",
        svg.figure("actions", "Actions", f"Bars: {said}.", svg.shares(names, counts), kind="rows"),
        f'<div class="card">{table("Counts", ("", "steps", "share"), rows)}</div>',
        grid="two",
    )


def _throttles(taken: NDArray[np.float64]) -> str:
    ends = np.quantile(taken, [0.0, 0.25, 0.5, 0.75, 1.0], axis=0)
    rows = [
        (name, *(svg.number(float(v), 2) for v in column))
        for name, column in zip(envs.CONTINUOUS_ACTIONS, ends.T, strict=True)
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
    return section(
        "Action coverage",
        "Which pairs of throttles were taken. The main engine burns above 0, a side engine beyond "
        "\u22120.5 or 0.5; dashed lines mark both.",
        landing_figures.action_density(main, side),
        '<div class="stack"><div class="card">'
        + table("Engines", ("", "share of steps"), burning)
        + '</div><div class="card">'
        + table("Quantiles", ("", "min", "25%", "median", "75%", "max"), rows, kind="range")
        + "</div></div>",
        grid="two",
    )
