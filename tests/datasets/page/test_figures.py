"""Figures: every value is drawn once, and what is left out is chosen evenly."""

import re

import numpy as np
import pytest

from lunar_offline import svg
from lunar_offline.envs import lander_plots
from lunar_offline.envs.registry import find_env
from lunar_offline.transitions import Episode


def test_ticks_and_steps_are_round() -> None:
    assert svg.nice_step(10.0, 5) == 2.0
    assert svg.nice_step(11.0, 5) == 5.0
    assert svg.nice_step(0.3, 3) == pytest.approx(0.1)
    assert svg.Axis(-0.5, 0.5, parts=2).ticks() == [
        (0.0, "\u22120.5"),
        (50.0, "0.0"),
        (100.0, "0.5"),
    ]
    assert [svg.number(-0.04, 1), svg.number(-1234.5, 1), svg.number(3e9)] == [
        "0.0",
        "\u22121,234.5",
        "3.0e+09",
    ]


@pytest.mark.parametrize(
    "values",
    [
        [3.0],
        [0.1, 0.2, 0.25],
        [-1e30, 1e30],
        [1, 1, 2, 900],
        [1e30],
        [-3e38, -3e38],
        [7.0] * 50 + [7.0 + 1e-7],
    ],
)
def test_a_histogram_counts_every_value_once(values: list[float]) -> None:
    drawn = svg.histogram(np.array(values), "x", "y")
    counts = [int(c) for c in re.findall(r": (\d+) y</title>", drawn)]
    assert sum(counts) == len(values)
    assert len(counts) <= svg.BINS


def test_bars_of_whole_numbers_are_centered_on_them() -> None:
    drawn = svg.histogram(np.array([77, 77, 78]), "x", "y")
    assert re.findall(r"<title>([^<]+)</title>", drawn) == [
        "76.5 to 77.5: 2 y",
        "77.5 to 78.5: 1 y",
    ]


def test_a_density_draws_each_cell_with_points_once() -> None:
    x = svg.Axis(0.0, 1.0)
    xs = np.array([0.1, 0.1, 0.9, 7.0])
    drawn, most = svg.density(x, x, xs, xs, cells=(2, 2))
    assert most == 2
    # the lower left cell in the last color, the upper right one in a paler; 7 is off the axes
    assert re.findall(r'class="d(\d)" d="([^"]+)"', drawn) == [
        ("0", "M1 0h1v1h-1z"),
        ("7", "M0 1h1v1h-1z"),
    ]


def test_a_thinned_track_keeps_its_ends_and_turns() -> None:
    hovering = np.repeat([[0.0, 0.0], [0.0, 0.5], [0.4, 0.5]], 100, axis=0)
    assert lander_plots.thin(hovering).tolist() == [
        [0.0, 0.0],
        [0.0, 0.5],
        [0.4, 0.5],
        [0.4, 0.5],
    ]


def test_tracks_are_chosen_evenly_by_return(
    monkeypatch: pytest.MonkeyPatch, random_episodes
) -> None:
    monkeypatch.setattr(lander_plots, "MOST_TRACKS", 3)
    episodes: list[Episode] = random_episodes[True]
    outcome = find_env(discrete=True).outcome
    html = lander_plots.landings(episodes, [outcome(e) for e in episodes])
    drawn = [int(n) for n in re.findall(r"<title>episode (\d+): return", html)]
    ranked = np.argsort([e.episode_return for e in episodes])
    # best first, the poorest on top of all
    assert drawn == ranked[[4, 2, 0]].tolist()
