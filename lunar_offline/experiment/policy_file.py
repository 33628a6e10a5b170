"""Policies on disk: safetensors with a strict JSON header, checked before anything is allocated."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from lunar_offline.envs import EnvInfo, lander
from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.files import write_atomic
from lunar_offline.learn.policies import ActionSpec, Policy, make_policy
from lunar_offline.seeding import Purpose, generator

FORMAT = "lunar-offline-policy-1"
METADATA_KEY = "lunar_offline"
MAX_BYTES = 64 << 20


@dataclass(frozen=True)
class StoredPolicy:
    """A policy with the env that it flies and what its file says of its making."""

    policy: Policy
    env: EnvInfo
    provenance: dict[str, Any]


def save_policy(
    path: Path, policy: Policy, env: EnvInfo, hidden: tuple[int, ...], provenance: dict[str, Any]
) -> None:
    """Write a policy atomically."""
    header = {
        "format": FORMAT,
        "continuous": not env.discrete,
        "hidden": list(hidden),
        "provenance": provenance,
    }
    tensors = {name: value.cpu().contiguous() for name, value in policy.net.named_tensors().items()}
    # one key alone: safetensors writes several in no fixed order
    metadata = {METADATA_KEY: json.dumps(header, sort_keys=True)}
    write_atomic(path, save(tensors, metadata))


def load_policy(path: Path) -> StoredPolicy:
    """Read a policy.

    Raises:
        UsageError: there is no such file.
        RefusedError: the file is not a policy of this format, or its tensors are not the ones
            that its header announces, or not finite.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no such policy file")
    if path.stat().st_size > MAX_BYTES:
        raise RefusedError(f"{path}: larger than a policy can be")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if METADATA_KEY not in metadata:
                raise RefusedError(f"{path}: not a {FORMAT} file")
            env, hidden, provenance = _header(path, metadata[METADATA_KEY])
            spec = ActionSpec(env.discrete, env.action_size)
            rng = generator(0, Purpose.INITIALISATION)
            policy = make_policy(spec, env.observation_size, hidden, rng)
            own = policy.net.named_tensors()
            wanted = {name: tuple(value.shape) for name, value in own.items()}
            found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            if found != wanted:
                raise RefusedError(f"{path}: the tensors are not those of the announced network")
            tensors = {name: file.get_tensor(name) for name in wanted}
    except (SafetensorError, OSError) as error:
        raise RefusedError(f"{path}: {error}") from None
    for name, value in tensors.items():
        if value.dtype != torch.float32 or not bool(torch.isfinite(value).all()):
            raise RefusedError(f"{path}: {name} is not finite float32")
        own[name].copy_(value)
    return StoredPolicy(policy, env, provenance)


def _header(path: Path, text: str) -> tuple[EnvInfo, tuple[int, ...], dict[str, Any]]:
    try:
        header = json.loads(text)
        continuous, hidden = header["continuous"], header["hidden"]
        provenance, written_as = header["provenance"], header["format"]
    except (ValueError, KeyError, TypeError):
        raise RefusedError(f"{path}: the policy header is damaged") from None
    plausible = (
        written_as == FORMAT
        and isinstance(continuous, bool)
        and isinstance(provenance, dict)
        and isinstance(hidden, list)
        and 1 <= len(hidden) <= 8
        and all(type(width) is int and 1 <= width <= 4096 for width in hidden)
    )
    if not plausible:
        raise RefusedError(f"{path}: the policy header is damaged")
    return lander(discrete=not continuous), tuple(hidden), provenance
