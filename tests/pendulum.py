"""A dataset of Pendulum-v1, an env that no file may name: the user does."""

import warnings

import gymnasium as gym
import minari
from minari.data_collector import EpisodeBuffer

from lunar_offline.collection.episodes import collect_episodes
from lunar_offline.envs.registry import named_env
from lunar_offline.policies.acting import random_act
from lunar_offline.storage.datasets_root import datasets_root

PENDULUM = "Pendulum-v1"


def pendulum_dataset() -> str:
    """Make a dataset of three random episodes, as Minari writes it; return its id."""
    env = named_env(PENDULUM)
    buffers = [
        EpisodeBuffer(
            id=index,
            seed=e.seed,
            observations=e.observations,  # pyright: ignore[reportArgumentType]
            actions=2.0 * e.actions,  # the env's own torque lies in [-2, 2]
            rewards=e.rewards,  # pyright: ignore[reportArgumentType]
            terminations=e.terminations,  # pyright: ignore[reportArgumentType]
            truncations=e.truncations,  # pyright: ignore[reportArgumentType]
        )
        for index, e in enumerate(collect_episodes(env, random_act(env), seed=0, episodes=range(3)))
    ]
    datasets_root().mkdir(parents=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        minari.create_dataset_from_buffers("pendulum-x-v0", buffers, env=gym.spec(PENDULUM))
    return "pendulum-x-v0"
