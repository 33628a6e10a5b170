"""Comparison of runs, grouped by their options, with statistics over the seeds of each group."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from lunar_offline.envs import DEFAULT_ENV
from lunar_offline.errors import UsageError
from lunar_offline.evaluation.evaluation_file import Evaluations, read_evaluation
from lunar_offline.statistics import (
    Estimate,
    bootstrap,
    episodes_to,
    interquartile_mean,
    median_time,
    probability_of_improvement,
)
from lunar_offline.storage.strict_json import JSONValue
from lunar_offline.training.metrics import Record, ValidationRecord
from lunar_offline.training.run_folder import RunFolder

LEVEL = 200.0
# keys that may differ between the runs of a group
NOT_OPTIONS = ("seed", "threads", "device")


@dataclass(frozen=True)
class Finished:
    """A finished run: its config, evaluation and metrics."""

    path: Path
    config: dict[str, Any]
    evaluation: Evaluations
    metrics: list[Record]

    @property
    def env(self) -> str:
        """Its env, with keyword arguments if it has any."""
        kwargs = self.config.get("env_kwargs")
        return f"{self.config['env']} {kwargs}" if kwargs else self.config["env"]


@dataclass(frozen=True)
class Group:
    """Runs with the same options.

    Attributes:
        name: the options in which the groups differ, with their values.
        runs: one run per seed.
    """

    name: str
    runs: list[Finished]

    def scores(self, measure: str = "mean") -> np.ndarray:
        """Return a measure of evaluation.json for each run, [R]; NaN if the env has none."""
        found = [run.evaluation.headline.measure(measure) for run in self.runs]
        return np.array([math.nan if value is None else value for value in found])

    def mean(self, measure: str) -> float | None:
        """Return the mean of a measure over runs; None if a run does not have it."""
        return _known(float(self.scores(measure).mean()))

    @cached_property
    def iqm(self) -> Estimate:
        """IQM over runs of the evaluation mean, with its 95% interval; NaN ends for one run."""
        scores = self.scores()
        if len(scores) == 1:
            return Estimate(float(scores[0]), math.nan, math.nan)
        return bootstrap(interquartile_mean, scores)

    def best(self) -> float | None:
        """IQM over runs of the evaluation mean of the policy with the best validation mean."""
        found = [run.evaluation.best.mean for run in self.runs if run.evaluation.best is not None]
        return interquartile_mean(np.array(found)) if len(found) == len(self.runs) else None

    def better_than(self, other: "Group") -> Estimate:
        """Return the probability that a run here is better than one of `other`, as `iqm` does."""
        samples = self.scores(), other.scores()
        if min(map(len, samples)) == 1:
            return Estimate(probability_of_improvement(*samples), math.nan, math.nan)
        return bootstrap(probability_of_improvement, *samples)

    def episodes_to_level(self) -> float:
        """Median of the online episodes until a validation mean reaches 200; inf if too few do.

        It is NaN for an env that is solved at another return.
        """
        if any(run.config.get("env", DEFAULT_ENV) != DEFAULT_ENV for run in self.runs):
            return math.nan
        curves = [
            [(r.episode, r.mean) for r in run.metrics if isinstance(r, ValidationRecord)]
            for run in self.runs
        ]
        return median_time([episodes_to(LEVEL, curve) for curve in curves if curve])


def read_runs(paths: Sequence[Path]) -> list[Finished]:
    """Read run directories and sweeps, which are folders of them; skip unfinished runs.

    Raises:
        UsageError: a path is neither, no run is finished, or the runs have different envs.
        RefusedError: an evaluation cannot be read.
    """
    found: list[Path] = []
    for path in paths:
        if (path / "config.toml").is_file():
            found.append(path)
        else:
            inside = sorted(p.parent for p in path.glob("*/config.toml"))
            if not inside:
                raise UsageError(f"{path}: neither a run directory nor a folder of them")
            found += inside
    runs = [_read(path) for path in found if (path / "evaluation.json").is_file()]
    if not runs:
        raise UsageError("no run is finished: none has an evaluation.json")
    _check_one_env(runs)
    return runs


def _check_one_env(runs: Sequence[Finished]) -> None:
    envs: dict[str, Path] = {}
    for run in runs:
        envs.setdefault(run.env, run.path)
    if len(envs) > 1:
        named = ", ".join(f"{path} is of {env}" for env, path in envs.items())
        raise UsageError(f"returns of different envs cannot be compared: {named}")


def _read(path: Path) -> Finished:
    run = RunFolder.open(path)
    evaluation = read_evaluation(path / "evaluation.json")
    return Finished(path, _flat(run.config().to_dict()), evaluation, run.metrics())


def _flat(values: dict[str, Any]) -> dict[str, Any]:
    agent = {f"agent.{key}": value for key, value in values["agent"].items()}
    return {key: value for key, value in values.items() if key != "agent"} | agent


def group_runs(runs: Sequence[Finished]) -> list[Group]:
    """Group runs with the same options; groups are in the order of their first runs."""
    differing = [
        key
        for key in runs[0].config
        if key not in NOT_OPTIONS
        # the name holds the algorithm, so options of a single algorithm are left out
        and all(key in run.config for run in runs)
        and len({str(run.config[key]) for run in runs}) > 1
    ]
    groups: dict[str, list[Finished]] = {}
    for run in runs:
        name = " ".join(f"{key.split('.')[-1]}={run.config[key]}" for key in differing)
        groups.setdefault(name or "all", []).append(run)
    return [Group(name, members) for name, members in groups.items()]


@dataclass(frozen=True)
class Comparison:
    """The statistics of a group of runs; the first group of a comparison is its baseline.

    Measures that only the lander has are None for other envs.

    Attributes:
        group: the options in which the group differs from the others; `all` for a single group.
        runs: number of runs.
        iqm: interquartile mean over runs of the mean return of their last policies, with its 95%
            stratified bootstrap interval. The ends are NaN for a single run.
        best: the same of the policies with the best validation mean, without an interval.
        lowest_window: worst 100-episode mean of all runs; None if one has fewer episodes.
        crash_rate: mean fraction of episodes that crash.
        fuel: mean fuel per episode, in points of return.
        frames: mean env steps per episode.
        regret_to_bound: mean difference to a landing without fuel.
        episodes_to_200: Kaplan-Meier median of the online episodes until a validation mean reaches
            200; infinite if too few runs reach it, None for an env other than the lander.
        better: probability that a run of the group has a higher mean than a run of the first group,
            with its interval; None for the first group.
    """

    group: str
    runs: int
    iqm: Estimate
    best: float | None
    lowest_window: float | None
    crash_rate: float | None
    fuel: float | None
    frames: float | None
    regret_to_bound: float | None
    episodes_to_200: float | None
    better: Estimate | None

    def to_dict(self) -> dict[str, JSONValue]:
        """Return plain JSON values; NaN and infinity are null."""
        better = _plain(self.better) if self.better else None
        reached = self.episodes_to_200
        reached = None if reached is None or math.isinf(reached) else reached
        return {
            **vars(self),
            "iqm": _plain(self.iqm),
            "better": better,
            "episodes_to_200": reached,
        }


def compare_runs(paths: Sequence[Path]) -> list[Comparison]:
    """Compare run directories and sweeps. Raises the errors of `read_runs`."""
    return comparisons(group_runs(read_runs(paths)))


def comparisons(groups: Sequence[Group]) -> list[Comparison]:
    """Return the statistics of each group."""
    table = []
    for group in groups:
        reached = group.episodes_to_level()
        table.append(
            Comparison(
                group=group.name,
                runs=len(group.runs),
                iqm=group.iqm,
                best=group.best(),
                lowest_window=_known(float(group.scores("min_window_100").min())),
                crash_rate=group.mean("crash_rate"),
                fuel=group.mean("fuel"),
                frames=group.mean("frames"),
                regret_to_bound=group.mean("regret_to_bound"),
                episodes_to_200=_known(reached),
                better=None if group is groups[0] else group.better_than(groups[0]),
            )
        )
    return table


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _plain(estimate: Estimate) -> dict[str, float | None]:
    return {name: _known(value) for name, value in estimate._asdict().items()}


HEADINGS = (
    "options",
    "runs",
    "IQM of means",
    "best",
    "worst 100-episode mean",
    "crashes %",
    "fuel",
    "frames",
    "regret",
    "episodes to 200",
    "P(better than first)",
)


def cells(row: Comparison) -> list[str]:
    """Format a comparison for display, in the order of HEADINGS."""
    reached = row.episodes_to_200
    return [
        row.group,
        str(row.runs),
        _with_interval(row.iqm, "{:.1f}"),
        _shown(row.best, "{:.1f}"),
        _shown(row.lowest_window, "{:.1f}"),
        _shown(row.crash_rate, "{:.2%}").removesuffix("%"),
        _shown(row.fuel, "{:.1f}"),
        _shown(row.frames, "{:.0f}"),
        _shown(row.regret_to_bound, "{:.1f}"),
        "not reached" if reached == math.inf else _shown(reached, "{:.0f}"),
        _with_interval(row.better, "{:.2f}") if row.better else "",
    ]


def _with_interval(estimate: Estimate, pattern: str) -> str:
    value, low, high = (pattern.format(number) for number in estimate)
    return value if math.isnan(estimate.low) else f"{value} [{low}, {high}]"


def _shown(value: float | None, pattern: str) -> str:
    return "-" if value is None else pattern.format(value)
