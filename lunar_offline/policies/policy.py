"""Policies of the public API: predict an action at an observation."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lunar_offline.envs.action_range import stored_actions
from lunar_offline.envs.env_info import EnvInfo
from lunar_offline.envs.registry import find_env
from lunar_offline.envs.rollout import INFERENCE_ROWS
from lunar_offline.errors import UsageError
from lunar_offline.policies.acting import BehaviorPolicy
from lunar_offline.policies.behavior import PolicySource, behavior_policy
from lunar_offline.policies.policy_file import save_policy
from lunar_offline.seeding import Purpose, generator
from lunar_offline.transitions import Actions


@dataclass(frozen=True)
class PolicyMetadata:
    """Facts about a policy.

    Attributes:
        name: of a shipped policy, of a file (without the suffix .safetensors), or of a Python
            function as `module:function`.
        algorithm: the algorithm that trained it, such as `lunar_offline/SAC`, `sb3/PPO`, `onnx` or
            `python/module:function`.
        sha256: the sha256 of its file, or of a function's source file; empty without a file.
        samples: whether `predict(..., deterministic=False)` draws actions at random.
    """

    name: str
    algorithm: str
    sha256: str
    samples: bool


class Policy:
    """A policy that can act; see `load_policy`.

    Example:
        >>> import numpy as np
        >>> import lunar_offline as lo
        >>> policy = lo.load_policy("expert")
        >>> policy.predict(np.zeros((5, 8))).shape
        (5,)

    Args:
        mode: the policy that takes the most probable action.
        sampled: the policy that samples its actions.
    """

    def __init__(self, mode: BehaviorPolicy, sampled: BehaviorPolicy) -> None:
        self._mode, self._sampled = mode, sampled
        self._rng = generator(0, Purpose.EVALUATION_ACTION)

    @property
    def env(self) -> EnvInfo:
        """The env that the policy acts in."""
        return self._mode.env

    @property
    def metadata(self) -> PolicyMetadata:
        """Name, algorithm and sha256 of the policy."""
        found = self._sampled
        return PolicyMetadata(found.name, found.algorithm, found.sha256, found.samples)

    def behavior_policy(self, *, stochastic: bool) -> BehaviorPolicy:
        """Return the policy as rollouts use it."""
        return self._sampled if stochastic else self._mode

    def predict(
        self,
        observation: NDArray[np.floating],
        deterministic: bool = True,
        *,
        rng: np.random.Generator | None = None,
    ) -> np.int64 | Actions:
        """Choose the action at one observation, or at each of a batch.

        The result has the same bits as in a rollout of `evaluate`, for any size of a batch.

        Args:
            observation: one observation [D] or a batch [B, D], in the env's own units.
            deterministic: take the most probable action: argmax, tanh(mu), or the mean. If false,
                sample it. A policy without a distribution of actions ignores this.
            rng: draws the samples. None uses a generator of this object, whose numbers are the
                same in every process.

        Returns:
            The action in the env's own action space: an int64 or [B] of them if actions are
            discrete; else float32 [A] or [B, A], within the env's bounds.

        Raises:
            UsageError: the observation has another shape, or is no array of numbers.
        """
        rows = np.asarray(observation)
        size = self.env.observation_size
        if rows.dtype.kind not in "fiu" or rows.ndim not in (1, 2) or rows.shape[-1] != size:
            raise UsageError(
                f"predict: an observation of {self.env.env_id} is [{size}] or [B, {size}] numbers, "
                f"not {rows.shape} of {rows.dtype}"
            )
        batch = np.atleast_2d(rows.astype(np.float32))
        act = (self._mode if deterministic else self._sampled).act
        rng = self._rng if rng is None else rng
        actions: list[NDArray[Any]] = [self._empty()]
        for start in range(0, len(batch), INFERENCE_ROWS):
            part = batch[start : start + INFERENCE_ROWS]
            padded = np.zeros((INFERENCE_ROWS, size), dtype=np.float32)
            padded[: len(part)] = part
            actions.append(act(padded, [rng] * len(part))[: len(part)])
        own = stored_actions(self.env.action_space, np.concatenate(actions))
        return own if rows.ndim == 2 else own[0]

    def _empty(self) -> Actions:
        if self.env.discrete:
            return np.zeros(0, dtype=np.int64)
        return np.zeros((0, self.env.action_size), dtype=np.float32)

    def export(self, path: str | os.PathLike[str]) -> Path:
        """Write the policy as a safetensors file, which `load_policy` and every command read.

        Args:
            path: the file, which ends in `.safetensors`; an existing one is replaced.

        Returns:
            The path.

        Raises:
            UsageError: the path ends otherwise, or the policy is a function, a `.zip` or an
                `.onnx` file, which has no form as safetensors.
        """
        target, stored = Path(path), self._mode.stored
        if stored is None:
            raise UsageError(
                f"policy {self._mode.name} ({self._mode.algorithm}) cannot be exported: only "
                "policies that lunar_offline trained have a .safetensors form"
            )
        if target.suffix != ".safetensors":
            raise UsageError(f"{target}: the name of an exported policy ends in .safetensors")
        try:
            save_policy(target, stored.policy, stored.env, stored.hidden, stored.provenance)
        except OSError as error:
            raise UsageError(f"{target}: {error.strerror}") from None
        return target


def load_policy(
    policy: PolicySource,
    *,
    env: str | EnvInfo | None = None,
    discrete: bool | None = None,
    trust: bool = False,
) -> Policy:
    """Load a policy.

    Example:
        >>> import numpy as np
        >>> import lunar_offline as lo
        >>> policy = lo.load_policy(lo.Run("runs/example"))
        >>> int(policy.predict(np.zeros(8))) in range(4)
        True

    Args:
        policy: a run or its directory, which stand for the policy at its end; a `.safetensors`,
            `.onnx` or Stable-Baselines3 `.zip` file; `expert`, `expert-v1`, `medium`, `random` or
            `controller`; `module:function`; or a function from an observation, float32 [D], to an
            action in the env's own action space.
        env: the env that the policy acts in: an id or a record. None takes the one that its file
            names, and LunarLander-v3 if no file does.
        discrete: the action space of an env that has both; None takes the policy's own.
        trust: run the pickled code of a `.zip` that cannot be read without it.

    Raises:
        UsageError: the policy does not exist, does not fit the env, or needs an extra.
        RefusedError: the file is damaged, or must be trusted.
    """
    if isinstance(env, str):
        env = find_env(env, discrete=discrete)
    mode, sampled = (
        behavior_policy(policy, discrete=discrete, stochastic=stochastic, env=env, trust=trust)
        for stochastic in (False, True)
    )
    return Policy(mode, sampled)
