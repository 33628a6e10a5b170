"""Statistics over runs, against rliable's answers and against arithmetic."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from lunar_offline.statistics import (
    Estimate,
    Reached,
    bootstrap,
    episodes_to,
    interquartile_mean,
    median_time,
    probability_of_improvement,
)

# made by benchmarks/rliable_reference.py
REFERENCE = json.loads((Path(__file__).parent / "rliable.json").read_text())
X, Y = (np.array(REFERENCE["scores"][name]) for name in "xy")
ANSWERS = REFERENCE["rliable 1.2.0"]


@pytest.mark.parametrize(
    ("name", "statistic", "samples"),
    [
        ("iqm", interquartile_mean, (X,)),
        ("mean", np.mean, (X,)),
        ("probability_of_improvement", probability_of_improvement, (X, Y)),
    ],
)
def test_rliable_gives_the_same(name: str, statistic, samples) -> None:
    value, low, high = ANSWERS[name]
    ours = bootstrap(statistic, *samples)
    assert ours.value == pytest.approx(value, rel=1e-12)
    # two bootstraps of 10,000 and 50,000 resamples differ by a few percent of the interval
    assert ours.low == pytest.approx(low, abs=0.04 * (high - low))
    assert ours.high == pytest.approx(high, abs=0.04 * (high - low))


def test_interquartile_mean_cuts_a_quarter_at_either_end() -> None:
    assert interquartile_mean(np.array([100.0, 1.0, 2.0, 3.0, -100.0])) == 2.0
    assert interquartile_mean(np.array([[0.0, 4.0], [5.0, 99.0]])) == 4.5
    assert interquartile_mean(np.array([7.0])) == 7.0


def test_probability_of_improvement_counts_ties_as_half() -> None:
    assert probability_of_improvement(np.array([2.0, 3.0]), np.array([1.0, 2.0])) == 3.5 / 4
    a, b = np.array([[1.0, 9.0], [1.0, 9.0]]), np.array([[0.0, 10.0]])
    assert probability_of_improvement(a, b) == 0.5  # always better in one task, never in the other


def test_resampling_stays_within_a_task() -> None:
    """Two tasks of constant scores have no spread, however far apart they are."""
    constant = np.array([[0.0, 100.0]] * 5)
    assert bootstrap(np.mean, constant, resamples=50) == Estimate(50.0, 50.0, 50.0)


def test_bootstrap_needs_a_run() -> None:
    with pytest.raises(ValueError, match="no run"):
        bootstrap(np.mean, np.empty(0))


def test_episodes_to_a_level() -> None:
    curve = [(0, 150.0), (20, 199.9), (40, 200.0), (60, 120.0)]
    assert episodes_to(200.0, curve) == Reached(40, True)
    assert episodes_to(250.0, curve) == Reached(60, False)
    with pytest.raises(ValueError, match="no evaluation"):
        episodes_to(200.0, [])


def test_median_time_counts_censored_runs() -> None:
    """Worked by hand: survival 1 -> 3/4 at 10 -> 3/4 * 1/2 at 30, past the run lost at 20."""
    runs = [Reached(10, True), Reached(20, False), Reached(30, True), Reached(40, True)]
    assert median_time(runs) == 30.0
    assert median_time([Reached(10, True), Reached(20, False)]) == 10.0
    assert median_time([Reached(20, False), Reached(20, False), Reached(10, True)]) == math.inf
    # left out instead of counted, the censored run would have made it 10
    assert median_time([Reached(10, True), Reached(10, False), Reached(20, True)]) == 20.0
