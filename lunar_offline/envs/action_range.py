"""Continuous actions in the env's own range and in [-1, 1].

Rollouts and learners hold continuous actions in [-1, 1]; `EnvInfo.make` converts them for the env.
Datasets and policies from elsewhere have the env's own range.
"""

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from lunar_offline.transitions import Actions

ROUNDS = 8


def is_unit(space: spaces.Box) -> bool:
    """Return whether the bounds of a space are [-1, 1]."""
    return bool((space.low == -1.0).all() and (space.high == 1.0).all())


def to_unit_range(space: spaces.Box, actions: NDArray[np.floating]) -> NDArray[np.float32]:
    """Clip actions [..., A] to the bounds of a space, and map the bounds to [-1, 1]."""
    if is_unit(space):
        return np.clip(actions, -1.0, 1.0).astype(np.float32)
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    own = np.clip(actions.astype(np.float64), low, high)
    # the dataset reader computes the same bits
    return (2.0 * (own - low) / (high - low) - 1.0).astype(np.float32)


def to_env_range(space: spaces.Box, actions: NDArray[np.floating]) -> NDArray[np.float32]:
    """Clip actions [..., A] to [-1, 1], and map -1 and 1 to the bounds of a space.

    It is computed in float64 and rounded once. Gymnasium's RescaleAction rounds at each step, so
    that its actions could not be recovered from their unit range.
    """
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    unit = np.clip(actions.astype(np.float64), -1.0, 1.0)
    return np.clip((low + (high - low) * (unit + 1.0) / 2.0).astype(np.float32), low, high).astype(
        np.float32
    )


def stored_actions(space: spaces.Box | spaces.Discrete, actions: Actions) -> Actions:
    """Return actions [B] or [B, A] of rollouts as datasets and the env hold them."""
    if isinstance(space, spaces.Discrete) or is_unit(space):
        return actions
    return to_env_range(space, actions.astype(np.float32))


def repeatable(space: spaces.Box | spaces.Discrete, actions: Actions) -> Actions:
    """Return the nearest actions [B, A] that a dataset returns with the same bits.

    A dataset stores the env's own range, and rounding may change the last bit of an action on the
    way to the file and back. An episode of such actions replays bit for bit.
    """
    if isinstance(space, spaces.Discrete) or is_unit(space):
        return actions
    for _ in range(ROUNDS):
        again = to_unit_range(space, to_env_range(space, actions.astype(np.float32)))
        if np.array_equal(again, actions):
            break
        actions = again
    return actions
