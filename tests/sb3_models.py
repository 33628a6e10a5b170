"""Models of Stable-Baselines3, trained for a second, and zips made of their parts."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import stable_baselines3
from torch import nn

from lunar_offline.policies.sb3_trusted import global_generators_restored

# algorithm, env, arguments of the env and of the algorithm
MODELS: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    "ppo": ("PPO", "LunarLander-v3", {}, {"n_steps": 64}),
    "ppo-continuous": (
        "PPO",
        "LunarLander-v3",
        {"continuous": True},
        {
            "n_steps": 64,
            "policy_kwargs": {"net_arch": {"pi": [8, 9], "vf": [7]}, "activation_fn": nn.ELU},
        },
    ),
    "a2c": ("A2C", "CartPole-v1", {}, {"policy_kwargs": {"net_arch": []}}),
    "sac": ("SAC", "Pendulum-v1", {}, {"policy_kwargs": {"net_arch": [16, 8]}}),
    "td3": ("TD3", "Pendulum-v1", {}, {"policy_kwargs": {"net_arch": [16]}}),
    "ddpg": ("DDPG", "Pendulum-v1", {}, {"policy_kwargs": {"net_arch": [16]}}),
    "dqn": ("DQN", "LunarLander-v3", {}, {"policy_kwargs": {"net_arch": [16]}}),
}
PICKLED: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    "gsde": ("SAC", "Pendulum-v1", {}, {"use_sde": True, "policy_kwargs": {"net_arch": [8]}}),
    "softplus": (
        "PPO",
        "LunarLander-v3",
        {},
        {"n_steps": 64, "policy_kwargs": {"activation_fn": nn.Softplus}},
    ),
}


def train(name: str, folder: Path) -> Any:
    """Train a model for a few steps, and save it as NAME.zip; return it."""
    algorithm, env_id, env_kwargs, kwargs = (MODELS | PICKLED)[name]
    env = gym.make(env_id, **env_kwargs)
    if algorithm not in ("PPO", "A2C"):
        kwargs = kwargs | {"learning_starts": 20, "buffer_size": 200}
    if algorithm == "PPO":
        kwargs = kwargs | {"batch_size": 64, "n_epochs": 2}
    with global_generators_restored():
        kind = getattr(stable_baselines3, algorithm)
        model = kind("MlpPolicy", env, seed=0, device="cpu", **kwargs)
        model.learn(256 if name == "ppo" else 64)
    model.save(folder / name)
    env.close()
    return model


def changed(source: Path, target: Path, change: Callable[[dict[str, bytes]], object]) -> Path:
    """Write a zip with changed members."""
    with zipfile.ZipFile(source) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    change(members)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target


def data_with(**values: Any) -> Callable[[dict[str, bytes]], None]:
    """Return what changes values in the JSON of a zip."""

    def change(members: dict[str, bytes]) -> None:
        members["data"] = json.dumps(json.loads(members["data"]) | values).encode()

    return change


def weights_with(change: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, bytes]], None]:
    """Return what changes the tensors of a zip."""
    import torch

    def in_members(members: dict[str, bytes]) -> None:
        tensors = torch.load(io.BytesIO(members["policy.pth"]), weights_only=True)
        change(tensors)
        content = io.BytesIO()
        torch.save(tensors, content)
        members["policy.pth"] = content.getvalue()

    return in_members
