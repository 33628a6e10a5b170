"""Updates of Stable-Baselines3's SAC: its train step, the drawing of the batch included."""

from collections.abc import Callable

import gymnasium as gym
import numpy as np
import torch
from serve import serve
from stable_baselines3 import SAC
from stable_baselines3.common.logger import Logger

ROWS = 10_000


def make(work: str) -> Callable[[], object]:
    """Its own defaults: 2x256, batch 256, learned temperature."""
    torch.set_num_threads(1)
    env = gym.make("LunarLander-v3", continuous=True)
    model = SAC("MlpPolicy", env, buffer_size=ROWS, device="cpu", seed=0)
    model.set_logger(Logger(folder=None, output_formats=[]))
    rng = np.random.default_rng(0)
    for _ in range(ROWS):
        model.replay_buffer.add(
            rng.standard_normal((1, 8)),
            rng.standard_normal((1, 8)),
            rng.uniform(-1, 1, (1, 2)),
            rng.standard_normal(1),
            np.zeros(1),
            [{}],
        )
    return lambda: model.train(gradient_steps=1, batch_size=256)


if __name__ == "__main__":
    serve(make)
