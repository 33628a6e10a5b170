"""Updates of CORL's CQL with two hidden layers (its default is three), from a file of yours.

CORL is on no package registry: BENCH_CORL names its algorithms/offline/cql.py.
"""

import importlib.util
import os
import sys
from collections.abc import Callable
from unittest import mock

import torch
from serve import serve


def make(work: str) -> Callable[[], object]:
    """2x256, batch 256, fixed penalty weight."""
    torch.set_num_threads(1)
    for name in ("d4rl", "gym", "pyrallis", "wandb"):  # its training script needs them, not this
        sys.modules[name] = mock.MagicMock()
    spec = importlib.util.spec_from_file_location("corl_cql", os.environ["BENCH_CORL"])
    assert spec is not None
    assert spec.loader is not None
    corl = importlib.util.module_from_spec(spec)
    sys.modules["corl_cql"] = corl
    spec.loader.exec_module(corl)
    critics = [corl.FullyConnectedQFunction(8, 2, n_hidden_layers=2) for _ in range(2)]
    policy = corl.TanhGaussianPolicy(8, 2, 1.0)
    adam = torch.optim.Adam
    agent = corl.ContinuousCQL(
        critics[0],
        adam(critics[0].parameters(), 3e-4),
        critics[1],
        adam(critics[1].parameters(), 3e-4),
        policy,
        adam(policy.parameters(), 3e-4),
        target_entropy=-2.0,
        backup_entropy=True,
        bc_steps=0,
    )
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    batch = [
        normal(256, 8),
        normal(256, 2).tanh(),
        normal(256, 1),
        normal(256, 8),
        torch.zeros(256, 1),
    ]
    return lambda: agent.train(batch)


if __name__ == "__main__":
    serve(make)
