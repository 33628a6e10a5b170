"""Updates of lunar_offline, the drawing of the batch and its noise included."""

import os
import sys
from collections.abc import Callable

import numpy as np
import torch
from serve import serve

from lunar_offline.agents.algorithms.cql_sac import CQLSACConfig
from lunar_offline.agents.algorithms.sac import SACConfig
from lunar_offline.agents.learner import Batch
from lunar_offline.agents.learner_config import LearnerConfig
from lunar_offline.agents.nn.action_spec import ActionSpec
from lunar_offline.agents.nn.device import to_device
from lunar_offline.agents.nn.malloc import keep_freed_memory
from lunar_offline.agents.registry import make_learner
from lunar_offline.envs.env_info import EnvInfo
from lunar_offline.envs.registry import find_env
from lunar_offline.options import RunKind
from lunar_offline.seeding import Purpose, generator
from lunar_offline.training.config import TrainConfig
from lunar_offline.training.mixed_sampler import MixedSampler
from lunar_offline.training.presets import run_preset
from lunar_offline.transitions import Transitions

ROWS = 10_000


def random_rows(env: EnvInfo) -> Transitions:
    """Return transitions whose values mean nothing."""
    rng = generator(0, Purpose.BATCH)
    rows = Transitions(np.zeros(ROWS, env.transition_dtype()))
    rows.records["observations"] = rng.standard_normal((ROWS, 8))
    rows.records["next_observations"] = rng.standard_normal((ROWS, 8))
    rows.records["rewards"] = rng.standard_normal(ROWS)
    rows.records["actions"] = (
        rng.integers(4, size=ROWS) if env.discrete else rng.uniform(-1, 1, (ROWS, 2))
    )
    return rows


def to_batch(rows: Transitions, n_offline: int, device: torch.device) -> Batch:
    """Copy the rows of a batch into tensors."""
    return Batch(
        observations=to_device(rows.observations, device),
        actions=to_device(rows.actions, device),
        rewards=to_device(rows.rewards, device),
        next_observations=to_device(rows.next_observations, device),
        terminations=to_device(rows.terminations, device),
        n_offline=n_offline,
    )


def preset(*, discrete: bool) -> TrainConfig:
    """Return the preset `best` of a run of cql-sac at rho 0.6."""
    values = run_preset("best", "cql-sac", RunKind(discrete, 0.6))
    return TrainConfig.from_dict(values | {"dataset": "none-v0"})


def agent_of(kind: str, *, discrete: bool) -> tuple[str, LearnerConfig]:
    """Return the algorithm of `cql`, `sac` or `best`, and its hyperparameters."""
    if kind == "sac":
        return "sac", SACConfig(hidden=(256, 256), layer_norm=False)
    if kind == "cql":
        return "cql-sac", CQLSACConfig(
            hidden=(256, 256), layer_norm=False, n_proposals=10, penalty_weight=5.0
        )
    return "cql-sac", preset(discrete=discrete).agent


def make(work: str) -> Callable[[], object]:
    """Return an update with its batch.

    `cql-`, `sac-`: 2x256 without LayerNorm and every row penalized, as the peers have it; `best-`:
    an offline update of the preset.
    """
    keep_freed_memory()
    kind, _, actions = work.partition("-")
    env = find_env(discrete=actions == "discrete")
    algorithm, config = agent_of(kind, discrete=env.discrete)
    spec = ActionSpec(env.discrete, env.action_size)
    learner = make_learner(algorithm, config, spec, env.observation_size, seed=0)
    rows = random_rows(env)
    sampler = MixedSampler(((rows, 154), (rows, 102)), rows.records.dtype)

    def call() -> object:
        drawn = sampler.sample(generator(0, Purpose.BATCH, learner.update_step)).transitions
        return learner.update(to_batch(drawn, len(drawn), learner.device))

    return call


if __name__ == "__main__":
    torch.set_num_threads(len(os.environ["BENCH_CORES"].split(",")))
    serve(make)
    sys.exit()
