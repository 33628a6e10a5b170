"""Zip files of Stable-Baselines3 as policies, read without pickle and without Stable-Baselines3.

A zip holds `data`, a JSON text in which pickled objects have a plain description beside them, and
`policy.pth`, the weights. The weights are loaded with `torch.load(weights_only=True)`, and the
network is built again from their names and shapes. That covers the `MlpPolicy` of PPO, A2C, SAC,
TD3, DDPG and DQN. Stable-Baselines3 itself loads any other policy, which runs the pickled code in
it: only if the user trusts the file. See the page "On saving and loading" of its documentation.
"""

import hashlib
import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from lunar_offline.envs.env_info import EnvInfo
from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.policies.acting import BehaviorPolicy
from lunar_offline.policies.env_actions import matching_env
from lunar_offline.policies.sb3_network import (
    ACTIVATIONS,
    NetworkAct,
    Unsupported,
    build_network,
)
from lunar_offline.policies.sb3_trusted import TrustedAct
from lunar_offline.storage.plain_text import one_line, printable
from lunar_offline.storage.strict_json import strict_json
from lunar_offline.storage.untrusted_files import read_regular

MAX_BYTES = 1 << 26  # of the zip, and of the weights in it
MAX_DATA_BYTES = 1 << 24
MAX_DIRECTORY_BYTES = 1 << 16
END_OF_DIRECTORY = b"PK\x05\x06"

# entries of policy_kwargs that do not change the network, or that its weights show
HARMLESS = (
    ":type:",
    ":serialized:",
    "activation_fn",
    "clip_mean",
    "features_extractor_class",
    "full_std",
    "log_std_init",
    "n_critics",
    "net_arch",
    "normalize_images",
    "optimizer_class",
    "optimizer_kwargs",
    "ortho_init",
    "share_features_extractor",
    "use_expln",
    "use_sde",
)


def sb3_policy(
    path: Path, envs: Sequence[EnvInfo], *, stochastic: bool, trust: bool
) -> BehaviorPolicy:
    """Load a zip of Stable-Baselines3.

    Args:
        path: of the file.
        envs: the env that the user named, or the variants of the default env.
        stochastic: sample the actions, if the algorithm has a distribution of them.
        trust: run the pickled code in the file if its policy is not a plain MlpPolicy. Such a
            policy acts deterministically.

    Raises:
        UsageError: there is no such file, no env fits, or Stable-Baselines3 is needed and not
            installed.
        RefusedError: the file is damaged, or must be trusted.
    """
    try:
        content = read_regular(path, MAX_BYTES)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such policy file") from None
    try:
        data, weights = _read(content)
        algorithm = _algorithm(data)
    except ValueError as error:
        raise RefusedError(f"{path}: {error}") from None
    try:
        network = build_network(algorithm, weights, _activation(algorithm, data))
    except Unsupported as reason:
        if not trust:
            raise RefusedError(
                f"{path}: not a plain MlpPolicy ({reason}); loading it runs the pickled code in "
                "it: add --trust if you trust its origin"
            ) from None
        act = TrustedAct(content, algorithm, str(path), envs)
    else:
        env = matching_env(envs, network.spaces(), str(path))
        _check_bounds(path, data, env)
        act = NetworkAct(network, env, stochastic)
    return BehaviorPolicy(
        name=printable(path.name),
        act=act,
        env=act.env,
        algorithm=f"sb3/{algorithm}",
        sha256=hashlib.sha256(content).hexdigest(),
        samples=act.samples,
    )


