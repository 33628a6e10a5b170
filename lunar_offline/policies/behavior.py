"""Behavior policies by name or as a function: the one place that finds a policy."""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from lunar_offline.envs.env_info import EnvInfo
from lunar_offline.envs.registry import find_env
from lunar_offline.errors import UsageError
from lunar_offline.policies import SHIPPED, THRESHOLDED, names_function
from lunar_offline.policies.acting import (
    BehaviorPolicy,
    policy_act,
    random_act,
    thresholded_act,
)
from lunar_offline.policies.controller import controller_act
from lunar_offline.policies.onnx_file import onnx_policy
from lunar_offline.policies.policy_file import StoredPolicy, read_policy_file
from lunar_offline.policies.python_function import (
    PolicyFunction,
    function_policy,
    imported_policy,
)
from lunar_offline.policies.sb3_zip import sb3_policy
from lunar_offline.storage.package_data import package_data
from lunar_offline.storage.plain_text import printable

PolicySource = str | os.PathLike[str] | PolicyFunction
"""What a policy is found by; see `behavior_policy`."""


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
            if name and not os.path.lexists(path):
                raise UsageError(
                    f"{name} has no policy yet; a run goes on with: lunar-offline train --resume "
                    f"{name}"
                )
    if path.suffix == ".py":
        raise UsageError(f"{name[:80]} is code: name a function in it, as {path.stem}:function")
    if not os.path.lexists(path):
        raise UsageError(
            f"no policy {name[:80]!r}: give {', '.join(SHIPPED)}, a run directory, a .safetensors, "
            ".onnx or .zip file, or module:function"
        )
    return path


def behavior_policy(
    policy: PolicySource,
    *,
    discrete: bool | None,
    stochastic: bool = True,
    env: EnvInfo | None = None,
    trust: bool = False,
) -> BehaviorPolicy:
    """Find a policy.

    Args:
        policy: one of SHIPPED, a run directory, a `.safetensors`, `.onnx` or Stable-Baselines3
            `.zip` file, `module:function`, or a Python function; see `python_function`. With
            `thresholded:` before it, a continuous policy runs the discrete lander.
        discrete: whether actions are discrete; None takes the policy's action space, and discrete
            actions for a shipped policy and a function.
        stochastic: sample the actions, if the policy has a distribution of them; else argmax,
            tanh(mu), or the mean.
        env: the env that the user named. None accepts any registered env for a policy whose file
            names one, and is the default env for any other.
        trust: run the pickled code of a `.zip` that cannot be read without it.

    Raises:
        UsageError: the policy does not exist, does not fit the env, or has the other action space;
            a function fails or does not return an action; or an extra is not installed.
        RefusedError: the file is not a complete policy, or must be trusted.
    """
    if not isinstance(policy, str | os.PathLike):
        return function_policy(policy, env or find_env(discrete=discrete))
    name = os.fspath(policy)
    if name.startswith(THRESHOLDED):
        return _thresholded(name, stochastic=stochastic, trust=trust)
    if name in ("random", "controller"):
        return _programmed(name, env or find_env(discrete=discrete))
    if name in SHIPPED:
        default = find_env(discrete=discrete)
        if env and env.env_id != default.env_id:
            raise UsageError(f"policy {name} is for {default.env_id}, not {env.env_id}")
        path = shipped_policy(name, default)
        stored = read_policy_file(path, sha256=policy_card(path)["sha256"])
        found = _behavior_policy(name, stored, stochastic=stochastic)
    elif names_function(name) and not os.path.lexists(name):
        found = imported_policy(name, env or find_env(discrete=discrete))
    else:
        path, envs = policy_path(name), list(_candidates(env, discrete))
        if path.suffix == ".zip":
            found = sb3_policy(path, envs, stochastic=stochastic, trust=trust)
        elif path.suffix == ".onnx":
            found = onnx_policy(path, envs)
        else:
            found = policy_of_file(path, stochastic=stochastic, env=env)
    check_policy_space(found, name, discrete)
    return found


def _candidates(env: EnvInfo | None, discrete: bool | None) -> Iterator[EnvInfo]:
    """Yield the envs of which a policy from elsewhere takes the first that fits.

    They are the records, one per action space, of the env that the user named or of the default.
    """
    first = env or find_env(discrete=discrete)
    yield first
    if discrete is None:
        with suppress(UsageError):  # it has one action space
            yield find_env(first.env_id, discrete=not first.discrete, settings=first.settings)


def _programmed(name: str, env: EnvInfo) -> BehaviorPolicy:
    """Return a shipped policy that is code, without a file."""
    act = random_act(env)
    if name == "controller":
        lander = find_env(discrete=True)
        if env.env_id != lander.env_id or not env.discrete:
            raise UsageError(f"policy controller is for {lander.env_id} with discrete actions")
        act = controller_act
    return BehaviorPolicy(
        name, act, env, f"lunar_offline/{name}", sha256="", samples=name == "random"
    )


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
    stored = read_policy_file(path, env=env)
    return _behavior_policy(printable(path.stem), stored, stochastic=stochastic)


def _behavior_policy(name: str, stored: StoredPolicy, *, stochastic: bool) -> BehaviorPolicy:
    return BehaviorPolicy(
        name=name,
        act=policy_act(stored.policy, stochastic=stochastic),
        env=stored.env,
        algorithm="lunar_offline/" + str(stored.provenance.get("algorithm", "sac")).upper(),
        sha256=stored.sha256,
        samples=stochastic,
        stored=stored,
    )


def check_policy_space(policy: BehaviorPolicy, name: str, discrete: bool | None) -> None:
    """Raise UsageError if the user requested another action space than the policy's."""
    if discrete is not None and policy.env.discrete != discrete:
        raise UsageError(f"policy {name!r} has {policy.env.action_kind} actions")


def _thresholded(name: str, *, stochastic: bool, trust: bool) -> BehaviorPolicy:
    inner_name = name.removeprefix(THRESHOLDED)
    if inner_name.startswith(THRESHOLDED):
        raise UsageError(f"policy {name[:80]!r} has the prefix {THRESHOLDED} twice")
    inner = behavior_policy(inner_name, discrete=False, stochastic=stochastic, trust=trust)
    env = find_env(discrete=True)
    return replace(inner, name=name, act=thresholded_act(inner.act), env=env, stored=None)
