"""Statistics over runs, one run per seed (Agarwal et al. 2021, "Deep RL at the edge").

`scores_RT` holds one score per run and task, [R, T]; one-dimensional scores [R] belong to one
task. Point values and intervals equal those of rliable, which the tests check.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lunar_offline.seeding import Purpose, generator

Scores = NDArray[np.float64]
RESAMPLES = 10_000
CONFIDENCE = 0.95


class Estimate(NamedTuple):
    """A value and the ends of its 95% interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.1f} [{self.low:.1f}, {self.high:.1f}]"


def interquartile_mean(scores: Scores) -> float:
    """Return the mean of the middle half of all scores, without a quarter at either end.

    With n values, floor(n / 4) are cut at each end, as scipy.stats.trim_mean(values, 0.25) does.
    """
    flat = np.sort(scores, axis=None)
    cut = len(flat) // 4
    return float(flat[cut : len(flat) - cut].mean())


def probability_of_improvement(scores_RT: Scores, others_RT: Scores) -> float:
    """Return P(X > Y) + P(X = Y) / 2 for random runs X of `scores` and Y of `others`.

    The value is averaged over tasks.
    """
    x_RT, y_RT = _by_task(scores_RT), _by_task(others_RT)
    more = x_RT[:, None] > y_RT[None]
    equal = x_RT[:, None] == y_RT[None]
    return float((more + 0.5 * equal).mean())


def bootstrap(
    statistic: Callable[..., float], *samples: Scores, resamples: int = RESAMPLES
) -> Estimate:
    """Estimate a statistic with a 95% stratified percentile bootstrap interval.

    Runs are drawn with replacement within each task, for each of the samples independently.

    Args:
        statistic: function of one array of scores per sample; returns a number.
        *samples: scores_RT, or scores [R] of one task.
        resamples: number of resamples; every call draws the same ones.

    Raises:
        ValueError: a sample has no run.
    """
    tables = [_by_task(sample) for sample in samples]
    if not all(len(table) for table in tables):
        raise ValueError("no run to resample")
    rng = generator(0, Purpose.BOOTSTRAP)
    values = np.empty(resamples)
    for index in range(resamples):
        drawn = [
            np.take_along_axis(table, rng.integers(len(table), size=table.shape), axis=0)
            for table in tables
        ]
        values[index] = statistic(*drawn)
    tail = (1.0 - CONFIDENCE) / 2
    low, high = np.nanquantile(values, [tail, 1.0 - tail])
    return Estimate(statistic(*tables), float(low), float(high))


class Reached(NamedTuple):
    """The time at which a run's evaluation first reached a level.

    Attributes:
        episodes: number of online episodes until then, or of the complete run if the level was not
            reached.
        observed: whether the level was reached; if not, the run is censored.
    """

    episodes: int
    observed: bool


def episodes_to(level: float, evaluations: Sequence[tuple[int, float]]) -> Reached:
    """Return when the evaluation mean first reaches `level`.

    Args:
        level: a return.
        evaluations: (online episodes so far, evaluation mean), in order.

    Raises:
        ValueError: `evaluations` is empty.
    """
    if not evaluations:
        raise ValueError("no evaluation")
    for episodes, mean in evaluations:
        if mean >= level:
            return Reached(episodes, True)
    return Reached(evaluations[-1][0], False)


def median_time(reached: Sequence[Reached]) -> float:
    """Return the Kaplan-Meier median of the episodes to a level, counting censored runs.

    It is the first time at which the estimated share of runs that have not reached the level is at
    most half, and inf if the runs end before that (Kaplan and Meier 1958).
    """
    survival = 1.0
    for time in sorted({r.episodes for r in reached if r.observed}):
        at_risk = sum(r.episodes >= time for r in reached)
        events = sum(r.observed and r.episodes == time for r in reached)
        survival *= 1.0 - events / at_risk
        if survival <= 0.5 + 1e-12:
            return float(time)
    return math.inf


def _by_task(scores: Any) -> Scores:
    table = np.asarray(scores, dtype=np.float64)
    return table[:, None] if table.ndim == 1 else table
