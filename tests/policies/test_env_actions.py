import numpy as np
import pytest

from lunar_offline.envs.action_range import stored_actions
from lunar_offline.envs.lander import CONTINUOUS, DISCRETE
from lunar_offline.envs.registry import find_env
from lunar_offline.errors import UsageError
from lunar_offline.policies.env_actions import (
    PolicySpaces,
    checked_actions,
    matching_env,
)


def test_discrete_actions_of_every_integer_type_are_taken() -> None:
    values = [3, np.int64(0), np.array([1], dtype=np.int32), np.array(2, dtype=np.uint8)]
    actions = checked_actions(DISCRETE, values, "p")
    assert actions.dtype == np.int64
    assert actions.tolist() == [3, 0, 1, 2]


def test_continuous_actions_are_clipped_and_mapped_to_the_unit_range() -> None:
    pendulum = find_env("Pendulum-v1")
    values = [np.array([-2.0]), np.array([0.5]), np.array([2], dtype=np.int64), [7.0]]
    actions = checked_actions(pendulum, values, "p")
    assert actions.dtype == np.float32
    assert actions.tolist() == [[-1.0], [0.25], [1.0], [1.0]]
    assert stored_actions(pendulum.action_space, actions).tolist() == [[-2.0], [0.5], [2.0], [2.0]]
    tiny = np.array([[1e-10, -1.0]], dtype=np.float32)
    assert np.array_equal(checked_actions(CONTINUOUS, list(tiny), "p"), tiny)
    assert stored_actions(CONTINUOUS.action_space, tiny) is tiny


def test_the_env_gets_the_action_that_is_predicted() -> None:
    pendulum = find_env("Pendulum-v1")
    env = pendulum.make()
    env.reset(seed=0)
    for unit in np.linspace(-1, 1, 7, dtype=np.float32):
        env.step(np.array([unit]))
        taken = env.unwrapped.last_u  # pyright: ignore[reportAttributeAccessIssue]
        assert taken == stored_actions(pendulum.action_space, np.array([[unit]]))[0, 0]


@pytest.mark.parametrize(
    ("env", "value", "reason"),
    [
        (DISCRETE, 4, "p returned action 4; the actions of LunarLander-v3 are 0 to 3"),
        (DISCRETE, -1, "returned action -1"),
        (DISCRETE, 1.0, r"shape \(\) of float64; a discrete action of LunarLander-v3 is one int"),
        (DISCRETE, True, r"shape \(\) of bool"),
        (DISCRETE, np.zeros(2, dtype=int), r"shape \(2,\) of int64"),
        (DISCRETE, None, "returned no number"),
        (DISCRETE, [[1], [1, 2]], "a list that is not an array"),
        (CONTINUOUS, np.zeros(3), r"shape \(3,\) of float64; .* is an array of shape \(2,\)"),
        (CONTINUOUS, np.zeros((1, 2)), r"shape \(1, 2\) of float64"),
        (CONTINUOUS, [np.nan, 0.0], "an action that is not finite"),
        (CONTINUOUS, [np.inf, 0.0], "an action that is not finite"),
        (CONTINUOUS, 1, r"shape \(\) of int64"),
        (CONTINUOUS, "ab", "returned no number"),
    ],
)
def test_any_other_action_is_an_error_of_one_line(env, value: object, reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as raised:
        checked_actions(env, [value], "p")
    assert "\n" not in str(raised.value)


def test_the_env_of_a_policy_has_its_spaces() -> None:
    both = [DISCRETE, CONTINUOUS]
    assert matching_env(both, PolicySpaces(8, 4), "p") is DISCRETE
    assert matching_env(both, PolicySpaces(8, 2), "p") is CONTINUOUS
    assert matching_env(both, PolicySpaces(8, None, False), "p") is CONTINUOUS
    for spaces in (PolicySpaces(8, 2, True), PolicySpaces(7, 4), PolicySpaces(8, 3)):
        with pytest.raises(UsageError, match="name the policy's env with --env"):
            matching_env(both, spaces, "p")
    with pytest.raises(UsageError) as raised:
        matching_env(both, PolicySpaces(4, None, True), "p.onnx")
    assert str(raised.value) == (
        "p.onnx: has 4 observations and discrete actions, LunarLander-v3 has 8 observations and "
        "4 discrete actions or 8 observations and 2 continuous actions; name the policy's env "
        "with --env"
    )
