"""Policies on disk, in the format of `tensor_file`."""

import itertools
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lunar_offline.agents.learner_config import check_hidden
from lunar_offline.agents.nn.action_spec import ActionSpec
from lunar_offline.agents.nn.device import to_arrays, to_tensors
from lunar_offline.agents.nn.policies import Policy, make_policy
from lunar_offline.envs import DEFAULT_ENV
from lunar_offline.envs.env_info import EnvInfo
from lunar_offline.envs.registry import known_env
from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.seeding import Purpose, generator
from lunar_offline.storage.tensor_file import Spec, read_tensors, write_tensors

FORMAT = "lunar-offline-policy-2"
UNSEALED = "lunar-offline-policy-1"  # of the shipped policies; their cards hold the sha256


@dataclass(frozen=True)
class StoredPolicy:
    """The content of a policy file.

    Attributes:
        policy: the policy.
        env: the env that it acts in.
        hidden: widths of its hidden layers.
        provenance: how the policy was made, as its file states it.
        sha256: the sha256 of the file.
    """

    policy: Policy
    env: EnvInfo
    hidden: tuple[int, ...]
    provenance: dict[str, Any]
    sha256: str


def save_policy(
    path: Path, policy: Policy, env: EnvInfo, hidden: tuple[int, ...], provenance: dict[str, Any]
) -> None:
    """Write a policy file atomically.

    Args:
        path: of the file.
        policy: the policy.
        env: the env that it acts in.
        hidden: widths of its hidden layers.
        provenance: how it was made, as plain JSON values.
    """
    about = {"continuous": not env.discrete, "hidden": list(hidden), "provenance": provenance}
    if env.env_id != DEFAULT_ENV:
        about["env"] = env.env_id
    if env.settings:
        about["env_kwargs"] = dict(env.settings)
    write_tensors(path, FORMAT, about, to_arrays(policy.net.named_tensors()))


def read_policy_file(
    path: Path, *, sha256: str | None = None, env: EnvInfo | None = None
) -> StoredPolicy:
    """Read a policy file.

    Args:
        path: of the file.
        sha256: the sha256 that the file must have; None accepts any.
        env: the env that the user named; None accepts any registered env.

    Raises:
        UsageError: the file does not exist.
        RefusedError: the file is not a policy of this format, its tensors differ from those that
            its header announces or are not finite, or it has another sha256.
    """
    try:
        found = read_tensors(path, FORMAT, partial(_expected, env), unsealed=UNSEALED)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such policy file") from None
    if sha256 not in (None, found.sha256):
        raise RefusedError(f"{path}: its sha256 is {found.sha256}, and must be {sha256}")
    env = _env_of(found.about, env)
    rng = generator(0, Purpose.INITIALIZATION)
    spec = ActionSpec(env.discrete, env.action_size)
    hidden = tuple(found.about["hidden"])
    policy = make_policy(spec, env.observation_size, hidden, rng)
    tensors = to_tensors(found.tensors)
    for name, value in policy.net.named_tensors().items():
        value.copy_(tensors[name])
    return StoredPolicy(policy, env, hidden, found.about["provenance"], found.sha256)


def _env_of(about: dict[str, Any], named: EnvInfo | None) -> EnvInfo:
    """Return the env of a policy header. Raises ValueError if another env is expected."""
    try:
        return known_env(
            about.get("env", DEFAULT_ENV),
            discrete=not about["continuous"],
            settings=about.get("env_kwargs"),
            named=named,
        )
    except RefusedError as error:
        raise ValueError(f"a policy whose env is not known: {error}") from None


def _expected(named: EnvInfo | None, about: dict[str, Any]) -> Spec:
    """Return the tensors that a header announces. Raises ValueError for an invalid header."""
    env_id = about.get("env", DEFAULT_ENV)
    if (
        set(about) - {"env", "env_kwargs"} != {"continuous", "hidden", "provenance"}
        or not isinstance(env_id, str)
        or not isinstance(about.get("env_kwargs", {}), dict)
        or type(about["continuous"]) is not bool
        or not isinstance(about["provenance"], dict)
    ):
        raise ValueError("the policy header is damaged")
    try:
        check_hidden(about["hidden"])
    except ValueError as error:
        raise ValueError(f"the policy header is damaged: hidden {error}") from None
    env = _env_of(about, named)
    outputs = env.action_size if env.discrete else 2 * env.action_size  # mu and log sigma
    spec: dict[str, tuple[Any, tuple[int | range, ...]]] = {}
    widths = (env.observation_size, *about["hidden"], outputs)
    for layer, (fan_in, fan_out) in enumerate(itertools.pairwise(widths)):
        spec[f"net.{2 * layer}.weight"] = (np.float32, (fan_out, fan_in))
        spec[f"net.{2 * layer}.bias"] = (np.float32, (fan_out,))
    return spec
