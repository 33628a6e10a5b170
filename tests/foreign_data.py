"""Episodes of any env, as plain gymnasium gives them, and datasets that Minari itself writes."""

import warnings

import gymnasium as gym
import minari
from minari.data_collector import EpisodeBuffer

from lunar_offline.storage.datasets_root import datasets_root


def record(env_id: str, episodes: int, steps: int) -> list[EpisodeBuffer]:
    """Run the env's own random actions for at most `steps` steps an episode, from seeds 0, 1 ..."""
    env, buffers = gym.make(env_id), []
    for index in range(episodes):
        env.action_space.seed(index)
        rows, observations = [], [env.reset(seed=index)[0]]
        for step in range(1, steps + 1):
            action = env.action_space.sample()
            observation, reward, terminated, truncated, _ = env.step(action)
            observations.append(observation)
            truncated = truncated or (step == steps and not terminated)
            rows.append((action, reward, terminated, truncated))
            if terminated or truncated:
                break
        actions, rewards, terminations, truncations = map(list, zip(*rows, strict=True))
        buffers.append(
            EpisodeBuffer(
                index, index, None, observations, actions, rewards, terminations, truncations
            )
        )
    env.close()
    return buffers


def write_dataset(
    dataset_id: str, env_id: str, buffers: list[EpisodeBuffer], kind: str = "hdf5"
) -> None:
    """Write a dataset with Minari alone."""
    datasets_root().mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of every standard key that is left out
        minari.create_dataset_from_buffers(
            dataset_id, buffers, env=gym.spec(env_id), data_format=kind, description="x"
        )
