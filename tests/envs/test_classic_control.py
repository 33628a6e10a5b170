import json

import gymnasium as gym
import pytest

from lunar_offline.envs.classic_control import ENVS
from lunar_offline.envs.env_info import EnvInfo
from lunar_offline.envs.match_spec import match_spec


@pytest.mark.parametrize("env", ENVS, ids=lambda env: env.env_id)
def test_the_records_are_those_of_the_real_envs(env: EnvInfo) -> None:
    made = gym.make(env.env_id)
    assert made.observation_space == env.observation_space
    assert made.action_space == env.action_space
    assert made.spec is not None
    assert env.solved_return == made.spec.reward_threshold
    assert match_spec(json.loads(made.spec.to_json())) is env
    if env.observation_names:
        assert len(env.observation_names) == env.observation_size
    assert env.allowed_settings is not None
    for name in env.allowed_settings:  # each is a keyword argument of the env, at its default
        assert gym.make(env.env_id, **{name: env.default_kwargs[name]}) is not None
    made.close()
