"""Updates of lunar_offline, the drawing of the batch and its noise included."""

import os
import sys
from collections.abc import Callable

import numpy as np
import torch
from serve import serve

from lunar_offline import envs
from lunar_offline.data.mixing import MixedSampler
from lunar_offline.experiment.config import TrainConfig
from lunar_offline.experiment.feed import to_batch
from lunar_offline.experiment.presets import preset_values
from lunar_offline.learn.agent import Agent
from lunar_offline.learn.learner import AgentConfig
from lunar_offline.learn.memory import keep_freed_memory
from lunar_offline.learn.penalties import LogSumExp
from lunar_offline.learn.policies import ActionSpec
from lunar_offline.seeding import Purpose, generator
from lunar_offline.transitions import Transitions, transition_dtype

ROWS = 10_000


def row_dtype(env: envs.EnvInfo) -> np.dtype:
    """Return the record of one transition."""
    space = env.action_space
    return transition_dtype((env.observation_size,), space.shape or (), space.dtype)


def random_rows(env: envs.EnvInfo) -> Transitions:
    """Return transitions whose values mean nothing."""
    rng = generator(0, Purpose.BATCH)
    rows = Transitions(np.zeros(ROWS, row_dtype(env)))
    rows.records["observations"] = rng.standard_normal((ROWS, 8))
    rows.records["next_observations"] = rng.standard_normal((ROWS, 8))
    rows.records["rewards"] = rng.standard_normal(ROWS)
    rows.records["actions"] = (
        rng.integers(4, size=ROWS) if env.discrete else rng.uniform(-1, 1, (ROWS, 2))
    )
    return rows


def make(work: str) -> Callable[[], object]:
    """Return an update with its batch.

    `cql-`, `sac-`: 2x256 without LayerNorm and every row penalised, as the peers have it; `best-`:
    an offline update of the preset.
    """
    keep_freed_memory()
    algorithm, _, actions = work.partition("-")
    env = envs.lander(discrete=actions == "discrete")
    config = AgentConfig(hidden=(256, 256), layer_norm=False, n_proposals=10)
    if algorithm == "best":
        values = preset_values("best", discrete=env.discrete, rho=0.6)
        config = TrainConfig.from_dict(values | {"dataset": "none-v0"}).agent
    spec = ActionSpec(env.discrete, env.action_size)
    agent = Agent(config, spec, 8, 0, penalty=LogSumExp("actions"))
    rows = random_rows(env)
    sampler = MixedSampler(((rows, 154), (rows, 102)), rows.records.dtype)
    weight = 0.0 if algorithm == "sac" else 5.0

    def call() -> object:
        drawn = sampler.sample(generator(0, Purpose.BATCH, agent.update_step)).transitions
        return agent.update(to_batch(drawn, len(drawn), agent.device), weight)

    return call


if __name__ == "__main__":
    torch.set_num_threads(len(os.environ["BENCH_CORES"].split(",")))
    serve(make)
    sys.exit()
