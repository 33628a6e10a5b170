"""Updates of d3rlpy on one prepared batch: its sampling, 1 ms or more, is left out."""

from collections.abc import Callable

import d3rlpy
import numpy as np
import torch
from d3rlpy.dataset import TransitionMiniBatch
from d3rlpy.models.encoders import VectorEncoderFactory
from serve import serve


def make(work: str) -> Callable[[], object]:
    """2x256, fixed penalty weight, soft targets: the work that the other side does."""
    torch.set_num_threads(1)
    layers = VectorEncoderFactory([256, 256])
    common = {
        "batch_size": 256,
        "actor_encoder_factory": layers,
        "critic_encoder_factory": layers,
    }
    if work == "cql-continuous":
        config = d3rlpy.algos.CQLConfig(
            **common, n_action_samples=10, alpha_learning_rate=0.0, soft_q_backup=True
        )
    elif work == "sac-continuous":
        config = d3rlpy.algos.SACConfig(**common)
    else:
        config = d3rlpy.algos.DiscreteSACConfig(**common)
    discrete = work.endswith("discrete")
    algo = config.create(device="cpu:0")
    algo.create_impl((8,), 4 if discrete else 2)
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    actions = (
        rng.integers(4, size=(256, 1)).astype(np.float32) if discrete else np.tanh(normal(256, 2))
    )
    batch = TransitionMiniBatch(
        observations=normal(256, 8),
        actions=actions,
        rewards=normal(256, 1),
        next_observations=normal(256, 8),
        next_actions=actions,
        terminals=np.zeros((256, 1), np.float32),
        intervals=np.ones((256, 1), np.float32),
        transitions=[],
    )
    return lambda: algo.update(batch)


if __name__ == "__main__":
    serve(make)
