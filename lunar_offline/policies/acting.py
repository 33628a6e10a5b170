"""Policies as plain functions from observations to actions, which rollouts call; see `Act`."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from lunar_offline.agents.nn.policies import Policy, act
from lunar_offline.envs.env_info import EnvInfo
from lunar_offline.envs.env_kwargs import PlainValue
from lunar_offline.envs.rollout import Act
from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.policies.policy_file import StoredPolicy


@dataclass(frozen=True)
class BehaviorPolicy:
    """A policy that can act, with the facts about it that metadata record.

    Attributes:
        name: of a shipped policy, of a file (without the suffix .safetensors), or of a Python
            function as `module:function`.
        act: the function that rollouts call.
        env: the env that it was made for.
        algorithm: the algorithm that trained it.
        sha256: the sha256 of its file, or of a function's source file; empty without a file.
        samples: whether it draws its actions at random.
        shareable: whether worker processes can load it; false for a lambda, for example.
        stored: the content of its file, if the file has the project's own format.
    """

    name: str
    act: Act
    env: EnvInfo
    algorithm: str
    sha256: str
    samples: bool = True
    shareable: bool = True
    stored: StoredPolicy | None = field(default=None, repr=False, compare=False)

    def with_settings(self, settings: Mapping[str, PlainValue]) -> Self:
        """Return the policy in its env with other settings; see `EnvInfo.with_settings`."""
        return replace(self, env=self.env.with_settings(settings)) if settings else self

    def check_workers(self, workers: int) -> None:
        """Raise UsageError if other processes are needed and cannot load the policy."""
        if workers > 1 and not self.shareable:
            raise UsageError(
                f"policy {self.name} cannot be sent to other processes; use one worker, or define "
                "it with `def` in a module"
            )

    def check_sha256(self, expected: str) -> None:
        """Raise RefusedError unless its file has this sha256; empty accepts any."""
        if expected and expected != self.sha256:
            raise RefusedError(
                f"policy {self.name!r} has sha256 {self.sha256 or 'none'}, the recipe gives "
                f"{expected}"
            )


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
