"""The only file that knows LunarLander: its ids, kwargs, spaces, rewards and outcomes.

An env is always made from the constants here, never from what a dataset says.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from numpy.typing import NDArray

from lunar_offline.errors import LunarOfflineError, RefusedError, UsageError

ENV_ID = "LunarLander-v3"

LANDING_REWARD = 100.0
LEGS_DOWN = 20.0  # the potential at rest on the pad's middle
CRASH_REWARD = -100.0
MAIN_ENGINE_COST = 0.30
SIDE_ENGINE_COST = 0.03

DEFAULT_KWARGS: Mapping[str, Any] = {
    "continuous": False,
    "render_mode": None,
    "gravity": -10.0,
    "enable_wind": False,
    "wind_power": 15.0,
    "turbulence_power": 1.5,
}

OUTCOMES = ("landed", "crashed", "truncated")

OBSERVATIONS = ("x", "y", "vx", "vy", "angle", "angular velocity", "left leg", "right leg")
DISCRETE_ACTIONS = ("nothing", "left engine", "main engine", "right engine")
CONTINUOUS_ACTIONS = ("main engine", "side engines")

# The ground in units of x and y (y is 0 where the lander's body is at rest on the pad): at each |x|
# the lowest and the highest that an episode's own hills can be. The pad ends at the second |x|.
GROUND = (
    (0.0, -0.095, -0.095),
    (0.2, -0.095, -0.095),
    (0.4, -0.260, 0.070),
    (0.6, -0.425, 0.235),
    (0.8, -0.590, 0.400),
    (1.0, -0.590, 0.400),
)


@dataclass(frozen=True)
class EnvInfo:
    """An env that this project can make: id, plain keyword arguments and its spaces."""

    env_id: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def discrete(self) -> bool:
        """Whether actions are the four discrete ones."""
        return not self.kwargs.get("continuous", False)

    @property
    def action_name(self) -> str:
        """`discrete` or `continuous`."""
        return "discrete" if self.discrete else "continuous"

    @property
    def observation_space(self) -> spaces.Box:
        """Box(8,) float32: x, y, their velocities, angle, its velocity, two leg contacts."""
        high = np.array([2.5, 2.5, 10, 10, 2 * np.pi, 10, 1, 1], dtype=np.float32)
        low = np.concatenate([-high[:6], np.array([-0.0, -0.0], dtype=np.float32)])
        return spaces.Box(low, high)

    @property
    def action_space(self) -> spaces.Discrete | spaces.Box:
        """Discrete(4), or Box(2,) in [-1, 1]: main engine, side engines."""
        if self.discrete:
            return spaces.Discrete(4)
        return spaces.Box(-1.0, 1.0, (2,), dtype=np.float32)

    @property
    def action_size(self) -> int:
        """Number of actions, or of action dimensions."""
        return 4 if self.discrete else 2

    @property
    def observation_size(self) -> int:
        """Length of an observation."""
        return 8

    def random_action(self, rng: np.random.Generator) -> Any:
        """Draw a uniform action: an int64, or float32 [2]."""
        if self.discrete:
            return rng.integers(self.action_size)
        return rng.uniform(-1.0, 1.0, self.action_size).astype(np.float32)

    def spec(self) -> EnvSpec:
        """Return the local registry's spec with our kwargs."""
        spec = gym.spec(self.env_id)
        return EnvSpec(
            **{
                name: getattr(spec, name)
                for name in ("id", "entry_point", "reward_threshold", "max_episode_steps")
            },
            kwargs=dict(self.kwargs),
        )

    def make(self, render_mode: str | None = None) -> gym.Env:
        """Make the env. Raises LunarOfflineError when Box2D is missing."""
        try:
            return gym.make(
                self.env_id, render_mode=render_mode, disable_env_checker=True, **self.kwargs
            )
        except gym.error.DependencyNotInstalled as error:
            raise LunarOfflineError(
                "Box2D is not installed: pip install 'gymnasium[box2d]' -c constraints.txt"
            ) from error


