import json
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from lunar_offline import envs
from lunar_offline.envs import CONTINUOUS, DISCRETE, EnvInfo, match_spec
from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.transitions import Episode


@pytest.mark.parametrize("env", [DISCRETE, CONTINUOUS], ids=["discrete", "continuous"])
def test_our_constants_are_the_real_env(env: EnvInfo) -> None:
    made = env.make()
    assert made.observation_space == env.observation_space
    assert made.action_space == env.action_space
    made.close()
    assert env.spec().make is not None
    assert match_spec(json.loads(env.spec().to_json())) is env


def test_the_ground_is_the_envs() -> None:
    """Every episode's hills lie in the band, reach near its ends, and the pad is flat."""
    made = DISCRETE.make()
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
    for across, low, high in envs.GROUND:
        there = np.isclose(np.abs(x), across)
        assert there.any()
        lowest, highest = np.min(heights, 0)[there].min(), np.max(heights, 0)[there].max()
        assert low - 0.001 < lowest < low + 0.2
        assert high - 0.2 < highest < high + 0.001


def test_the_spec_of_a_made_env_is_known() -> None:
    made = gym.make("LunarLander-v3", continuous=True, gravity=-10.0)
    assert made.spec is not None
    assert match_spec(json.loads(made.spec.to_json())) is CONTINUOUS


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"id": "CartPole-v1"}, "is 'CartPole-v1', not LunarLander-v3; name it"),
        ({"id": None}, "is 'None', not LunarLander-v3"),
        ({"kwargs": {"gravity": -3.0}}, "has kwargs"),
        ({"kwargs": {"enable_wind": True}}, "has kwargs"),
        ({"kwargs": ["continuous"]}, "has kwargs"),
        ({"kwargs": {"render_mode": "os:system"}}, "has kwargs"),
        ({"entry_point": "os:system"}, "another entry_point"),
        ({"vector_entry_point": "os:system"}, "another vector_entry_point"),
        (
            {"additional_wrappers": [{"name": "x", "entry_point": "os:system"}]},
            "another additional_wrappers",
        ),
        ({"max_episode_steps": 5}, "another max_episode_steps"),
    ],
)
def test_a_foreign_spec_is_refused(change: dict, reason: str) -> None:
    spec = json.loads(DISCRETE.spec().to_json()) | change
    with pytest.raises(RefusedError, match=reason):
        match_spec(spec)


def test_a_spec_of_an_env_that_the_user_names() -> None:
    """Its registered code, for one env or for many, and no other."""
    wanted = envs.named_env("CartPole-v1")
    spec = json.loads(gym.spec("CartPole-v1").to_json())
    assert spec["vector_entry_point"]
    for change in ({}, {"vector_entry_point": None}, {"kwargs": {"render_mode": "human"}}):
        assert match_spec(spec | change, wanted) is wanted
    for key in ("entry_point", "vector_entry_point"):
        with pytest.raises(RefusedError, match=f"another {key} than CartPole-v1"):
            match_spec(spec | {key: "os:system"}, wanted)
    with pytest.raises(RefusedError, match="has kwargs"):
        match_spec(spec | {"kwargs": {"command": "x"}}, wanted)


@pytest.mark.parametrize("discrete", [True, False])
def test_returns_are_potential_fuel_and_end(
    random_episodes: dict[bool, list[Episode]], discrete: bool
) -> None:
    # the identity behind the bound, fuel and outcome, on real episodes
    for episode in random_episodes[discrete]:
        end = {"landed": 100.0, "crashed": -100.0}[
            envs.outcome(float(episode.rewards[-1]), terminated=bool(episode.terminations[-1]))
        ]
        # the env replaces the last reward by the end's, fuel and potential included
        potential = envs.shaping(episode.observations)
        parts = potential[-2] - potential[0] - sum(envs.fuel(episode.actions[:-1])) + end
        assert episode.episode_return == pytest.approx(parts, abs=2e-3)
        assert episode.episode_return < envs.return_bound(episode.observations[0])
        # discounted, only the ends of the potential are left of it
        discount, steps = 0.97, np.arange(len(episode))
        rewards = envs.invariant_rewards(
            episode.rewards, episode.observations[1:], episode.terminations, discount
        )
        burnt = [sum(envs.fuel(episode.actions[t : t + 1])) for t in steps[:-1]]
        expected = (
            discount ** steps[-1] * (potential[-2] + end)
            - potential[0]
            - float((discount ** steps[:-1] * burnt).sum())
        )
        assert (discount**steps * rewards).sum() == pytest.approx(expected, abs=2e-3)


def test_fuel_by_hand() -> None:
    assert envs.fuel(np.array([0, 1, 2, 2, 3])) == pytest.approx((2 * 0.30, 2 * 0.03))
    actions = np.array([[-0.1, 0.5], [0.5, 0.6], [2.0, -1.0]], dtype=np.float32)
    expected = (0.30 * (0.75 + 1.0), 0.03 * (0.6 + 1.0))
    assert envs.fuel(actions) == pytest.approx(expected, abs=1e-6)


def test_outcomes() -> None:
    assert envs.outcome(100.0, terminated=True) == "landed"
    assert envs.outcome(-100.0, terminated=True) == "crashed"
    assert envs.outcome(-1.3, terminated=False) == "truncated"


def test_the_other_action_space_is_a_usage_error() -> None:
    envs.check_action_space(DISCRETE, discrete=None)
    with pytest.raises(UsageError, match="discrete, not continuous"):
        envs.check_action_space(DISCRETE, discrete=False)
