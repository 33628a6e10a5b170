import numpy as np
import pytest

from lunar_offline.envs.registry import find_env
from lunar_offline.errors import UsageError
from lunar_offline.evaluation.held_out_seeds import held_out_episodes
from lunar_offline.policies.behavior import behavior_policy
from lunar_offline.policies.controller import LEFT, MAIN, NOTHING, RIGHT, controller_action


def test_it_lands_on_held_out_seeds() -> None:
    policy = behavior_policy("controller", discrete=None)
    returns = [e.episode_return for e in held_out_episodes(policy.env, policy.act, 60)]
    assert np.mean(returns) > 270.0
    assert (policy.algorithm, policy.sha256, policy.samples) == ("lunar_offline/controller", "", 0)


@pytest.mark.parametrize(
    ("observation", "action"),
    [
        ([0, 0.5, 0, -1, 0, 0, 0, 0], MAIN),  # sinks faster than 0.061 + 0.602 sqrt(0.5)
        ([0, 0.5, 0, 0, 0, 0, 0, 0], NOTHING),
        ([0.5, 0.5, 0, 0, 0, 0, 0, 0], LEFT),  # the target angle, 0.264, is above the angle
        ([-0.5, 0.5, 0, 0, 0, 0, 0, 0], RIGHT),
        ([0.5, 0.5, 0, 0, 0, 0, 1, 0], NOTHING),  # a leg on the ground: no turn
        ([0, 0, 0, -1, 0, 0, 1, 1], NOTHING),
    ],
)
def test_its_rules(observation: list[float], action: int) -> None:
    assert controller_action(np.array(observation, dtype=np.float32)) == action


def test_it_is_for_the_discrete_lander_alone() -> None:
    for env, discrete in (("CartPole-v1", None), ("LunarLander-v3", False)):
        with pytest.raises(UsageError, match="is for LunarLander-v3 with discrete actions"):
            behavior_policy("controller", discrete=None, env=find_env(env, discrete=discrete))
