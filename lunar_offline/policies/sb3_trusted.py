"""Policies that Stable-Baselines3 itself loads, pickled code included; see `sb3_zip`."""

import io
import random
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from lunar_offline.envs.env_info import EnvInfo
from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.policies.env_actions import (
    Actions,
    PolicySpaces,
    checked_actions,
    matching_env,
)
from lunar_offline.storage.plain_text import one_line


class TrustedAct:
    """Acts with a model of Stable-Baselines3, deterministically; see `Act`.

    Args:
        content: of the zip, which the user trusts.
        algorithm: name of its class.
        source: the file, for messages.
        envs: the envs of which the first that fits is used.

    Raises:
        UsageError: Stable-Baselines3 is not installed, or no env fits.
        RefusedError: it cannot load the file.
    """

    samples = False

    def __init__(
        self, content: bytes, algorithm: str, source: str, envs: Sequence[EnvInfo]
    ) -> None:
        self.content, self.algorithm, self.source = content, algorithm, source
        self.model = _load(content, algorithm, source)
        self.env = matching_env(envs, _spaces(self.model, source), source)

    def __call__(
        self, observations: NDArray[np.float32], rngs: Sequence[np.random.Generator]
    ) -> Actions:
        """Return the actions for observations [B, D]."""
        actions, _ = self.model.predict(observations, deterministic=True)
        return checked_actions(self.env, list(actions), f"policy {self.source}")

    def __reduce__(self) -> tuple[object, ...]:
        return TrustedAct, (self.content, self.algorithm, self.source, (self.env,))


def _load(content: bytes, algorithm: str, source: str) -> Any:
    try:
        import stable_baselines3
    except ImportError:
        raise UsageError(
            f"{source}: this policy needs an extra: pip install 'lunar-offline[sb3]' "
            "-c constraints.txt"
        ) from None
    kind = getattr(stable_baselines3, algorithm)
    # schedules of training are pickled functions, which other versions of Python cannot load
    unused = {"learning_rate": 0.0, "lr_schedule": _zero, "clip_range": _zero}
    try:
        with global_generators_restored(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return kind.load(io.BytesIO(content), device="cpu", custom_objects=unused)
    except Exception as error:
        raise RefusedError(
            f"{source}: Stable-Baselines3 cannot load it: {type(error).__name__}: {one_line(error)}"
        ) from None


def _zero(_progress: float) -> float:
    return 0.0


def _spaces(model: Any, source: str) -> PolicySpaces:
    observations, actions = model.observation_space, model.action_space
    if isinstance(observations, spaces.Box) and len(observations.shape) == 1:
        (size,) = observations.shape
        if isinstance(actions, spaces.Discrete):
            return PolicySpaces(size, int(actions.n), True)
        if isinstance(actions, spaces.Box) and len(actions.shape) == 1:
            return PolicySpaces(size, actions.shape[0], False)
    raise UsageError(f"{source}: has the spaces {observations} and {actions}, which do not fit")


@contextmanager
def global_generators_restored() -> Iterator[None]:
    """Restore the global generators, which loading a model seeds."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
