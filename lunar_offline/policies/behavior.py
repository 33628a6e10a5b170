"""Behavior policies by name: a shipped policy, a run directory, or a policy file."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from lunar_offline.envs.env_info import EnvInfo
from lunar_offline.envs.env_kwargs import PlainValue
from lunar_offline.envs.registry import find_env
from lunar_offline.envs.rollout import Act
from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.policies import SHIPPED
from lunar_offline.policies.acting import policy_act, random_act, thresholded_act
from lunar_offline.policies.policy_file import StoredPolicy, load_policy
from lunar_offline.storage.package_data import package_data
from lunar_offline.storage.plain_text import printable

THRESHOLDED = "thresholded:"


@dataclass(frozen=True)
class BehaviorPolicy:
    """A policy that can act, with the facts about it that metadata record.

    Attributes:
        name: the name of the shipped policy, or of the policy file without its suffix.
        act: the function that rollouts call.
        env: the env that it was made for.
        algorithm: the algorithm that trained it.
        sha256: the sha256 of its file; empty for `random`.
    """

    name: str
    act: Act
    env: EnvInfo
    algorithm: str
    sha256: str

    def with_settings(self, settings: Mapping[str, PlainValue]) -> Self:
        """Return the policy in its env with other settings; see `EnvInfo.with_settings`."""
        return replace(self, env=self.env.with_settings(settings)) if settings else self

    def check_sha256(self, expected: str) -> None:
        """Raise RefusedError unless its file has this sha256; empty accepts any."""
        if expected and expected != self.sha256:
            raise RefusedError(
                f"policy {self.name!r} has sha256 {self.sha256 or 'none'}, the recipe gives "
                f"{expected}"
            )


def shipped_policy(name: str, env: EnvInfo) -> Path:
    """Return the file of a shipped policy, whether it exists or not."""
    return package_data() / "policies" / f"{name}-{env.action_kind}.safetensors"


def policy_card(path: Path) -> dict[str, Any]:
    """Return the card of a shipped policy: its evaluation and its sha256."""
    return json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))


def policy_path(name: str) -> Path:
    """Return the path of a policy file, given a run directory or the file itself.

    A run acts with the policy at its end, which no validation chose; before its end, with the
    policy of the best validation. RUN/policy.safetensors names the latter in any case.

    Raises:
        UsageError: neither exists.
    """
    path = Path(name)
    with suppress(OSError):  # the name is too long
        if path.is_dir():
            ended = os.path.lexists(path / "last.safetensors")
            path = path / ("last.safetensors" if ended else "policy.safetensors")
    if not os.path.lexists(path):
        raise UsageError(
            f"no policy {name[:80]!r}: give {', '.join(SHIPPED)}, a run directory or a "
            ".safetensors file"
        )
    return path


def behavior_policy(
    name: str, *, discrete: bool | None, stochastic: bool = True, env: EnvInfo | None = None
) -> BehaviorPolicy:
    """Find a policy by name.

    Args:
        name: one of SHIPPED, a run directory, or a `.safetensors` file. With `thresholded:` before
            it, a continuous policy runs the discrete lander.
        discrete: whether actions are discrete; None takes the file's action space, and discrete
            actions for a shipped policy.
        stochastic: sample the actions; else argmax, or tanh(mu).
        env: the env that the user named; None accepts any registered env.

    Raises:
        UsageError: the policy does not exist, or has the other action space.
        RefusedError: the file is not a complete policy.
    """
    if name.startswith(THRESHOLDED):
        return _thresholded(name, stochastic=stochastic)
    if name == "random":
        env = env or find_env(discrete=discrete)
        return BehaviorPolicy(name, random_act(env), env, "lunar_offline/random", "")
    if name in SHIPPED:
        default = find_env(discrete=discrete)
        if env and env.env_id != default.env_id:
            raise UsageError(f"policy {name} is for {default.env_id}, not {env.env_id}")
        path = shipped_policy(name, default)
        stored = load_policy(path, sha256=policy_card(path)["sha256"])
        policy = _behavior_policy(name, stored, stochastic=stochastic)
    else:
        policy = policy_of_file(policy_path(name), stochastic=stochastic, env=env)
    check_policy_space(policy, name, discrete)
    return policy


def policy_of_file(
    path: Path, *, stochastic: bool = True, env: EnvInfo | None = None
) -> BehaviorPolicy:
    """Load a policy file.

    Args:
        path: of the file.
        stochastic: see `behavior_policy`.
        env: see `behavior_policy`.

    Raises:
        UsageError: there is no such file.
        RefusedError: the file is not a complete policy.
    """
    stored = load_policy(path, env=env)
    return _behavior_policy(printable(path.stem), stored, stochastic=stochastic)


def _behavior_policy(name: str, stored: StoredPolicy, *, stochastic: bool) -> BehaviorPolicy:
    return BehaviorPolicy(
        name=name,
        act=policy_act(stored.policy, stochastic=stochastic),
        env=stored.env,
        algorithm="lunar_offline/" + str(stored.provenance.get("algorithm", "sac")).upper(),
        sha256=stored.sha256,
    )


def check_policy_space(policy: BehaviorPolicy, name: str, discrete: bool | None) -> None:
    """Raise UsageError if the user requested another action space than the policy's."""
    if discrete is not None and policy.env.discrete != discrete:
        raise UsageError(f"policy {name!r} has {policy.env.action_kind} actions")


def _thresholded(name: str, *, stochastic: bool) -> BehaviorPolicy:
    inner_name = name.removeprefix(THRESHOLDED)
    if inner_name.startswith(THRESHOLDED):
        raise UsageError(f"policy {name[:80]!r} has the prefix {THRESHOLDED} twice")
    inner = behavior_policy(inner_name, discrete=False, stochastic=stochastic)
    return replace(inner, name=name, act=thresholded_act(inner.act), env=find_env(discrete=True))
