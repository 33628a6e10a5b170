"""Policies as plain functions from observations to actions, which rollouts call; see `Act`."""

import copy
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lunar_offline.agents.nn.policies import Policy, act
from lunar_offline.envs.env_info import EnvInfo
from lunar_offline.envs.rollout import Act


def policy_act(policy: Policy, *, stochastic: bool) -> Act:
    """Wrap a copy of a policy; the result is picklable.

    The copy computes in float64 and rounds once, to an action. The last bits of a float32 product
    differ between CPU models, and such a difference would change the rest of an episode.

    Args:
        policy: the policy, whose later updates have no effect on the result.
        stochastic: sample the actions; else argmax, or tanh(mu).
    """
    policy = copy.deepcopy(policy).double()
    return partial(act, policy) if stochastic else partial(_act_deterministically, policy)


def _act_deterministically(
    policy: Policy, observations: NDArray[np.float32], _rngs: Sequence[np.random.Generator]
) -> NDArray[Any]:
    return act(policy, observations, None)


def random_act(env: EnvInfo) -> Act:
    """Return a picklable function that draws actions uniformly at random."""
    return partial(_act_at_random, env)


def _act_at_random(
    env: EnvInfo, _observations: NDArray[np.float32], rngs: Sequence[np.random.Generator]
) -> NDArray[Any]:
    return np.stack([env.random_action(rng) for rng in rngs])


def thresholded_act(act: Act) -> Act:
    """Convert a continuous lander policy to discrete actions: fire the engine that it fires.

    The discrete env fires one engine per step, at full power. If the continuous action fires both
    the main engine and a side engine, the engine with the higher power is used.
    """
    return partial(_act_thresholded, act)


def _act_thresholded(
    act: Act, observations: NDArray[np.float32], rngs: Sequence[np.random.Generator]
) -> NDArray[Any]:
    throttle, lateral = act(observations, rngs).T
    side = np.where(np.abs(lateral) > 0.5, np.where(lateral < 0, 1, 3), 0)
    main_wins = (throttle > 0) & ((side == 0) | ((throttle + 1) / 2 > np.abs(lateral)))
    return np.where(main_wins, 2, side).astype(np.int64)