DISCRETE = EnvInfo(ENV_ID)
CONTINUOUS = EnvInfo(ENV_ID, {"continuous": True})


def lander(*, discrete: bool) -> EnvInfo:
    """Return the lander with four discrete or two continuous actions."""
    return DISCRETE if discrete else CONTINUOUS


def match_spec(spec: Mapping[str, Any]) -> EnvInfo:
    """Find the env that a dataset's parsed `env_spec` names, and compare it with our own.

    Nothing of `spec` is ever made or imported. Entry point, wrappers and time limit must be those
    of the local registry, and the kwargs the defaults, `continuous` apart.

    Raises:
        RefusedError: the spec names another env, other kwargs or other code.
    """
    env_id, kwargs = spec.get("id"), spec.get("kwargs") or {}
    if env_id != ENV_ID:
        raise RefusedError(f"the dataset's env is {env_id!r}; only {ENV_ID} is read")
    if not isinstance(kwargs, dict):
        raise RefusedError(f"the dataset's env has kwargs {kwargs!r}")
    own = {k: v for k, v in kwargs.items() if v != DEFAULT_KWARGS.get(k, ...)}
    for info in (DISCRETE, CONTINUOUS):
        if own == dict(info.kwargs):
            known = info.spec()
            same = spec.get("entry_point") == known.entry_point and not spec.get(
                "additional_wrappers"
            )
            if not same or spec.get("max_episode_steps") != known.max_episode_steps:
                raise RefusedError(f"the dataset's env spec is not the registered {ENV_ID}")
            return info
    raise RefusedError(f"the dataset's env has kwargs {own!r}; only continuous=True is known")


def shaping(observations: NDArray[Any]) -> NDArray[np.float64]:
    """Return the lander's potential at observations [..., 8]; rewards hold its differences."""
    o = np.asarray(observations, dtype=np.float64)
    return (
        -100.0 * np.hypot(o[..., 0], o[..., 1])
        - 100.0 * np.hypot(o[..., 2], o[..., 3])
        - 100.0 * np.abs(o[..., 4])
        + 10.0 * (o[..., 6] + o[..., 7])
    )


def return_bound(first_observations: NDArray[Any]) -> NDArray[np.float64]:
    """Return the highest possible episode return from first observations [..., 8].

    The potential differences add up to at most 20 - shaping(s0), at rest on the pad with both legs
    down; the landing gives 100; no fuel is burnt.
    """
    return LANDING_REWARD + LEGS_DOWN - shaping(first_observations)


def fuel(actions: NDArray[Any]) -> tuple[float, float]:
    """Return what the main and the side engines cost over an episode, in points of return.

    Args:
        actions: int [T], or float [T, 2] (clipped to [-1, 1], as the env does).
    """
    if actions.ndim == 1:
        main = np.count_nonzero(actions == 2)
        side = np.count_nonzero((actions == 1) | (actions == 3))
        return MAIN_ENGINE_COST * main, SIDE_ENGINE_COST * side
    throttle, lateral = np.clip(actions.astype(np.float64), -1.0, 1.0).T
    main = np.where(throttle > 0, (throttle + 1) / 2, 0.0).sum()
    side = np.where(np.abs(lateral) > 0.5, np.abs(lateral), 0.0).sum()
    return float(MAIN_ENGINE_COST * main), float(SIDE_ENGINE_COST * side)


def outcome(last_reward: float, *, terminated: bool) -> str:
    """Name how an episode ended; the env gives exactly 100 or -100 at its own end."""
    if not terminated:
        return "truncated"
    return "landed" if last_reward == LANDING_REWARD else "crashed"


def check_action_space(env: EnvInfo, *, discrete: bool | None) -> None:
    """Raise UsageError when the user asked for the other action space than the data's."""
    if discrete is not None and env.discrete != discrete:
        wanted = "discrete" if discrete else "continuous"
        raise UsageError(f"the dataset's actions are {env.action_name}, not {wanted}")
