"""Records of four of Gymnasium's classic control envs."""

import numpy as np
from gymnasium import spaces

from lunar_offline.envs.env_info import EnvInfo
from lunar_offline.envs.env_kwargs import Allowed

URL = "https://gymnasium.farama.org/environments/classic_control"


def _box(high: list[float], low: list[float] | None = None) -> spaces.Box:
    top = np.array(high, dtype=np.float32)
    return spaces.Box(-top if low is None else np.array(low, dtype=np.float32), top)


PENDULUM = EnvInfo(
    env_id="Pendulum-v1",
    kwargs={},
    observation_space=_box([1.0, 1.0, 8.0]),
    action_space=_box([2.0]),
    default_kwargs={"g": 10.0},
    allowed_settings={"g": Allowed(float, 0.0, 100.0)},
    observation_names=("cos angle", "sin angle", "angular velocity"),
    action_names=("torque",),
    url=f"{URL}/pendulum/",
)
CART_POLE = EnvInfo(
    env_id="CartPole-v1",
    kwargs={},
    observation_space=_box([4.8, np.inf, 24 * np.pi / 180, np.inf]),
    action_space=spaces.Discrete(2),
    default_kwargs={"sutton_barto_reward": False},
    allowed_settings={"sutton_barto_reward": Allowed(bool)},
    solved_return=475.0,
    observation_names=("position", "velocity", "angle", "angular velocity"),
    action_names=("push left", "push right"),
    url=f"{URL}/cart_pole/",
)
ACROBOT = EnvInfo(
    env_id="Acrobot-v1",
    kwargs={},
    observation_space=_box([1.0, 1.0, 1.0, 1.0, 4 * np.pi, 9 * np.pi]),
    action_space=spaces.Discrete(3),
    solved_return=-100.0,
    observation_names=(
        *("cos angle 1", "sin angle 1", "cos angle 2", "sin angle 2"),
        *("angular velocity 1", "angular velocity 2"),
    ),
    action_names=("torque -1", "nothing", "torque +1"),
    url=f"{URL}/acrobot/",
)
MOUNTAIN_CAR_CONTINUOUS = EnvInfo(
    env_id="MountainCarContinuous-v0",
    kwargs={},
    observation_space=_box([0.6, 0.07], [-1.2, -0.07]),
    action_space=_box([1.0]),
    default_kwargs={"goal_velocity": 0},
    allowed_settings={"goal_velocity": Allowed(float, 0.0, 0.07)},
    solved_return=90.0,
    observation_names=("position", "velocity"),
    action_names=("force",),
    url=f"{URL}/mountain_car_continuous/",
)
ENVS = (PENDULUM, CART_POLE, ACROBOT, MOUNTAIN_CAR_CONTINUOUS)
