import json

import gymnasium as gym
import pytest

from lunar_offline.envs import registry
from lunar_offline.envs.env_info import EnvInfo
from lunar_offline.envs.lander import CONTINUOUS, DISCRETE
from lunar_offline.envs.match_spec import check_action_space, match_spec
from lunar_offline.errors import RefusedError, UsageError

NAMED = "MountainCar-v0"


@pytest.mark.parametrize("env", [DISCRETE, CONTINUOUS], ids=["discrete", "continuous"])
def test_the_specs_of_our_records_are_known(env: EnvInfo) -> None:
    assert match_spec(json.loads(env.spec().to_json())) is env
    windy = env.with_settings({"enable_wind": True, "gravity": -8})
    assert match_spec(json.loads(windy.spec().to_json())) == windy


def test_the_spec_of_a_made_env_is_known() -> None:
    made = gym.make("LunarLander-v3", continuous=True, gravity=-10.0)
    assert made.spec is not None
    assert match_spec(json.loads(made.spec.to_json())) is CONTINUOUS


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"id": NAMED}, f"'{NAMED}' is not registered; name it once to use it: --env {NAMED}"),
        ({"id": None}, "'None' is not registered"),
        ({"id": ["x"]}, "is not registered"),
        ({"kwargs": {"gravity": -30.0}}, "gravity is a number between"),
        ({"kwargs": {"gravity": {"x": 1}}}, "gravity is a number between"),
        ({"kwargs": {"command": "x"}}, "'command' is not one of those of LunarLander-v3"),
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
    wanted = registry.named_env(NAMED)
    spec = json.loads(gym.spec(NAMED).to_json())
    for change in ({}, {"vector_entry_point": None}, {"kwargs": {"render_mode": "human"}}):
        assert match_spec(spec | change, wanted) == wanted
    for key in ("entry_point", "vector_entry_point"):
        with pytest.raises(RefusedError, match=f"a different {key} than {NAMED}"):
            match_spec(spec | {key: "os:system"}, wanted)
    with pytest.raises(RefusedError, match="has the env kwargs"):
        match_spec(spec | {"kwargs": {"goal_velocity": 1}}, wanted)
    with pytest.raises(RefusedError, match=f"the env is 'CartPole-v1', not {NAMED}"):
        match_spec(json.loads(gym.spec("CartPole-v1").to_json()), wanted)


def test_the_other_action_space_is_a_usage_error() -> None:
    check_action_space(DISCRETE, discrete=None)
    with pytest.raises(UsageError, match="discrete, not continuous"):
        check_action_space(DISCRETE, discrete=False)
