import json

import gymnasium as gym
import pytest

from lunar_offline.envs import registry
from lunar_offline.envs.env_info import EnvInfo
from lunar_offline.envs.lander import CONTINUOUS, DISCRETE
from lunar_offline.envs.registry import find_env, match_spec
from lunar_offline.errors import RefusedError, UsageError


@pytest.mark.parametrize("env", [DISCRETE, CONTINUOUS], ids=["discrete", "continuous"])
def test_our_constants_are_the_real_env(env: EnvInfo) -> None:
    made = env.make()
    assert made.observation_space == env.observation_space
    assert made.action_space == env.action_space
    made.close()
    assert env.spec().make is not None
    assert match_spec(json.loads(env.spec().to_json())) is env


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
        ({"entry_point": "os:system"}, "a different entry_point"),
        ({"vector_entry_point": "os:system"}, "a different vector_entry_point"),
        (
            {"additional_wrappers": [{"name": "x", "entry_point": "os:system"}]},
            "a different additional_wrappers",
        ),
        ({"max_episode_steps": 5}, "a different max_episode_steps"),
    ],
)
def test_a_foreign_spec_is_refused(change: dict, reason: str) -> None:
    spec = json.loads(DISCRETE.spec().to_json()) | change
    with pytest.raises(RefusedError, match=reason):
        match_spec(spec)


def test_a_spec_of_an_env_that_the_user_names() -> None:
    """Its registered code, for one env or for many, and no other."""
    wanted = registry.named_env("CartPole-v1")
    spec = json.loads(gym.spec("CartPole-v1").to_json())
    assert spec["vector_entry_point"]
    for change in ({}, {"vector_entry_point": None}, {"kwargs": {"render_mode": "human"}}):
        assert match_spec(spec | change, wanted) is wanted
    for key in ("entry_point", "vector_entry_point"):
        with pytest.raises(RefusedError, match=f"a different {key} than CartPole-v1"):
            match_spec(spec | {key: "os:system"}, wanted)
    with pytest.raises(RefusedError, match="has kwargs"):
        match_spec(spec | {"kwargs": {"command": "x"}}, wanted)


def test_the_other_action_space_is_a_usage_error() -> None:
    registry.check_action_space(DISCRETE, discrete=None)
    with pytest.raises(UsageError, match="discrete, not continuous"):
        registry.check_action_space(DISCRETE, discrete=False)


def test_an_env_is_found_by_its_id_and_action_space() -> None:
    assert find_env() is find_env(discrete=True) is DISCRETE
    assert find_env("LunarLander-v3", discrete=False) is CONTINUOUS
    assert find_env("CartPole-v1") == registry.named_env("CartPole-v1")
    with pytest.raises(UsageError, match="the actions of CartPole-v1 are discrete, not continuous"):
        find_env("CartPole-v1", discrete=False)
    with pytest.raises(UsageError, match="imports a module"):
        find_env("os:system")
    with pytest.raises(UsageError, match="--env Nothing-v0"):
        find_env("Nothing-v0")
