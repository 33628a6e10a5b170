"""Actions of policies from elsewhere: checked, and converted between the env's range and [-1, 1].

Such a policy acts in the env's own action space, for example in [-2, 2]. Rollouts, datasets and
learners hold continuous actions in [-1, 1]; `EnvInfo.make` converts them back for the env.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from lunar_offline.envs.action_range import to_unit_range
from lunar_offline.envs.env_info import EnvInfo
from lunar_offline.errors import UsageError
from lunar_offline.transitions import Actions


@dataclass(frozen=True)
class PolicySpaces:
    """What a policy file states about its spaces.

    Attributes:
        observation_size: length of an observation.
        action_size: number of discrete actions, or of action dimensions; None if unknown.
        discrete: whether the actions are discrete; None if unknown.
    """

    observation_size: int
    action_size: int | None
    discrete: bool | None = None

    def fit(self, env: EnvInfo) -> bool:
        """Return whether a policy with these spaces can act in an env."""
        return (
            self.observation_size == env.observation_size
            and self.action_size in (None, env.action_size)
            and self.discrete in (None, env.discrete)
        )

    def __str__(self) -> str:
        kind = {None: [], True: ["discrete"], False: ["continuous"]}[self.discrete]
        size = [] if self.action_size is None else [str(self.action_size)]
        return " ".join([str(self.observation_size), "observations and", *size, *kind, "actions"])


def matching_env(envs: Sequence[EnvInfo], found: PolicySpaces, source: str) -> EnvInfo:
    """Return the first of some envs that fits a policy.

    Args:
        envs: the env that the user named, or the variants of the default env.
        found: the spaces of the policy.
        source: the policy, for the message.

    Raises:
        UsageError: none fits.
    """
    for env in envs:
        if found.fit(env):
            return env
    offered = " or ".join(
        str(PolicySpaces(env.observation_size, env.action_size, env.discrete)) for env in envs
    )
    raise UsageError(
        f"{source}: has {found}, {envs[0].env_id} has {offered}; name the policy's env with --env"
    )


def checked_actions(env: EnvInfo, values: Sequence[object], source: str) -> Actions:
    """Check what a policy returned for some observations, and convert it for rollouts.

    Args:
        env: the env that the policy acts in.
        values: one action per observation, in the env's own action space: an integer (or an array
            of one integer), or numbers [A]. Numbers beyond the env's bounds are clipped to them.
        source: the policy, for the message.

    Returns:
        int64 [B], or float32 [B, A] in [-1, 1].

    Raises:
        UsageError: an action has another type or shape, is not finite, or is no discrete action of
            the env.
    """
    space = env.action_space
    if isinstance(space, spaces.Discrete):
        return np.array([_discrete(v, int(space.n), env, source) for v in values], dtype=np.int64)
    rows = [_vector(v, space, env, source) for v in values]
    return to_unit_range(space, np.stack(rows)) if rows else np.zeros((0, env.action_size), "f4")


def _discrete(value: object, n: int, env: EnvInfo, source: str) -> int:
    array = _array(value, source)
    if array.dtype.kind not in "iu" or array.size != 1 or array.ndim > 1:
        raise UsageError(
            f"{source} returned {_described(array)}; a discrete action of {env.env_id} is one "
            f"integer, 0 to {n - 1}"
        )
    action = int(array.reshape(()))
    if not 0 <= action < n:
        raise UsageError(
            f"{source} returned action {action}; the actions of {env.env_id} are 0 to {n - 1}"
        )
    return action


def _vector(value: object, space: spaces.Box, env: EnvInfo, source: str) -> NDArray[np.float64]:
    array = _array(value, source)
    if array.dtype.kind not in "fiu" or array.shape != space.shape:
        raise UsageError(
            f"{source} returned {_described(array)}; a continuous action of {env.env_id} is an "
            f"array of shape {space.shape} of numbers"
        )
    if not np.isfinite(array).all():
        raise UsageError(f"{source} returned an action that is not finite")
    return array.astype(np.float64)


def _array(value: object, source: str) -> np.ndarray:
    try:
        return np.asarray(value)
    except Exception as error:  # such as a tensor that requires a gradient
        raise UsageError(
            f"{source} returned a {type(value).__name__} that is not an array: "
            f"{str(error).splitlines()[0] if str(error) else type(error).__name__}"
        ) from None


def _described(array: np.ndarray) -> str:
    if array.dtype.kind not in "biuf":
        return "no number"
    return f"shape {array.shape} of {array.dtype}"