def _read(content: bytes) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the values in `data` and the tensors in `policy.pth`. Raises ValueError."""
    with _open_zip(content, "not a zip file") as archive:
        data = strict_json(_member(archive, "data", MAX_DATA_BYTES))
        saved = _member(archive, "policy.pth", MAX_BYTES)
    if not isinstance(data, dict):
        raise ValueError("its data are not a JSON object")
    with _open_zip(saved, "its policy.pth is not a file of torch.save") as archive:
        members = archive.infolist()
        plain = all(member.compress_type == zipfile.ZIP_STORED for member in members)
        if not plain or sum(member.file_size for member in members) > len(saved):
            raise ValueError("its policy.pth is compressed")
    try:
        found = torch.load(io.BytesIO(saved), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises errors of many types
        raise ValueError(f"its policy.pth cannot be loaded: {one_line(error)}") from None
    if not isinstance(found, dict):
        raise ValueError("its policy.pth is not a table of tensors")
    for name, tensor in found.items():
        if not isinstance(name, str) or not _is_plain(tensor, len(saved)):
            raise ValueError(f"its policy.pth has {str(name)[:60]!r}, which is no float32 tensor")
        if not torch.isfinite(tensor).all():
            raise ValueError(f"the tensor {name[:60]!r} is not finite")
    return data, found


def _is_plain(tensor: object, most_bytes: int) -> bool:
    return (
        isinstance(tensor, Tensor)
        and tensor.layout == torch.strided
        and tensor.device.type == "cpu"
        and tensor.dtype == torch.float32
        and 4 * tensor.numel() <= most_bytes  # a stride of 0 would make more of it
    )


def _open_zip(content: bytes, otherwise: str) -> zipfile.ZipFile:
    """Open a zip whose directory is small. Raises ValueError."""
    end = content.rfind(END_OF_DIRECTORY)
    size = int.from_bytes(content[end + 12 : end + 16], "little")
    if end < 0 or size > MAX_DIRECTORY_BYTES:
        raise ValueError(otherwise)
    try:
        return zipfile.ZipFile(io.BytesIO(content))
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise ValueError(f"{otherwise}: {one_line(error)}") from None


def _member(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    try:
        info = archive.getinfo(name)
    except KeyError:
        raise ValueError(f"not a zip of Stable-Baselines3: it has no {name}") from None
    if info.file_size > limit:
        raise ValueError(f"its {name} has {info.file_size:,} bytes; at most {limit:,} are allowed")
    try:
        return archive.read(info)
    except Exception as error:  # damaged, encrypted, or compressed in an unknown way
        raise ValueError(f"its {name} cannot be read: {one_line(error)}") from None


def _algorithm(data: Mapping[str, Any]) -> str:
    """Return the algorithm of a zip, which only the names in `data` tell. Raises ValueError."""
    if _policy_module(data).startswith("sb3_contrib"):
        raise ValueError("a policy of sb3_contrib; call it in a function: --policy module:function")
    if "clip_range" in data and "n_epochs" in data:
        return "PPO"
    if "policy_delay" in data:
        return "DDPG" if data.get("target_noise_clip") == 0.0 else "TD3"
    for key, algorithm in (
        ("target_entropy", "SAC"),
        ("exploration_fraction", "DQN"),
        ("gae_lambda", "A2C"),
    ):
        if key in data:
            return algorithm
    raise ValueError("not a zip of Stable-Baselines3: its algorithm is unknown")


def _policy_module(data: Mapping[str, Any]) -> str:
    policy_class = data.get("policy_class")
    return str(policy_class.get("__module__")) if isinstance(policy_class, dict) else ""


def _activation(algorithm: str, data: Mapping[str, Any]) -> str:
    """Return the activation of the network. Raises Unsupported."""
    module = _policy_module(data)
    if not module.startswith("stable_baselines3."):
        raise Unsupported(f"its policy class is of the module {module[:60]!r}")
    if data.get("use_sde") is not False:
        raise Unsupported("it explores with gSDE")
    chosen = data.get("policy_kwargs")
    if not isinstance(chosen, dict):
        raise Unsupported("it has no policy_kwargs")
    for key in chosen:
        if key not in HARMLESS:
            raise Unsupported(f"it sets {key[:60]!r}")
    extractor = str(chosen.get("features_extractor_class", "FlattenExtractor"))
    if "FlattenExtractor" not in extractor:
        raise Unsupported(f"its features_extractor_class is {extractor[:80]}")
    default = "Tanh" if algorithm in ("PPO", "A2C") else "ReLU"
    stated = str(chosen.get("activation_fn", f"torch.nn.modules.activation.{default}"))
    match = re.search(r"torch\.nn\.modules\.activation\.(\w+)", stated)
    if match is None or match[1] not in ACTIVATIONS:
        raise Unsupported(f"its activation is {stated[:80]}")
    return match[1]


def _check_bounds(path: Path, data: Mapping[str, Any], env: EnvInfo) -> None:
    """Raise UsageError if the bounds of the actions that a zip states differ from the env's."""
    stated, space = data.get("action_space"), env.action_space
    if not isinstance(stated, dict) or not isinstance(space, spaces.Box):
        return
    for key, ours in (("low", space.low), ("high", space.high)):
        try:
            theirs = np.array([float(word) for word in str(stated.get(key)).strip("[]").split()])
        except ValueError:
            continue  # a long vector is stored with dots in its middle
        if theirs.shape == ours.shape and not np.allclose(theirs, ours, rtol=1e-4):
            raise UsageError(
                f"{path}: its actions have the {key} bounds {theirs.tolist()}, those of "
                f"{env.env_id} are {ours.tolist()}; name the policy's env with --env"
            )
