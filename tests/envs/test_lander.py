"""What is known of the lander, against the real env and against arithmetic."""

from typing import Any

import numpy as np
import pytest

from lunar_offline.envs import lander
from lunar_offline.envs.lander_plots import GROUND
from lunar_offline.transitions import Episode


def test_the_ground_is_the_envs() -> None:
    """Every episode's hills lie in the band, reach near its ends, and the pad is flat."""
    made = lander.DISCRETE.make()
    heights = []
    for seed in range(60):
        made.reset(seed=seed)
        world: Any = made.unwrapped
        corners = np.array([*[p[0] for p in world.sky_polys], world.sky_polys[-1][1]])
        rest = world.helipad_y + 18 / 30  # the height of the body above its feet
        x, y = corners[:, 0] / 10 - 1, (corners[:, 1] - rest) / (400 / 30 / 2)
        assert (world.helipad_x1 / 10 - 1, world.helipad_x2 / 10 - 1) == pytest.approx((-0.2, 0.2))
        heights.append(y)
    made.close()
    for across, low, high in GROUND:
        there = np.isclose(np.abs(x), across)
        assert there.any()
        lowest, highest = np.min(heights, 0)[there].min(), np.max(heights, 0)[there].max()
        assert low - 0.001 < lowest < low + 0.2
        assert high - 0.2 < highest < high + 0.001


@pytest.mark.parametrize("discrete", [True, False])
def test_returns_are_potential_fuel_and_end(
    random_episodes: dict[bool, list[Episode]], discrete: bool
) -> None:
    # the identity behind the bound, fuel and outcome, on real episodes
    for episode in random_episodes[discrete]:
        end = {"landed": 100.0, "crashed": -100.0}[
            lander.outcome(float(episode.rewards[-1]), terminated=bool(episode.terminations[-1]))
        ]
        # the env replaces the last reward by the end's, fuel and potential included
        potential = lander.shaping(episode.observations)
        parts = potential[-2] - potential[0] - sum(lander.fuel(episode.actions[:-1])) + end
        assert episode.episode_return == pytest.approx(parts, abs=2e-3)
        assert episode.episode_return < lander.return_bound(episode.observations[0])
        # discounted, only the ends of the potential are left of it
        discount, steps = 0.97, np.arange(len(episode))
        rewards = lander.invariant_rewards(
            episode.rewards, episode.observations[1:], episode.terminations, discount
        )
        burnt = [sum(lander.fuel(episode.actions[t : t + 1])) for t in steps[:-1]]
        expected = (
            discount ** steps[-1] * (potential[-2] + end)
            - potential[0]
            - float((discount ** steps[:-1] * burnt).sum())
        )
        assert (discount**steps * rewards).sum() == pytest.approx(expected, abs=2e-3)


def test_fuel_by_hand() -> None:
    assert lander.fuel(np.array([0, 1, 2, 2, 3])) == pytest.approx((2 * 0.30, 2 * 0.03))
    actions = np.array([[-0.1, 0.5], [0.5, 0.6], [2.0, -1.0]], dtype=np.float32)
    expected = (0.30 * (0.75 + 1.0), 0.03 * (0.6 + 1.0))
    assert lander.fuel(actions) == pytest.approx(expected, abs=1e-6)


def test_outcomes() -> None:
    assert lander.outcome(100.0, terminated=True) == "landed"
    assert lander.outcome(-100.0, terminated=True) == "crashed"
    assert lander.outcome(-1.3, terminated=False) == "truncated"
