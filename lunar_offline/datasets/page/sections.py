"""The sections of a dataset's page: figures, with their numbers in tables."""

from collections.abc import Sequence

import numpy as np

from lunar_offline import svg
from lunar_offline.datasets.dataset import Dataset
from lunar_offline.datasets.episode_statistics import EpisodeStatistics
from lunar_offline.envs.env_info import EnvInfo
from lunar_offline.html_parts import section, table

STATISTICS = (
    ("mean", "mean"),
    ("standard deviation", "sd"),
    ("interquartile mean", "iqm"),
    ("lowest", "min"),
    ("lower quartile", "quartile_low"),
    ("median", "median"),
    ("upper quartile", "quartile_high"),
    ("highest", "max"),
)


def episodes(dataset: Dataset, measured: EpisodeStatistics) -> str:
    """Return the section on returns, lengths and outcomes."""
    returns, lengths = measured.returns, measured.lengths
    rows = [
        (name, svg.number(getattr(returns, key), 1), svg.number(getattr(lengths, key), 1))
        for name, key in STATISTICS
    ]
    figures = [
        svg.figure(
            name,
            title,
            f"A histogram over {measured.episodes:,} episodes: median "
            f"{svg.number(spread.median, 1)}, half of them between "
            f"{svg.number(spread.quartile_low, 1)} and "
            f"{svg.number(spread.quartile_high, 1)}.",
            svg.histogram(values, label, "episodes"),
            kind="plot",
        )
        for name, title, label, values, spread in (
            ("returns", "Returns", "undiscounted return", dataset.episode_returns(), returns),
            ("lengths", "Lengths", "env steps", dataset.episode_lengths(), lengths),
        )
    ]
    solved = dataset.env.solved_return
    counts = "" if solved is None else f" A return of {solved:.0f} counts as solved."
    return section(
        "Episodes",
        f"The returns, lengths and outcomes of the episodes.{counts}",
        *figures,
        _outcomes(measured, dataset.env.outcomes_note),
        f'<div class="card">{table("Summary", ("", "return", "length"), rows)}</div>',
        grid="two",
    )


def _outcomes(measured: EpisodeStatistics, note: str) -> str:
    counts, episodes = measured.outcomes, measured.episodes
    rows = [
        (
            f'<i class="key {name}"></i>{name}',
            svg.number(count),
            f"{svg.number(100 * count / episodes, 1)}%",
        )
        for name, count in counts.items()
    ]
    described = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    below = f'<p class="note">{note}</p>' if note else ""
    return svg.figure(
        "outcomes",
        "Outcomes",
        f"One bar of {episodes:,} episodes: {described}.",
        svg.stacked(list(counts), list(counts.values())),
        kind="band",
        after=table("", ("", "episodes", "share"), rows) + below,
    )


def states(dataset: Dataset) -> str:
    """Return the section on the entries of the observation."""
    observations = dataset.transitions.observations
    figures, rows = [], []
    for index, name in enumerate(_observation_names(dataset.env)):
        values = observations[:, index].astype(np.float64)
        ends = np.quantile(values, [0.0, 0.01, 0.5, 0.99, 1.0])
        numbers = [svg.number(float(v), 2) for v in ends]
        rows.append((name, *numbers))
        labels = dataset.env.flag_labels.get(name)
        if labels:
            on = int(np.count_nonzero(values > 0.5))
            described = f"Bars: {labels[1]} in {on:,} of {len(values):,} steps."
            drawn = svg.shares(labels, (len(values) - on, on))
        else:
            described = f"A histogram over all steps, from {numbers[0]} to {numbers[-1]}."
            drawn = svg.histogram(values, "", "steps", tail=0.001, ticks=4)
        kind = "flags" if labels else "small"
        figures.append(svg.figure(f"state-{index}", name, described, drawn, kind=kind))
    ranges = table("Range", ("", "min", "1%", "median", "99%", "max"), rows, kind="range")
    return section(
        "State coverage",
        "The distribution of each entry of the observation, in the env's own units. The outermost "
        "bars include one step in a thousand at either end.",
        *figures,
        grid="four",
        after=f'<div class="grid"><div class="card">{ranges}</div></div>',
    )


def _observation_names(env: EnvInfo) -> Sequence[str]:
    return env.observation_names or [f"entry {i}" for i in range(env.observation_size)]


def action_names(env: EnvInfo) -> Sequence[str]:
    """Return a name for each discrete action, or for each action dimension."""
    word = "action" if env.discrete else "dimension"
    return env.action_names or [f"{word} {i}" for i in range(env.action_size)]


def actions(dataset: Dataset, measured: EpisodeStatistics) -> str:
    """Return the section on the actions."""
    env = dataset.env
    if env.discrete:
        taken = np.asarray(measured.actions).tolist()
        return _discrete_actions(action_names(env), taken)
    values = dataset.transitions.actions.astype(np.float64)
    if env.actions_section is not None:
        return env.actions_section(values)
    figures = [
        svg.figure(
            f"action-{index}",
            name,
            "A histogram over all steps; \u22121 and 1 are the bounds of the action.",
            svg.histogram(values[:, index], "", "steps", ticks=4),
            kind="plot",
        )
        for index, name in enumerate(action_names(env))
    ]
    return section("Action coverage", "The distribution of the actions.", *figures, grid="two")


def _discrete_actions(names: Sequence[str], counts: Sequence[int]) -> str:
    shown = [f"{svg.number(100 * count / sum(counts), 1)}%" for count in counts]
    described = ", ".join(f"{name} {share}" for name, share in zip(names, shown, strict=True))
    rows = [
        (name, svg.number(count), share)
        for name, count, share in zip(names, counts, shown, strict=True)
    ]
    drawn = svg.shares(names, counts)
    return section(
        "Action coverage",
        "The number of steps with each action.",
        svg.figure("actions", "Actions", f"Bars: {described}.", drawn, kind="rows"),
        f'<div class="card">{table("Counts", ("", "steps", "share"), rows)}</div>',
        grid="two",
    )
