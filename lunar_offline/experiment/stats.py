"""Statistics over runs, whose unit is the seed (Agarwal et al. 2021, "Deep RL at the edge").

`scores_RT` holds one score per run and task, [R, T]; one-dimensional scores are of one task. Point
values and intervals are those of rliable, to which tests hold them.
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
    """Return the mean of the middle half of all scores, a quarter cut off at either end.

    With n values, floor(n / 4) are cut at each end, as scipy.stats.trim_mean(values, 0.25) does.
    """
    flat = np.sort(scores, axis=None)
    cut = len(flat) // 4
    return float(flat[cut : len(flat) - cut].mean())


def probability_of_improvement(scores_RT: Scores, others_RT: Scores) -> float:
    """Return P(X > Y) + P(X = Y) / 2 of a random run of each side, averaged over tasks."""
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
        statistic: maps as many arrays of scores as there are samples to a number.
        *samples: scores_RT, or scores [R] of one task.
        resamples: how many times to draw; the draws are the same at every call.

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
    """When a run's evaluation first reached a level.

    Attributes:
        episodes: that many online episodes; where it did not, as many as the run had.
        observed: whether it did; a run that did not is censored.
    """

    episodes: int
    observed: bool


def episodes_to(level: float, evaluations: Sequence[tuple[int, float]]) -> Reached:
    """Find the first evaluation mean that reaches `level`.

    Args:
        level: a return.
        evaluations: (online episodes so far, evaluation mean), in order.

    Raises:
        ValueError: there is no evaluation.
    """
    if not evaluations:
        raise ValueError("no evaluation")
    for episodes, mean in evaluations:
        if mean >= level:
            return Reached(episodes, True)
    return Reached(evaluations[-1][0], False)


def median_time(reached: Sequence[Reached]) -> float:
    """Return the Kaplan-Meier median of the episodes to a level, counting censored runs.

    It is the first time at which at most half of the runs are still to reach the level, and inf
    where the runs end before that (Kaplan and Meier 1958).
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
