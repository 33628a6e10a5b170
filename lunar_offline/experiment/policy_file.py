"""Policies on disk: see `tensor_file`."""

import itertools
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from lunar_offline.envs import ENV_ID, EnvInfo, lander
from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.experiment.ranges import plausible_hidden
from lunar_offline.experiment.tensor_file import Spec, read_tensors, write_tensors
from lunar_offline.learn.policies import ActionSpec, Policy, make_policy
from lunar_offline.seeding import Purpose, generator

FORMAT = "lunar-offline-policy-2"
UNSEALED = "lunar-offline-policy-1"  # of the shipped policies, whose sha256 stands in their cards


@dataclass(frozen=True)
class StoredPolicy:
    """A policy with the env that it flies, what its file says of its making, and its sha256."""

    policy: Policy
    env: EnvInfo
    provenance: dict[str, Any]
    sha256: str


def save_policy(
    path: Path, policy: Policy, env: EnvInfo, hidden: tuple[int, ...], provenance: dict[str, Any]
) -> None:
    """Write a policy atomically."""
    about = {"continuous": not env.discrete, "hidden": list(hidden), "provenance": provenance}
    if not env.is_lander:
        about["env"] = env.env_id
    write_tensors(path, FORMAT, about, policy.net.named_tensors())


def load_policy(
    path: Path, *, sha256: str | None = None, env: EnvInfo | None = None
) -> StoredPolicy:
    """Read a policy.

    Args:
        path: of its file.
        sha256: what the file's must be; None takes any.
        env: what it must fly, as the user named it; None takes the lander's two.

    Raises:
        UsageError: there is no such file.
        RefusedError: the file is not a policy of this format, its tensors are not the ones that
            its header announces, or not finite, or it has another sha256.
    """
    try:
        found = read_tensors(path, FORMAT, partial(_expected, env), unsealed=UNSEALED)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such policy file") from None
    if sha256 not in (None, found.sha256):
        raise RefusedError(f"{path}: its sha256 is {found.sha256}, and must be {sha256}")
    env = env or lander(discrete=not found.about["continuous"])
    rng = generator(0, Purpose.INITIALISATION)
    spec = ActionSpec(env.discrete, env.action_size)
    policy = make_policy(spec, env.observation_size, tuple(found.about["hidden"]), rng)
    for name, value in policy.net.named_tensors().items():
        value.copy_(found.tensors[name])
    return StoredPolicy(policy, env, found.about["provenance"], found.sha256)


def _expected(named: EnvInfo | None, about: dict[str, Any]) -> Spec:
    """Return the tensors that a header announces. Raises ValueError when it cannot be meant."""
    env_id = about.get("env", ENV_ID)
    if (
        set(about) - {"env"} != {"continuous", "hidden", "provenance"}
        or not isinstance(env_id, str)
        or type(about["continuous"]) is not bool
        or not isinstance(about["provenance"], dict)
        or not plausible_hidden(about["hidden"])
    ):
        raise ValueError("the policy header is damaged")
    env = named or lander(discrete=not about["continuous"])
    if env_id != env.env_id:
        hint = "" if named else f"; name it: --env {env_id[:80]}"
        raise ValueError(f"it flies {env_id[:80]}, not {env.env_id}{hint}")
    outputs = env.action_size if env.discrete else 2 * env.action_size  # mu and log sigma
    spec: dict[str, tuple[torch.dtype, tuple[int | range, ...]]] = {}
    widths = (env.observation_size, *about["hidden"], outputs)
    for layer, (fan_in, fan_out) in enumerate(itertools.pairwise(widths)):
        spec[f"net.{2 * layer}.weight"] = (torch.float32, (fan_out, fan_in))
        spec[f"net.{2 * layer}.bias"] = (torch.float32, (fan_out,))
    return spec
