"""A small batch of rows that mean nothing."""

import torch

from lunar_offline.agents.learner import Batch
from lunar_offline.agents.nn.action_spec import ActionSpec
from lunar_offline.seeding import Purpose, generator


def random_batch(
    spec: ActionSpec, *, n_offline: int = 10, counter: int = 0, with_returns: bool = False
) -> Batch:
    """Ten random rows, the last two of them terminations."""
    rng = generator(9, Purpose.BATCH, counter)
    actions = rng.integers(4, size=10) if spec.discrete else rng.uniform(-1, 1, (10, 2))
    return Batch(
        observations=torch.from_numpy(rng.standard_normal((10, 8), dtype="float32")),
        actions=torch.from_numpy(actions).to(torch.int64 if spec.discrete else torch.float32),
        rewards=torch.from_numpy(rng.standard_normal(10, dtype="float32")),
        next_observations=torch.from_numpy(rng.standard_normal((10, 8), dtype="float32")),
        terminations=torch.tensor([False] * 8 + [True] * 2),
        n_offline=n_offline,
        returns=torch.from_numpy(rng.standard_normal(n_offline, dtype="float32"))
        if with_returns
        else None,
    )
