"""Behaviour policies by name: a tier that ships, a run directory, or a policy file."""

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lunar_offline.data.rollout import Act
from lunar_offline.envs import EnvInfo, lander
from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.experiment.evaluate import policy_act
from lunar_offline.experiment.policy_file import load_policy
from lunar_offline.experiment.resources import resources
from lunar_offline.files import printable

TIERS = ("expert-v1", "expert", "medium", "random")
THRESHOLDED = "thresholded:"


@dataclass(frozen=True)
class BehaviorPolicy:
    """A policy that can fly, and what to say of it in metadata.

    Attributes:
        name: a tier, or a file's or run's name.
        act: the plain function that rollouts take.
        env: what it flies.
        algorithm: what made it.
        sha256: of its file; empty for `random`.
    """

    name: str
    act: Act
    env: EnvInfo
    algorithm: str
    sha256: str

    def check_sha256(self, wanted: str) -> None:
        """Raise RefusedError unless its file is the one that is wanted; empty wants any."""
        if wanted and wanted != self.sha256:
            raise RefusedError(
                f"policy {self.name!r} has sha256 {self.sha256 or 'none'}, the recipe says {wanted}"
            )


def bundled_policy(tier: str, *, discrete: bool) -> Path:
    """Return the file of a shipped policy, whether it is there or not."""
    return resources() / "policies" / f"{tier}-{lander(discrete=discrete).action_name}.safetensors"


def reference_mean(tier: str, *, discrete: bool) -> float:
    """Return a tier's mean return over the 1000 held-out episodes, from its card."""
    return float(_card(bundled_policy(tier, discrete=discrete))["mean"])


def _card(path: Path) -> dict[str, Any]:
    """Return a shipped policy's evaluation, and its sha256."""
    return json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))


def random_act(env: EnvInfo) -> Act:
    """Return uniform random actions, as a function that can be pickled."""
    return partial(_act_at_random, env)


def _act_at_random(
    env: EnvInfo, _observations: NDArray[np.float32], rngs: Sequence[np.random.Generator]
) -> NDArray[Any]:
    return np.stack([env.random_action(rng) for rng in rngs])


def thresholded(act: Act) -> Act:
    """Fly the discrete lander with a continuous policy: fire the engine that it wants to fire.

    The discrete env fires one engine a step, at full power. Where the continuous action fires both
    the main and a side engine, the one with the higher power is taken.
    """
    return partial(_act_thresholded, act)


def _act_thresholded(
    act: Act, observations: NDArray[np.float32], rngs: Sequence[np.random.Generator]
) -> NDArray[Any]:
    throttle, lateral = act(observations, rngs).T
    side = np.where(np.abs(lateral) > 0.5, np.where(lateral < 0, 1, 3), 0)
    main_wins = (throttle > 0) & ((side == 0) | ((throttle + 1) / 2 > np.abs(lateral)))
    return np.where(main_wins, 2, side).astype(np.int64)


def policy_path(name: str) -> Path:
    """Return the policy file of a run directory or a file name.

    Raises:
        UsageError: there is neither.
    """
    path = Path(name)
    with suppress(OSError):  # a name too long
        if path.is_dir():
            path = path / "policy.safetensors"
    if not os.path.lexists(path):
        raise UsageError(
            f"no policy {name[:80]!r}: give {', '.join(TIERS)}, a run directory or a .safetensors "
            "file"
        )
    return path


def behavior_policy(
    name: str, *, discrete: bool | None, stochastic: bool = True, env: EnvInfo | None = None
) -> BehaviorPolicy:
    """Find a policy by name.

    Args:
        name: one of TIERS, a run directory, or a `.safetensors` file. With `thresholded:` before it
            a continuous policy flies the discrete lander.
        discrete: action space; None takes the file's own, or discrete for a tier.
        stochastic: sample the actions; else argmax, or tanh(mu).
        env: one that the user named, of a policy that flies no lander.

    Raises:
        UsageError: nothing of that name, or its action space is the other one.
        RefusedError: the file is no whole policy.
    """
    if name.startswith(THRESHOLDED):
        flown = name.removeprefix(THRESHOLDED)
        if flown.startswith(THRESHOLDED):
            raise UsageError(f"policy {name[:80]!r}: {THRESHOLDED} stands twice")
        inner = behavior_policy(flown, discrete=False, stochastic=stochastic)
        return replace(inner, name=name, act=thresholded(inner.act), env=lander(discrete=True))
    if name == "random":
        env = env or lander(discrete=discrete is not False)
        return BehaviorPolicy(name, random_act(env), env, "lunar_offline/random", "")
    if name in TIERS:
        if env:
            raise UsageError(f"policy {name} flies the lander, not {env.env_id}")
        path = bundled_policy(name, discrete=discrete is not False)
        stored = load_policy(path, sha256=_card(path)["sha256"])
    else:
        path = policy_path(name)
        stored = load_policy(path, env=env)
    if discrete is not None and stored.env.discrete != discrete:
        raise UsageError(f"policy {name!r} flies {stored.env.action_name} actions")
    return BehaviorPolicy(
        name=name if name in TIERS else printable(path.stem),
        act=policy_act(stored.policy, stochastic=stochastic),
        env=stored.env,
        algorithm="lunar_offline/" + str(stored.provenance.get("algorithm", "sac")).upper(),
        sha256=stored.sha256,
    )
