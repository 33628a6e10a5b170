"""The only file that knows LunarLander: its ids, kwargs, spaces, rewards and outcomes.

An env is always made from the constants here, never from what a dataset says.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from gymnasium.wrappers import DtypeObservation, RescaleAction
from numpy.typing import NDArray

from lunar_offline.errors import LunarOfflineError, RefusedError, UsageError
from lunar_offline.transitions import Episode, transition_dtype

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

# What a spec may say beside the defaults: it changes nothing of what was recorded.
RENDER_MODES = (None, "human", "rgb_array")

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
    """An env that this project can make: id, plain keyword arguments and its spaces.

    Learners see observations as float32 [D] and actions as int64 or as float32 [A] in [-1, 1];
    `make` and the reader convert to and from the env's own.

    Attributes:
        env_id: of the local registry.
        kwargs: of `gym.make`.
        observation_space: the env's own.
        action_space: the env's own.
    """

    env_id: str
    kwargs: Mapping[str, Any]
    observation_space: spaces.Box = field(compare=False)
    action_space: spaces.Discrete | spaces.Box = field(compare=False)

    @property
    def is_lander(self) -> bool:
        """Whether outcomes, fuel and the bound on returns are known."""
        return self.env_id == ENV_ID

    @property
    def discrete(self) -> bool:
        """Whether actions are discrete ones."""
        return isinstance(self.action_space, spaces.Discrete)

    @property
    def action_name(self) -> str:
        """`discrete` or `continuous`."""
        return "discrete" if self.discrete else "continuous"

    @property
    def action_size(self) -> int:
        """Number of actions, or of action dimensions."""
        space = self.action_space
        return int(space.n) if isinstance(space, spaces.Discrete) else space.shape[0]

    @property
    def observation_size(self) -> int:
        """Length of an observation."""
        return self.observation_space.shape[0]

    def transition_dtype(self) -> np.dtype:
        """Return the record that holds one of its transitions, as learners see it."""
        if self.discrete:
            return transition_dtype((self.observation_size,), (), np.int64)
        return transition_dtype((self.observation_size,), (self.action_size,), np.float32)

    def outcome(self, episode: Episode) -> str:
        """Name how an episode ended: see `outcome`; of other envs `terminated` or `truncated`."""
        terminated = bool(episode.terminations[-1])
        if self.is_lander:
            return outcome(float(episode.rewards[-1]), terminated=terminated)
        return "terminated" if terminated else "truncated"

    def random_action(self, rng: np.random.Generator) -> Any:
        """Draw a uniform action: an int64, or float32 [A] in [-1, 1]."""
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
        """Make the env. Raises LunarOfflineError when its physics are not installed."""
        try:
            env = gym.make(
                self.env_id, render_mode=render_mode, disable_env_checker=True, **self.kwargs
            )
        except gym.error.DependencyNotInstalled as error:
            raise LunarOfflineError(f"{self.env_id} cannot be made: {error}") from error
        if self.observation_space.dtype != np.float32:
            env = DtypeObservation(env, np.float32)
        space = self.action_space
        if isinstance(space, spaces.Box) and not _is_unit(space):
            env = RescaleAction(env, np.float32(-1.0), np.float32(1.0))
        return env


def _is_unit(space: spaces.Box) -> bool:
    return bool((space.low == -1.0).all() and (space.high == 1.0).all())


def _lander(action_space: spaces.Discrete | spaces.Box, **kwargs: Any) -> EnvInfo:
    high = np.array([2.5, 2.5, 10, 10, 2 * np.pi, 10, 1, 1], dtype=np.float32)
    low = np.concatenate([-high[:6], np.array([-0.0, -0.0], dtype=np.float32)])
    return EnvInfo(ENV_ID, kwargs, spaces.Box(low, high), action_space)


DISCRETE = _lander(spaces.Discrete(4))
CONTINUOUS = _lander(spaces.Box(-1.0, 1.0, (2,), dtype=np.float32), continuous=True)


def lander(*, discrete: bool) -> EnvInfo:
    """Return the lander with four discrete or two continuous actions."""
    return DISCRETE if discrete else CONTINUOUS


@lru_cache
def named_env(env_id: str) -> EnvInfo:
    """Return an env of the local registry that the user has named; it is made once, to look at it.

    Raises:
        UsageError: it is not registered, or learners cannot take its spaces: observations must be
            one vector, actions discrete from 0 or one vector between finite bounds.
    """
    if ":" in env_id:
        raise UsageError(f"--env {env_id}: imports a module; register the env and name its id")
    if env_id == ENV_ID:
        raise UsageError(f"--env {env_id}: the default; leave it out, and say --continuous or not")
    try:
        env = gym.make(env_id, disable_env_checker=True)
    except (gym.error.Error, ImportError) as error:
        raise UsageError(f"--env {env_id}: {_first_line(error)}") from None
    observations, actions = env.observation_space, env.action_space
    env.close()
    if not (isinstance(observations, spaces.Box) and len(observations.shape) == 1):
        raise UsageError(f"--env {env_id}: its observations are not one vector")
    discrete = isinstance(actions, spaces.Discrete) and actions.start == 0
    vector = isinstance(actions, spaces.Box) and len(actions.shape) == 1 and actions.is_bounded()
    if not (discrete or vector):
        raise UsageError(
            f"--env {env_id}: its actions are neither discrete from 0 nor one bounded vector"
        )
    assert isinstance(actions, spaces.Discrete | spaces.Box)
    return EnvInfo(env_id, dict(gym.spec(env_id).kwargs), observations, actions)


def _first_line(error: BaseException) -> str:
    text = str(error).splitlines()
    return text[0] if text else type(error).__name__


def match_spec(spec: Mapping[str, Any], wanted: EnvInfo | None = None) -> EnvInfo:
    """Compare a dataset's parsed `env_spec` with our own of that id, and return ours.

    Nothing of `spec` is ever made or imported. Entry points, wrappers and time limit must be those
    of the local registry, and the kwargs the defaults; the lander's `continuous` tells its two
    action spaces apart, and how frames were rendered does not matter.

    Args:
        spec: as the dataset has it.
        wanted: the env that the user named; None takes the lander's two.

    Raises:
        RefusedError: the spec names another env, other kwargs or other code.
    """
    env_id, kwargs = spec.get("id"), spec.get("kwargs", {})
    known = (DISCRETE, CONTINUOUS) if wanted is None else (wanted,)
    if env_id != known[0].env_id:
        hint = "; name it with --env to read it" if wanted is None else ""
        raise RefusedError(
            f"the dataset's env is {str(env_id)[:80]!r}, not {known[0].env_id}{hint}"
        )
    defaults = DEFAULT_KWARGS if wanted is None else {}
    own = (
        {k: v for k, v in kwargs.items() if v != defaults.get(k, ...) and k != "render_mode"}
        if isinstance(kwargs, dict) and kwargs.get("render_mode") in RENDER_MODES
        else None
    )
    for info in known:
        if own == dict(info.kwargs):
            _check_registered(spec, info)
            return info
    allowed = " or ".join(str(dict(info.kwargs)) for info in known)
    raise RefusedError(f"the dataset's env has kwargs {str(kwargs)[:80]!r}, not {allowed}")


def _check_registered(spec: Mapping[str, Any], info: EnvInfo) -> None:
    ours = info.spec()
    vector = (None, gym.spec(info.env_id).vector_entry_point)
    for key, same in (
        ("entry_point", spec.get("entry_point") == ours.entry_point),
        ("vector_entry_point", spec.get("vector_entry_point") in vector),
        ("additional_wrappers", spec.get("additional_wrappers", []) == []),
        ("max_episode_steps", spec.get("max_episode_steps") == ours.max_episode_steps),
    ):
        if not same:
            raise RefusedError(f"the dataset's env spec has another {key} than {info.env_id}")


def shaping(observations: NDArray[Any]) -> NDArray[np.float64]:
    """Return the lander's potential at observations [..., 8]; rewards hold its differences."""
    o = np.asarray(observations, dtype=np.float64)
    return (
        -100.0 * np.hypot(o[..., 0], o[..., 1])
        - 100.0 * np.hypot(o[..., 2], o[..., 3])
        - 100.0 * np.abs(o[..., 4])
        + 10.0 * (o[..., 6] + o[..., 7])
    )


def invariant_rewards(
    rewards: NDArray[Any],
    next_observations: NDArray[Any],
    terminations: NDArray[np.bool_],
    discount: float,
) -> NDArray[np.float32]:
    """Return the lander's rewards with potential differences that a discount does not distort.

    Its rewards hold shaping(s') - shaping(s). Discounted, those pay (1 - discount) * shaping(s) for
    every step spent at s, which is negative and as large as what the engines cost: it pays to be
    near the pad and slow, whatever that burns. discount * shaping(s') - shaping(s) adds up to the
    ends of an episode again, so that the best policy is that of fuel and outcome alone (Ng, Harada
    and Russell 1999). A termination's reward, 100 or -100, holds no difference and stays.

    Args:
        rewards: [N].
        next_observations: [N, 8].
        terminations: bool [N].
        discount: of the values that are learned.
    """
    excess = (1.0 - discount) * shaping(next_observations)
    return (rewards - np.where(terminations, 0.0, excess)).astype(np.float32)


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
